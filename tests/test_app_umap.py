"""The UMAP map on its page: made on demand, watched, stopped, kept on disk."""

import re
import threading
from concurrent.futures import CancelledError
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from analysis.explain.embedding import Placement
from app.server import presence, umap_cache
from app.session import umap_maps
from tests.app_in_process import turn_to, unfolded
from tests.threads import wait_until

MAIN = Path(__file__).parents[1] / "app" / "main.py"
SAID = "UMAP places the states in a plane so that neighbours stay neighbours"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(umap_cache.FOLDER_VARIABLE, str(tmp_path))


@pytest.fixture
def placing(monkeypatch):
    """UMAP's stand-in, which waits for `go` between its stages; `made` are the numbers of states that it placed."""
    go, made = threading.Event(), []

    def placement(states, tell):
        tell(0.3, "Placing…")
        assert go.wait(60)
        tell(0.9, "Comparing…")
        made.append(len(states))
        return Placement(np.random.default_rng(0).normal(size=(len(states), 2)), 0.98, 0.87, (0.5, 0.2))

    monkeypatch.setattr(umap_maps, "umap_placement", placement)
    placement.go, placement.made = go, made
    return placement


def opened(**session) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=120)
    app.query_params["example"] = "fox"
    unfolded(app).run()
    for key, value in session.items():
        app.session_state[key] = value
    turn_to(app, "geometry")
    assert not app.exception
    return app


def button(app: AppTest, label: str):
    return next((each for each in app.button if each.label == label), None)


def maps(app: AppTest) -> list[str]:
    return [each.proto.spec for each in app.get("plotly_chart") if "trustworthiness" in each.proto.spec]


def waited(app: AppTest) -> AppTest:
    """The page once its map is made."""
    if "umap_job" in app.session_state:
        app.session_state.umap_job.future.result(60)
        app.run()
    assert not app.exception
    return app


def test_map_is_made_on_demand_and_kept_on_disk_for_everybody(placing):
    app = opened(layer=3)
    assert not maps(app) and any(SAID in each.value for each in app.caption)
    button(app, "Draw the map").click().run()
    assert any(each.value.startswith("The map is being drawn.") for each in app.caption)
    assert not app.exception and button(app, "Stop") and not button(app, "Draw the map") and not maps(app)
    placing.go.set()
    app = waited(app)
    (drawn,) = maps(app)
    assert "trustworthiness 0.98 over 15 neighbours; PCA of the same states: 0.87, 70%" in drawn
    assert not button(app, "Draw the map") and not button(app, "Stop") and len(placing.made) == 1
    assert len(maps(opened(layer=3))) == 1 and len(placing.made) == 1, "another reader finds it on disk"
    app.session_state.layer = 1
    app.run()
    assert not maps(app) and button(app, "Draw the map")
    app.session_state.layer = 3
    app.run()
    assert len(maps(app)) == 1


def test_stop_frees_the_reader_at_once_and_the_work_at_its_next_stage(placing):
    app = opened(layer=3)
    button(app, "Draw the map").click().run()
    job = app.session_state.umap_job
    wait_until(lambda: (job.share, job.message) == (0.3, "Placing…"))
    button(app, "Stop").click().run()
    app.run()
    assert not app.exception and button(app, "Draw the map") and not button(app, "Stop")
    placing.go.set()
    with pytest.raises(CancelledError):
        job.future.result(60)
    assert not placing.made


def test_all_layers_are_one_map_and_a_layer_is_another(placing):
    placing.go.set()
    app = opened(**{"layer": 3, umap_maps.LAYERS_KEY: umap_maps.ALL})
    button(app, "Draw the map").click().run()
    (drawn,) = maps(waited(app))
    assert "states of 6 layers" in drawn
    app.session_state.layer = 1
    app.run()
    assert len(maps(app)) == 1


def test_a_failure_is_told_where_the_reader_is(placing, monkeypatch, capsys):
    def failing(states, tell):
        raise RuntimeError("planned")

    monkeypatch.setattr(umap_maps, "umap_placement", failing)
    app = opened(layer=3)
    button(app, "Draw the map").click().run()
    if "umap_job" in app.session_state:
        assert app.session_state.umap_job.future.exception(60)
        app.run()
    assert len(app.exception) == 1 and "planned" in capsys.readouterr().out
    app.run()
    assert not app.exception and button(app, "Draw the map")


def test_a_text_too_short_for_a_map_says_so():
    app = opened(layer=3)
    app.session_state.prompt = type(app.session_state.prompt)("short", "Hi")
    app.session_state.token = 0
    app.run()
    draw = button(app, "Draw the map")
    assert draw.disabled and "at least 30 states" in draw.help


def test_maps_are_made_one_at_a_time(placing):
    first, second = opened(layer=3), opened(layer=4)
    button(first, "Draw the map").click().run()
    button(second, "Draw the map").click().run()
    wait_until(lambda: first.session_state.umap_job.message == "Placing…")
    second.run()  # a look at the page later
    assert second.session_state.umap_job.message == "Waiting for another visitor's map…" and not placing.made
    placing.go.set()
    assert len(maps(waited(first))) == 1 and len(maps(waited(second))) == 1 and len(placing.made) == 2


def test_map_of_a_visitor_who_left_is_not_made_and_one_who_comes_back_can_ask_again(placing, monkeypatch):
    there = [True]
    monkeypatch.setattr(umap_maps, "presence", lambda: lambda: there[0])
    app = opened(layer=3)
    button(app, "Draw the map").click().run()
    job = app.session_state.umap_job
    wait_until(lambda: job.message == "Placing…")
    there[0] = False
    placing.go.set()
    with pytest.raises(CancelledError):
        job.future.result(60)
    assert not placing.made
    app.run()
    assert not app.exception and button(app, "Draw the map")


def test_a_visitor_is_gone_once_no_page_was_open_for_long(monkeypatch):
    clock, open_pages = [0.0], {"mine"}
    monkeypatch.setattr(presence, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(presence, "exists", lambda: True)
    monkeypatch.setattr(presence, "get_script_run_ctx", lambda: SimpleNamespace(session_id="mine"))
    monkeypatch.setattr(
        presence, "get_instance", lambda: SimpleNamespace(is_active_session=lambda session: session in open_pages)
    )
    is_there = presence.presence(60)
    for now, connected, there in ((100, True, True), (150, False, True), (161, False, False), (170, True, True)):
        clock[0] = now
        open_pages.clear()
        open_pages.update({"mine"} if connected else ())
        assert is_there() == there, now


def test_nothing_promises_a_time_that_was_not_measured():
    for words in (umap_maps.NOT_YET, umap_maps.BEING_DRAWN):
        assert not re.search(r"second|minute|button below", words)
