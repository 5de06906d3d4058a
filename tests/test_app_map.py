"""The page Token map: a map by PCA at once, by UMAP in the background, and tokens chosen on it for every page."""

import json
import threading

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from analysis.runs.chosen import MOST_CHOSEN, ChosenTokens
from analysis.runs.filters import TokenFilter
from app.server import runs
from app.session import token_maps
from app.texts.chosen_tokens import chosen_from_text, chosen_to_text
from app.texts.packing import packed
from tests.app_in_process import charts, new_app, turn_to
from tests.runs import make_run, random_traces
from tests.threads import wait_until


@pytest.fixture
def app(tmp_path, monkeypatch) -> AppTest:
    make_run(tmp_path / "mine", random_traces(12)).close()
    monkeypatch.setenv(runs.RUNS_VARIABLE, str(tmp_path / "mine"))
    made = turn_to(new_app().run(), "token_map")
    assert not made.exception
    return made


def points(app: AppTest) -> int:
    (drawn,) = [each for each in charts(app) if each["data"][0]["type"] == "scattergl"]
    return sum(len(trace["text"]) for trace in drawn["data"])


def texts(app: AppTest) -> str:
    return " ".join(each.value for each in (*app.markdown, *app.caption))


def widget(found, label: str):
    return next(each for each in found if each.label == label)


def test_the_map_is_there_at_once_and_says_what_it_is_of(app):
    assert points(app) == 154
    assert "all 154 tokens that the filter leaves, by 40 numbers each" in texts(app)
    assert "PCA is fitted on all of them" in texts(app)
    assert "No tokens are chosen" in texts(app)


def choose_box(app: AppTest, **sides: float) -> AppTest:
    """Choose the tokens in a box by its sides, those that are not given being those of the map."""
    for name, value in sides.items():
        widget(app.number_input, name.replace("_", " ")).set_value(value)
    widget(app.button, "Choose these tokens").click().run()
    assert not app.exception
    return app


def middle(app: AppTest) -> float:
    (drawn,) = [each for each in charts(app) if each["data"][0]["type"] == "scattergl"]
    found = [axis for axis in (drawn["layout"]["xaxis"], drawn["layout"]["yaxis"])]
    assert all(axis["fixedrange"] is False for axis in found)
    return round(widget(app.number_input, "x from").value / 2 + widget(app.number_input, "x to").value / 2, 2)


def test_tokens_chosen_by_numbers_are_those_that_the_atlas_counts_until_none_are_chosen(app):
    half = middle(app)
    choose_box(app, x_to=half)
    chosen = app.session_state["run_filter"].among
    assert 0 < len(chosen) < 154
    assert f"**{len(chosen)} tokens** of {chosen.prompts} prompts chosen" in texts(app) and points(app) == 154
    turn_to(app, "atlas")
    assert any(f"{len(chosen)} tokens chosen on the map" in each.label for each in app.button)
    run = runs.opened(next(iter(runs.folders().values())))  # shared with the app, so not closed here
    where, values = app.session_state["run_filter"].where(run.sizes)
    assert run.ask(f"SELECT count(*) AS n FROM tokens WHERE {where}", values).n[0] == len(chosen)
    turn_to(app, "token_map")
    widget(app.button, "Choose none").click().run()
    assert not app.exception and "No tokens are chosen" in texts(app)
    choose_box(app, x_from=1e6, x_to=1e6 + 1)
    assert "No tokens are chosen" in texts(app) and app.toast[0].value == "No token lies there."


def test_tokens_chosen_in_one_run_do_not_count_in_another(app):
    choose_box(app, x_to=middle(app))
    widget(app.selectbox, "Run").select(runs.SHIPPED_NAME).run()
    assert not app.exception and "No tokens are chosen" in texts(app) and points(app) == 1_863


def test_the_map_is_coloured_by_what_the_run_has(app):
    for colour, names in (
        ("experts", {*map(str, range(8)), "did not route"}),
        ("column:kind", {"odd", "even"}),
        ("column:source", {"stories.txt", "code.txt"}),
    ):
        widget(app.selectbox, "Coloured by").set_value(colour).run()
        assert not app.exception and points(app) == 154
        (drawn,) = [each for each in charts(app) if each["data"][0]["type"] == "scattergl"]
        assert {trace["name"].partition(" (")[0] for trace in drawn["data"]} == names
        symbols = [trace["marker"]["symbol"] for trace in drawn["data"]]
        assert len(set(symbols)) == len(symbols), "a shape each, not a colour alone"
    assert not [each for each in app.selectbox if each.label == "Layer"], "no layer where the colour is of the prompt"


