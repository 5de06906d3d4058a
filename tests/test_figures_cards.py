"""Figures of cards and contrasts: what they draw, and that they leave the app whole, whatever a token or name holds."""

import re
from dataclasses import replace

import numpy as np
import pytest

from analysis.answers.of_cards import expert_cards
from analysis.export.captions import caption
from analysis.export.files import figure_json, finished_figure
from analysis.export.tables import table_csv
from analysis.figures.runs.cards import CARD_FIGURES, card_experts_figure, card_tokens_figure, token_names
from analysis.figures.runs.contrasts import CONTRAST_FIGURES, domain_map_figure, saturation_figure
from analysis.runs.about import DomainContrast, Saturated, Specialised
from analysis.runs.cards import card
from analysis.runs.choices import Choice
from analysis.runs.domains import domain_difference
from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.runs.saturation import saturation
from analysis.runs.specialisation import specialisation
from analysis.view import View
from tests.planted_runs import EXPERT, LAYER, drawn_traces
from tests.runs import make_run

SPECS = (*CARD_FIGURES, *CONTRAST_FIGURES)
HOSTILE = "<b>$x$"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def run(folder):
    traces = drawn_traces(60, seed=1, planted=True)
    for trace in traces:
        trace.tokens[:] = [HOSTILE if each == "␣7" else each for each in trace.tokens]
    with make_run(folder / "run", traces) as found:
        yield found


@pytest.fixture(scope="module")
def drawn(run, folder):
    about = {"run": HOSTILE, "meta": run.meta, "chosen": ALL_TOKENS}
    with (
        make_run(folder / "early", drawn_traces(60, seed=1)) as early,
        make_run(folder / "late", drawn_traces(60, seed=1)) as late,
    ):
        agree = saturation([early, late], [HOSTILE, "late"])
    table = domain_difference(run, "kind", "odd", "even")
    contrast = DomainContrast(**about, column="kind", first=HOSTILE, second="even", layer=LAYER, table=table)
    return {
        DomainContrast: contrast,
        Specialised: Specialised(**about, column=HOSTILE, table=specialisation(run, column="kind", draws=9)),
        Saturated: Saturated(**about, table=agree),
        type(card(run, Choice(0, loops=1))): card(run, Choice(LAYER, expert=EXPERT)),
    }


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_figure_of_a_run_leaves_the_app_with_its_data_and_its_words(spec, drawn, theme):
    of, view = drawn[spec.of], View(theme=theme)
    figure = finished_figure(spec, of, view)
    assert figure.data and figure.layout.title.text == spec.title
    assert "<b>$x$" not in figure.to_json().replace("\\u003c", "<").replace("\\u003e", ">"), "not escaped"
    words = caption(spec, of, view)
    assert spec.how_to_read in words and f"Run “{of.run}”" in words
    assert len(table_csv(spec.table(of)).splitlines()) > 1
    assert spec.title in figure_json(spec, of, view).decode("utf-8")


def test_tokens_are_drawn_with_lift_and_name_what_a_click_shows(run):
    found = card(run, Choice(LAYER, expert=EXPERT))
    dots = card_tokens_figure(found).data[0]
    assert list(dots.x) == found.tokens["lift"][found.tokens["lift"] > 1].head(10).tolist()
    part, layer, made, had = dots.customdata[0][:4]
    row = found.tokens.iloc[0]
    assert (part, layer) == (["token", [row["token_id"], "expert", EXPERT]], LAYER)
    assert (made, had) == (row["made"], row["had"])


def test_experts_of_a_card_show_pairs_in_its_own_layer_and_shares_in_others(run):
    found = card(run, Choice(LAYER, expert=EXPERT))
    cells = card_experts_figure(found).data[0]
    z = np.array(cells.z, float)
    assert np.isnan(z[LAYER, EXPERT]) and np.isfinite(np.delete(z[LAYER], EXPERT)).all()
    assert z[LAYER][np.arange(8) != EXPERT].tolist() == found.neighbours["lift_log2"].tolist()
    assert list(cells.customdata[0][2][0]) == ["card", 2]


def test_a_difference_of_domains_is_drawn_in_points(drawn):
    contrast = drawn[DomainContrast]
    z = np.array(domain_map_figure(contrast, kind="loops").data[0].z)
    table = contrast.table[contrast.table["kind"] == "loops"]
    assert np.allclose(z.ravel(), 100 * table["difference"])


def test_where_there_is_nothing_to_draw_a_sentence_says_so(run, drawn):
    nothing = card(run, Choice(0, expert=1), TokenFilter(text="no such token"))
    for spec in CARD_FIGURES:
        assert spec.figure(nothing, View()).layout.meta == {"sentence": True}
    alone = Saturated(run="a", meta=run.meta, chosen=ALL_TOKENS, table=None)
    assert "no other run" in saturation_figure(alone).layout.annotations[0].text
    assert "No token of this run under the filter" in expert_cards(nothing).text


def test_tokens_that_differ_in_white_space_alone_keep_their_signs():
    import pandas as pd

    assert token_names(pd.Series(["␣b", "b", "␣the"])) == ["␣b", "b", "the"]


def test_the_answer_names_what_is_beyond_chance(run):
    text = expert_cards(card(run, Choice(LAYER, expert=EXPERT))).text
    assert text.startswith(f"Expert {EXPERT} of layer {LAYER} serves ") and "over prompts" in text
    assert re.search(f"“{re.escape(HOSTILE)}” .[0-9.]+ times as often", text) and "“12” (" in text
    assert "digits stands out most" in text
    found = card(run, Choice(LAYER, expert=EXPERT))
    alone = replace(found, tokens=found.tokens[found.tokens["p_corrected"] < 0.05].nlargest(1, "lift"))
    assert " it serves one more often than by chance: “" in expert_cards(alone).text
    assert " The only token compared is served more often than by chance: “" in (
        expert_cards(replace(alone, compared=1)).text
    )


def test_the_answer_of_few_prompts_is_not_tested(folder):
    with make_run(folder / "few", drawn_traces(3, seed=4)) as few:
        text = expert_cards(card(few, Choice(0, loops=4))).text
    assert text.startswith("4 loops in layer 0 are taken by ") and "that takes 5 prompts" in text
