"""Captions are read without the glossary: short, the mark first, with how the numbers are computed behind them."""

import re

import pytest

from analysis.catalogue import CATALOGUE, spec
from analysis.export.captions import caption
from analysis.figures.runs.paper import COSINE, PAPER_FIGURES
from analysis.view import DEFAULT_VIEW, View
from app.pages_of_runs import RUN_PAGES
from hooks.trace import RoutingTrace
from tests.traces import random_trace

MARKS = "arrow|bar|cell|dot|drawing|hill|line|mark|point|row"
TELEGRAM = r"(?:^|[.;] )(Colour|Dots?|Filled|Hollow|Ring|Size|Strong colour|Stronger colour|Bars?)\b[^.]{0,20}:"
MOST_SENTENCES, MOST_LETTERS = 4, 560
OF_RUNS = {each.name: each for page in RUN_PAGES for each in page.run_figures} | {
    each.name: each for each in (*PAPER_FIGURES, COSINE)
}
EVERY = (*CATALOGUE, *OF_RUNS.values())


@pytest.mark.parametrize("each", EVERY, ids=lambda each: each.name)
def test_caption_says_first_what_a_mark_is_in_a_few_whole_sentences(each):
    sentences = re.split(r"(?<=[.!?]) (?=[A-Z“λ0-9])", each.how_to_read)
    assert re.match(rf"(Each|A|The)\b( filled| wide| coloured)* ({MARKS})\b", sentences[0]), sentences[0]
    assert len(sentences) <= MOST_SENTENCES and len(each.how_to_read) <= MOST_LETTERS
    assert all(sentence.endswith(".") for sentence in (*sentences, each.details or "."))
    assert not re.search(TELEGRAM, each.how_to_read)


@pytest.mark.parametrize("each", EVERY, ids=lambda each: each.name)
def test_a_caption_that_speaks_of_not_routing_says_what_it_means(each):
    caption = each.caption_of({})  # of a VersatileFFN
    if re.search(r"did not route", caption):
        assert re.search(r"(took|takes) all loops", caption)


NOT_ROUTED = [each for each in CATALOGUE if re.search(r"(took|takes) all loops", each.caption_of({}))]


@pytest.mark.parametrize("each", NOT_ROUTED, ids=lambda each: each.name)
def test_under_interventions_a_token_may_not_route_for_another_reason(each):
    intervened = each.caption_of({"interventions": [{"kind": "DropPath", "path": "width"}]})
    assert not re.search(r"(took|takes) all loops", intervened) and "intervention" in intervened


@pytest.mark.parametrize("quantity", ["loops", "gate", "difficulty", "experts"])
def test_a_map_of_a_or_of_b_alone_is_not_told_as_their_difference(quantity):
    each = spec(f"compare_{quantity}")
    difference = each.caption_of({})
    for show, side in (("a", "A"), ("b", "B")):
        alone = each.caption_of({}, show=show)
        assert alone.startswith(f"Each cell is one token of {side} in one layer") and "magenta" not in alone
        assert each.caption_of({}, show="difference") == difference != alone
        assert alone in each.whole_caption_of({}, show=show)


def test_exports_hold_the_caption_with_its_details():
    figure = spec("difficulty_surprisal")
    words = caption(figure, random_trace(layers=2, tokens=40), DEFAULT_VIEW)
    assert figure.details and f"{figure.caption_of({})} {figure.details}\n" in words


def test_without_marks_a_caption_tells_what_the_figure_draws_of_the_selection_and_no_more():
    trace, view = random_trace(layers=3, tokens=9), View(layer=2, token=4)
    for each in (each for each in CATALOGUE if each.of is RoutingTrace):
        words, unmarked = (caption(each, trace, view, marked=marked) for marked in (True, False))
        assert ". Selected: token 4 “tele”, layer 2." in words and "Selected" not in unmarked
        assert {at for at in ("token", "layer") if re.search(rf"Shown: .*\b{at} [24]\b", unmarked)} == set(each.follows)