def test_what_is_no_map_is_told(app):
    widget(app.pills, "Tokens are alike by their").set_value([]).run()
    assert not app.exception and "Choose at least one kind of routing" in texts(app)
    widget(app.pills, "Tokens are alike by their").set_value(["gate"]).run()
    assert points(app) == 154
    app.session_state["run_filter"] = TokenFilter(positions=(0, 0))
    app.run()
    assert not app.exception and "A map needs at least 40 tokens, and only 12 pass the filter" in texts(app).replace(
        "\\", ""
    )


def test_a_clicked_token_is_shown_in_its_text_as_plain_letters_and_opened(app):
    app.session_state["map_point"] = (2, 3)
    app.run()
    assert not app.exception
    assert "Token 3 of prompt row 2 from stories.txt" in texts(app).replace("\\", "")
    widget(app.button, "Open in the explorer").click().run()
    assert not app.exception and app.session_state.prompt.text == random_traces(3)[2].meta["text"]


def test_chosen_tokens_and_the_line_around_them_come_back_in_the_next_session(app, monkeypatch):
    choose_box(app, x_to=middle(app))
    keys = "run_filter", "map_area"
    assert "This tab keeps them until you close it" in texts(app)
    monkeypatch.setattr(st, "session_state", {key: app.session_state[key] for key in keys})
    kept = json.loads(json.dumps(token_maps.kept()))
    monkeypatch.setattr(st, "session_state", {})
    token_maps.take_kept(kept)
    assert {key: st.session_state[key] for key in keys} == {key: app.session_state[key] for key in keys}
    for wrong in ({"run": "another"}, {"tokens": kept["tokens"][:-9]}, {"tokens": 3}, {"run": ["x"]}):
        monkeypatch.setattr(st, "session_state", {})
        token_maps.take_kept(kept | wrong)
        assert not st.session_state
    for line in (None, [], {"on": {}, "x": [0, 1, 2], "y": [0, 1, 2]}, {"on": kept["line"]["on"], "x": [1], "y": [2]}):
        monkeypatch.setattr(st, "session_state", {})
        token_maps.take_kept(kept | {"line": line})
        assert "run_filter" in st.session_state and "map_area" not in st.session_state


def test_as_many_tokens_as_can_be_chosen_are_a_text_that_a_tab_can_keep():
    rng = np.random.default_rng(0)
    chosen = ChosenTokens(np.arange(MOST_CHOSEN) * 3, rng.integers(0, 2000, MOST_CHOSEN), "mine")
    text = chosen_to_text(chosen)
    assert len(text) < 500_000 and chosen_from_text(text, "mine") == chosen
    for wrong in ([[1], [1, 2]], [[1], [-1]], [[], []], [[2**40], [1]], [[0.5], ["a"]], {"a": 1}, [[1], [2], [3]], 7):
        with pytest.raises(ValueError, match="no tokens of a run"):
            chosen_from_text(packed(json.dumps(wrong)), "mine")


@pytest.fixture
def placing(monkeypatch):
    """UMAP's stand-in, which waits for `go`."""
    go = threading.Event()

    def placed(sample, blocks, *, tell):
        tell(0.5, "Placing the other tokens…")
        assert go.wait(60)
        tell(0.95, "Comparing neighbours…")
        return token_maps.TokenMap(
            sample, "umap", dict.fromkeys(blocks, 1.0), 40, np.zeros((len(sample), 2), np.float32), 100, 0.97, 154
        )

    monkeypatch.setattr(token_maps, "umap_map", placed)
    return go


def test_umap_is_drawn_in_the_background_and_can_be_stopped(app, placing):
    widget(app.segmented_control, "Placed by").set_value("umap").run()
    assert "Press the button Draw the map" in texts(app)
    widget(app.button, "Draw the map").click().run()
    job = app.session_state["map_job"]
    wait_until(lambda: job.message.startswith("Placing"))
    assert not app.exception and not [each for each in charts(app) if each["data"][0]["type"] == "scattergl"]
    widget(app.button, "Stop").click().run()
    assert job.stopped and widget(app.button, "Draw the map")
    placing.set()
    wait_until(lambda: job.future.done())
    widget(app.button, "Draw the map").click().run()
    if "map_job" in app.session_state:
        app.session_state["map_job"].future.result(60)
        app.run()
    assert not app.exception and points(app) == 154 and "UMAP is fitted on 100 of them" in texts(app).replace("\\", "")
    assert "its trustworthiness is 0.97" in answer(app)
    turn_to(turn_to(app, "atlas"), "token_map")
    assert points(app) == 154, "it is still there"


def answer(app: AppTest) -> str:
    return " ".join(str(each.proto) for each in app.get("bidi_component"))
