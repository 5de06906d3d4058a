"""What a new visitor is shown, in-process: the announced tour, the schematic, and that they stay away once put away."""

import pytest
from streamlit.testing.v1 import AppTest

from app.frame.tour import STEPS
from app.parts.schematic import NAME
from app.server import captures, models
from app.session import put_away
from app.texts.examples import EXAMPLES
from sample_models.registry import DEFAULT_MODEL
from tests.app_in_process import charts, press, trace_text, turn_to


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def selection(app: AppTest) -> tuple[str, int, int]:
    """Page, layer and token."""
    return app.header[0].value, app.session_state.layer, app.session_state.token


def schematic_is_drawn(app: AppTest) -> bool:
    drawn = app.session_state.drawings if "drawings" in app.session_state else {}
    return f"figure-{NAME}" in drawn


def test_tour_opens_its_pages_in_turn_and_gives_page_and_selection_back(app):
    app.run()
    turn_to(app, "cost")
    app.session_state.layer, app.session_state.token = 1, 7
    app.run()
    before = selection(app)
    assert not any(text.value.startswith("**Tour") for text in app.markdown), "only a button starts it"
    press(app, "Tour")
    for number, step in enumerate(STEPS):
        assert app.header[0].value == step.page
        assert any(text.value.startswith(f"**Tour, {number + 1} of 5") for text in app.markdown)
        layer, token = step.cell(captures.trace_of(DEFAULT_MODEL, app.session_state.prompt.text))
        assert selection(app) == (step.page, layer, token) != before
        if number < 4:
            press(app, "Next")
    press(app, "Back")
    assert app.header[0].value == STEPS[3].page
    press(app, "End the tour")
    assert selection(app) == before and app.session_state.prompt == EXAMPLES["fox"]
    assert not any(text.value.startswith("**Tour") for text in app.markdown)
    assert not app.exception


def test_the_libraries_of_the_model_are_fetched_while_the_first_page_is_read(app, monkeypatch):
    begun = []
    monkeypatch.setattr(models, "warm_up", lambda **when: begun.append(when))
    app.run()
    assert begun == [{"after_s": models.WARM_UP_AFTER_S}] and not app.exception


def test_a_text_taken_up_during_the_tour_stays_with_its_own_selection(app):
    app.run()
    press(app, "Tour")
    trace_text(app, "The bird sang.")
    chosen = app.session_state.token
    press(app, "End the tour")
    assert app.session_state.prompt.text == "The bird sang." and app.session_state.token == chosen
    assert app.header[0].value == "Overview"


def test_the_tour_is_announced_above_every_page_until_it_was_taken_or_declined(app):
    app.run()
    turn_to(app, "gate")
    assert "Take the tour" in labels(app)
    press(app, "No, thanks")
    assert "Take the tour" not in labels(app) and "Tour" in labels(app)
    turn_to(app, "experts")
    assert "Take the tour" not in labels(app)


def test_an_ended_tour_is_announced_no_more(app):
    app.run()
    press(app, "Take the tour")
    assert "Take the tour" not in labels(app)
    press(app, "End the tour")
    assert "Take the tour" not in labels(app)


def test_the_schematic_opens_the_overview_until_it_is_put_away_and_heads_the_walkthrough_for_ever(app):
    app.run()
    titles = [title.value for title in app.subheader]
    assert titles[0] == "One layer, step by step" and schematic_is_drawn(app)
    first = charts(app)[0]
    assert any(shape["name"] == "step 1" for shape in first["layout"]["shapes"])
    press(app, "Put away")
    assert "One layer, step by step" not in [title.value for title in app.subheader]
    turn_to(app, "walkthrough")
    assert app.subheader[0].value == "One layer, step by step" and "Put away" not in labels(app)


@pytest.mark.parametrize(
    ("cookie", "seen"),
    [("schematic.tour", []), ("tour", ["Put away"]), ("<b>.x", ["Take the tour", "Put away"])],
)
def test_what_an_earlier_visit_put_away_stays_away(app, monkeypatch, cookie, seen):
    cookies = property(lambda self: {put_away.COOKIE: cookie})
    monkeypatch.setattr("streamlit.runtime.context.ContextProxy.cookies", cookies)
    app.run()
    assert not app.exception
    assert [label for label in labels(app) if label in ("Take the tour", "Put away")] == seen
