"""Every page says its answer first, then shows one main figure, and draws what is folded only once it is opened."""

import json

import streamlit

from analysis.answers import answer_of
from analysis.catalogue import spec
from analysis.compare.pair import TracePair
from analysis.difficulty import token_difficulty
from app.pages import PAGES
from app.parts.page import Fold, Needing, Part
from app.server import captures
from app.session import answers
from app.session.folds import OPEN
from app.session.search_form import found_tokens
from app.views import near_misses
from hooks.depth_effects import DepthEffects
from hooks.knock_out_trace import KnockOutTrace
from sample_models.registry import DEFAULT_MODEL
from tests.app_in_process import charts, press, turn_to

MOST_UNFOLDED = 3
SAME_INTEGER = {"loop_map", "gate_map", "cost_map"}
"""Maps that draw the loops of every token and layer, each in its own words; a fourth map does so as an option."""


def parts(fold: Fold) -> list[Part]:
    """What is folded away there."""
    rows = (row if isinstance(row, tuple) else (row,) for row in fold.rows)
    return [part.draw if isinstance(part, Needing) else part for row in rows for part in row]


def fold_of(part: Part) -> Fold:
    """The fold that holds a part of a page."""
    return next(fold for page in PAGES for fold in page.folds if part in parts(fold))


def said(app, which: int = 0) -> dict | None:
    """What the page's answer was given to draw, or further sentences below it; None if there are none."""
    drawn = [each.proto for each in app.get("bidi_component") if each.proto.component_name == "answer_line"]
    return json.loads(drawn[which].json) if which < len(drawn) else None


def test_no_page_shows_more_than_three_figures_before_the_reader_asks_for_more(app):
    app.run()
    for page in PAGES:
        turn_to(app, page.url_path)
        assert not app.exception
        folded = {part for fold in page.folds for part in parts(fold)}
        assert len(charts(app)) <= MOST_UNFOLDED, page.name
        drawn = {key.removeprefix("figure-") for key in app.session_state.drawings}
        assert drawn.isdisjoint(folded), "what is folded was drawn"
        on_demand = bool(page.figures) and spec(page.figures[0]).of in (DepthEffects, KnockOutTrace, TracePair)
        of_run = {each.name for each in page.run_figures}
        assert (page.figures[0] in drawn) if page.figures and not on_demand else drawn <= of_run
        assert [opener.label for opener in app.expander[: len(page.folds)]] == [fold.question for fold in page.folds]
        assert all(fold.question.endswith("?") for fold in page.folds)
        if on_demand:  # at most that nothing was asked for yet
            assert said(app) is None or "yet" in said(app)["rows"][0][1][0][0]
            continue
        ((heading, parts_of),) = said(app)["rows"]
        assert said(app)["page"] == page.name and not heading and len(parts_of[0][0]) > 1
        links = [(each[0], each[1]["page"]) for each in parts_of if each[1] and each[1]["page"]]
        assert links == [(lead.question, lead.page) for lead in page.leads_to]


def test_loops_of_every_token_and_layer_are_drawn_unfolded_on_one_page_alone():
    folded = {part for page in PAGES for fold in page.folds for part in parts(fold)}
    assert len(SAME_INTEGER - folded) == 1 and spec("difficulty_map").choice.default == "soft"


def test_answer_is_that_of_the_text_and_its_links_say_what_they_do(app):
    turn_to(app.run(), "difficulty")
    trace = captures.trace_of(DEFAULT_MODEL, app.session_state.prompt.text)
    ((_, drawn),) = said(app)["rows"]
    assert "".join(text for text, _, _ in drawn[:-1]) == answer_of("difficulty", trace).text + " "
    hardest, nothing = int(token_difficulty(trace).argmax()), dict.fromkeys(("layer", "token", "expert", "page"))
    layer = int(trace.difficulty_soft[:, hardest].argmax())
    assert drawn[1][1:] == [
        nothing | {"token": hardest, "layer": layer},
        f"Select token {hardest} in layer {layer}",
    ]
    assert drawn[-1][1:] == [nothing | {"page": "Recursion"}, "Open the page Recursion"]


