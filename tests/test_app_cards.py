"""The page Expert cards, run in-process: the choice of a card, domains, clicks, and runs that are gone."""

import os
import shutil

import pytest

from analysis.runs.cards import card
from analysis.runs.choices import Choice
from analysis.runs.filters import ALL_TOKENS, TokenFilter
from app.server import runs
from app.session import card_choice
from tests.app_in_process import captions, charts, new_app, plain_texts, turn_to, unfolded
from tests.runs import make_run, random_traces
from tests.test_app_answers import said
from tests.traces import random_trace

PAGE = "expert_cards"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Two runs of the same texts, and one of others by a smaller model."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("late", "early"):
        make_run(folder / name, random_traces(12)).close()
    small = [random_trace(layers=2, tokens=9, experts=4, seed=seed) for seed in range(6)]
    make_run(folder / "small", small).close()
    return folder


@pytest.fixture
def page(served, monkeypatch):
    offer(monkeypatch, *(served / name for name in ("late", "early", "small")))
    return turn_to(unfolded(new_app()).run(), PAGE)


def offer(monkeypatch, *folders):
    monkeypatch.setenv(runs.RUNS_VARIABLE, os.pathsep.join(map(str, folders)))


def answer(app) -> str:
    ((_, pieces),) = said(app)["rows"]
    return "".join(words for words, *_ in pieces)


def choose(app, widget: str, key: str, value):
    next(each for each in getattr(app, widget) if each.key == key).select(value).run()
    assert not app.exception
    return app


def test_a_card_of_an_expert_or_of_loops_is_chosen(page):
    assert not page.exception and answer(page).startswith("Expert 0 of layer 0 serves ")
    choose(page, "selectbox", card_choice.LAYER, 3)
    choose(page, "segmented_control", card_choice.EXPERT, 5)
    assert answer(page).startswith("Expert 5 of layer 3 serves ")
    choose(page, "segmented_control", card_choice.KIND, "depth")
    assert answer(page).startswith("4 loops in layer 3 are taken by ")
    choose(page, "segmented_control", card_choice.LOOPS, 1)
    assert answer(page).startswith("1 loop in layer 3 is taken by ")
    assert "weight" not in page.dataframe[0].value.columns or page.dataframe[0].value["weight"].isna().all()


def test_a_card_is_kept_as_far_as_another_run_has_it(page):
    choose(page, "selectbox", card_choice.LAYER, 3)
    choose(page, "segmented_control", card_choice.EXPERT, 2)
    choose(page, "selectbox", "run", "small")
    assert answer(page).startswith("Expert 2 of layer 1 serves "), "the last layer that this run has"


def test_occurrences_are_of_the_chosen_token_and_can_be_all_that_counts(page):
    run = runs.opened(next(iter(runs.folders().values())))
    token = card(run, Choice(0, expert=0)).tokens.iloc[0]
    assert next(button for button in page.button if button.label == "Count only this token").disabled
    choose(page, "selectbox", card_choice.TOKEN, int(token["token_id"]))
    assert "␣" in token["text"] or len(page.dataframe[0].value) <= token["made"]
    assert page.dataframe[0].value["before"].notna().all()
    next(button for button in page.button if button.label == "Count only this token").click().run()
    assert len(page.session_state["run_filter"].token_ids) == 1
    assert "of the" in answer(page) and not page.exception


def test_two_domains_are_always_different_ones(page):
    choose(page, "selectbox", card_choice.COLUMN, "kind")
    first, second = (page.session_state[key] for key in (card_choice.FIRST, card_choice.SECOND))
    assert {first, second} == {"even", "odd"}
    choose(page, "selectbox", card_choice.FIRST, second)
    assert page.session_state[card_choice.SECOND] == first


def test_runs_of_the_same_texts_are_compared_and_others_are_not(page):
    lines = [chart for chart in charts(page) if "as in the last run" in str(chart["layout"]["yaxis"])]
    assert len(lines) == 1 and str(lines[0]["layout"]["xaxis"]["ticktext"]) == "['early']"
    choose(page, "selectbox", "run", "small")
    assert any("at several steps of one training" in caption for caption in captions(page))


def test_without_the_run_the_page_says_so(page, served, monkeypatch, tmp_path):
    shutil.copytree(served / "small", tmp_path / "gone")
    offer(monkeypatch, tmp_path / "gone")
    page.run()
    shutil.rmtree(tmp_path / "gone")
    page.run()
    assert not page.exception and any("is gone" in text for text in plain_texts(page))


@pytest.mark.parametrize("value", [99, "2", None, [1], {"a": 1}])
def test_a_click_that_names_no_expert_of_the_run_chooses_nothing(page, value, monkeypatch):
    chosen: dict = {}
    monkeypatch.setattr(card_choice.st, "session_state", chosen)
    card_choice.part_clicked("card", value, 1)
    card_choice.part_clicked("token", value, 1)
    assert chosen == {}


def test_a_click_opens_the_card_of_an_expert_or_the_texts_of_a_token(page, monkeypatch):
    chosen: dict = {}
    monkeypatch.setattr(card_choice.st, "session_state", chosen)
    card_choice.part_clicked("card", 6, 2)
    assert (
        card_choice.chosen_card(runs.opened(next(iter(runs.folders().values()))).sizes).words == "expert 6 of layer 2"
    )
    card_choice.part_clicked("token", [4, "loops", 3], 1)
    assert chosen["run_behind"] == TokenFilter(token_ids=(4,), loops=(3,), layer=1) != ALL_TOKENS
