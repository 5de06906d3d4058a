"""A reader comes back to a page: what still holds is handed over as it was, all else is drawn again."""

import json
from pathlib import Path

from streamlit.testing.v1 import AppTest

from analysis.catalogue import spec
from app.pages import PAGES
from app.session.drawings import REMEMBERED_PAGES
from tests.app_in_process import turn_to, unfolded

MAIN = Path(__file__).parents[1] / "app" / "main.py"
RECURSION = next(page for page in PAGES if page.name == "Recursion")
FIGURES = {f"figure-{name}": spec(name) for name in RECURSION.figures}


def go(app: AppTest, view: str, **selection: int) -> AppTest:
    for name, value in selection.items():
        app.session_state[name] = value
    turn_to(app, view)
    assert not app.exception
    return app


def numbers(app: AppTest) -> dict[str, int]:
    return {key: drawing.number for key, drawing in app.session_state.drawings.items()}


def contents(app: AppTest) -> list[dict]:
    """The charts of the open page without their numbers."""
    charts = [json.loads(element.proto.spec) for element in app.get("plotly_chart")]
    for chart in charts:
        chart["layout"]["meta"].pop("drawing")
    return charts


def begun() -> AppTest:
    return unfolded(AppTest.from_file(str(MAIN), default_timeout=120)).run()


def test_on_return_only_what_follows_a_changed_selection_is_drawn_again():
    app = begun()
    first = numbers(go(app, "recursion", token=3))
    assert first.keys() == FIGURES.keys()
    assert numbers(go(go(app, "gate"), "recursion")) == first
    again = numbers(go(go(app, "gate"), "recursion", token=7))
    assert (
        {key for key in again if again[key] != first[key]}
        == {key for key, found in FIGURES.items() if "token" in found.follows}
        != set()
    )
    assert contents(app) == contents(go(begun(), "recursion", token=7))


def test_figure_that_was_redrawn_in_place_is_drawn_for_the_chart_that_comes():
    app = begun()
    first = numbers(go(app, "recursion", token=3))
    app.session_state.token = 7
    app.run()
    changed = {key for key, drawing in app.session_state.drawings.items() if drawing.newer_json}
    assert changed and numbers(app) == first
    again = numbers(go(go(app, "gate"), "recursion"))
    assert {key for key in again if again[key] != first[key]} == changed
    assert not any(drawing.newer_json for drawing in app.session_state.drawings.values())
    assert contents(app) == contents(go(begun(), "recursion", token=7))


def test_only_the_pages_left_last_are_kept():
    app = begun()
    for view in ("recursion", "gate", "experts", "difficulty", "overview", "cost", "recursion"):
        go(app, view)
    kept = app.session_state.drawings_of_left_pages
    assert list(kept) == ["Experts", "Difficulty", "Overview", "Cost"] and len(kept) == REMEMBERED_PAGES