def test_opened_fold_is_drawn_and_stays_open_through_reruns_and_other_pages(app):
    turn_to(app.run(), "gate")
    fold = fold_of("gate_map")
    app.session_state[fold.key] = True
    app.run()
    assert {"figure-gate_levels", "figure-gate_map"} == set(app.session_state.drawings)
    first = app.session_state.drawings["figure-gate_map"].number
    turn_to(turn_to(app, "cost"), "gate")
    assert len(charts(app)) == 2 and app.session_state[OPEN] == {fold.key}
    app.session_state[fold.key] = False
    app.run()
    assert len(charts(app)) == 1 and "figure-gate_map" not in app.session_state.drawings
    assert app.session_state[OPEN] == set()
    app.session_state[fold.key] = True
    app.run()
    assert app.session_state.drawings["figure-gate_map"].number == first, "what still holds is not drawn again"


def test_lens_counts_exits_of_the_selected_layer_until_those_of_all_layers_are_shown(app):
    def counted() -> str:
        assert not app.exception
        ((_, drawn),) = said(app)["rows"]
        return "".join(text for text, _, _ in drawn)

    app.run()
    app.session_state.layer = 3
    turn_to(app, "recursion_lens")
    assert "Of 3 other exits from layer 3, " in counted()
    app.segmented_control(key="lens_grid-choice").set_value("exit").run()
    app.run()
    assert "Of 18 other exits (one layer left after fewer or more loops), " in counted()
    app.segmented_control(key="lens_grid-choice").set_value("state").run()
    app.run()
    assert "Of 3 other exits from layer 3, " in counted()
    app.session_state[fold_of("lens_path").key] = True
    app.run()
    assert "Of 18 other exits (" in counted()


def test_link_of_an_expert_selects_its_layer_and_searches_for_its_tokens(app, monkeypatch):
    app.run()
    trace = captures.trace_of(DEFAULT_MODEL, app.session_state.prompt.text)
    monkeypatch.setattr(streamlit, "session_state", app.session_state)
    answers.follow(4, None, 5)
    found, query = found_tokens(trace)
    assert app.session_state.layer == 4 and query == "any chosen expert = 5 in layer 4"
    assert found == [i for i in range(trace.num_tokens) if trace.width_ran[4, i] and 5 in trace.expert_ids[4, i]]


def test_why_a_token_loops_this_often_stands_on_recursion_and_its_links_open_pages(app, monkeypatch):
    turn_to(app.run(), "recursion")
    rows = said(app, 1)["rows"]
    assert [heading for heading, _ in rows] == ["Because", "How sure", "Every layer", "In this text", "What is known"]
    assert "Trace in bfloat16 tells" in str(rows) and "more loops are rarer (ρ = −0." in str(rows)
    layers = [each[1]["layer"] for each in rows[2][1] if each[1]]
    assert layers == list(range(6)) and rows[2][1][0][0].endswith(" in ")
    press(app, "Trace in bfloat16")
    assert "bfloat16 does not flip it" in str(said(app, 1)) or "bfloat16 flips it to" in str(said(app, 1))
    assert "Trace in bfloat16" not in [button.label for button in app.button]
    layer, token = app.session_state.layer, app.session_state.token
    with monkeypatch.context() as patch:
        patch.setattr(streamlit, "session_state", app.session_state)
        answers.follow(None, None, None, "Near misses")
    app.run()
    assert app.session_state.open_page == "Near misses" and "In bfloat16, " in str(said(app))
    assert (app.session_state.layer, app.session_state.token) == (layer, token)


def test_near_misses_and_models_add_what_was_asked_for(app):
    turn_to(app.run(), "near_misses")
    assert "bfloat16" not in str(said(app))
    app.session_state[fold_of(near_misses.half_precision).key] = True
    app.run()
    press(app, "Trace in bfloat16")
    assert "In bfloat16, " in str(said(app))
