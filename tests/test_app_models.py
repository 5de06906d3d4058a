"""The Models page: parameters, health, training step by step on the reader's text, the family side by side."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file
from streamlit.testing.v1 import AppTest

from app.server import captures, models
from app.session import results
from sample_models.registry import CHECKPOINTS, DEFAULT_MODEL
from tests.app_in_process import captions, charts, press, trace_text, turn_to, unfolded

SMALL = "versatile-4l-0.4m"
STEPS = [0, 61, 245, 551, 980, 1531, 2204, 3000]


def opened(app: AppTest, model: str = SMALL) -> AppTest:
    app.query_params["model"] = model
    unfolded(app).run()
    turn_to(app, "models")
    assert not app.exception
    return app


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def read_through(app: AppTest) -> AppTest:
    """Press the button and let the page run until every step has read the text."""
    press(app, "Trace at every step")
    for _ in STEPS:
        if "Stop" not in labels(app):
            break
        app.run()
    assert not app.exception and "Stop" not in labels(app)
    return app


def test_text_is_read_step_by_step_and_can_be_stopped_and_gone_on_with(app):
    opened(app)
    assert any("from step 0 to step 3,000" in caption for caption in captions(app))
    before = len(charts(app))
    press(app, "Trace at every step")
    app.run()
    press(app, "Stop")
    assert "Continue" in labels(app) and len(charts(app)) == before
    read = app.session_state.training_read[1]
    assert 0 < read < len(STEPS)
    app.run()
    assert app.session_state.training_read[1] == read, "stopped is stopped"
    press(app, "Continue")
    for _ in STEPS:
        app.run()
    assert len(charts(app)) == before + 2


def test_slider_shows_the_model_as_it_was_at_a_step(app):
    read_through(opened(app))
    course, last = charts(app)[-2:]
    assert {(shape["x0"] + shape["x1"]) / 2 for shape in course["layout"]["shapes"]} == {7}
    app.select_slider[0].set_value(0).run()
    assert not app.exception
    told = next(caption for caption in captions(app) if caption.startswith("At step 0 "))
    assert "the model had seen 0 tokens of this training, and τ was 5." in told and "4.409 on held-out text" in told
    kept = app.session_state.drawings["figure-training_map"]
    assert kept.view.checkpoint == 0 and kept.newer_json is not None and kept.given_figure.to_json() != kept.newer_json
    drawn = json.loads(app.session_state.drawings["figure-training_course"].newer_json)
    assert {(shape["x0"] + shape["x1"]) / 2 for shape in drawn["layout"]["shapes"]} == {0}


def test_every_step_reads_a_text_once(app):
    opened(app)
    captures.trace_at_step.clear()
    model, text = SMALL, app.session_state.prompt.text
    read_through(app)
    first = [captures.trace_at_step(model, text, step) for step in STEPS]
    app.select_slider[0].set_value(3).run()
    app.run()
    assert all(captures.trace_at_step(model, text, step) is trace for step, trace in zip(STEPS, first, strict=True))


def test_another_text_has_to_be_read_first(app):
    read_through(opened(app))
    drawn = len(charts(app))
    trace_text(app, "Another text, which no step has read.")
    assert len(charts(app)) == drawn - 2 and "Trace at every step" in labels(app)


def test_model_that_kept_nothing_says_how_to_keep_it(app):
    opened(app, DEFAULT_MODEL)
    assert "Trace at every step" not in labels(app)
    assert any(
        "has no weights from earlier in its training" in each and "--keep-checkpoints" in each for each in captions(app)
    )


@pytest.mark.parametrize("name, content", [("no-weights", b"no weights"), ("cut-step", None)])
def test_damaged_step_is_told_without_the_servers_folders(app, tmp_path, monkeypatch, name, content):
    mine = tmp_path / name
    shutil.copytree(CHECKPOINTS / SMALL, mine)
    damaged = mine / "checkpoints" / "step-000061.safetensors"
    damaged.write_bytes(content or damaged.read_bytes()[:-100])
    monkeypatch.setenv(models.ROOTS_VARIABLE, str(tmp_path))
    opened(app, name)
    told = [error.value for error in app.error]
    assert len(told) == 1 and "is not a complete safetensors file" in told[0] and str(tmp_path) not in told[0]


def test_step_of_other_sizes_stops_the_reading_and_is_told(app, tmp_path, monkeypatch):
    mine = tmp_path / "other-step"
    shutil.copytree(CHECKPOINTS / SMALL, mine)
    header = {"step": "61", "tokens": "1", "tau": "4"}
    save_file({"lm_head.weight": np.zeros(1)}, mine / "checkpoints" / "step-000061.safetensors", metadata=header)
    monkeypatch.setenv(models.ROOTS_VARIABLE, str(tmp_path))
    press(opened(app, "other-step"), "Trace at every step")
    app.run()
    told = app.session_state.problem
    assert told.startswith("other-step") and "too few for the 4 layers" in told
    assert str(tmp_path) not in app.session_state.problem
    assert "Continue" in labels(app) and app.session_state.training_read[1] == 1


def test_family_is_shown_as_the_report_measured_it(app):
    opened(app)
    table = next(frame.value for frame in app.dataframe if "minus dense" in frame.value).set_index("member")
    assert {"dense", "4-loop", "moe", "versatile"} <= set(table.index)
    assert table.loc["dense", "x dense"] == 1 and table.loc["4-loop", "x dense"] == pytest.approx(4, rel=1e-4)
    assert table.loc["4-loop", "minus dense"].endswith(" better")
    assert table.loc["2-loop", "minus 4-loop"].endswith(" open (one seed)")
    assert any("It is open if it rests on one seed and is smaller" in caption.value for caption in app.caption)


def test_without_a_report_there_is_no_table_and_a_broken_one_is_told(app, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FAMILY_TABLE", tmp_path / "members.csv")
    opened(app)
    assert "The paper's family of models" not in [title.value for title in app.subheader]
    (tmp_path / "members.csv").write_bytes(b"member,seeds\ndense,1\n")
    app.run()
    assert any("members.csv lacks the column(s)" in error.value for error in app.error)


def test_models_page_checks_health_on_demand_and_keeps_the_verdict(app):
    models.health_of_models.clear()
    opened(app, DEFAULT_MODEL)
    assert not app.table
    press(app, "Check health")
    verdicts = app.table[0].value["verdict"]
    assert verdicts.pop("experts fit their tokens") == "○ effect not shown"
    assert verdicts.tolist() == ["✓ healthy"] * 9
    assert any(text.value == "**Healthy (effect not shown: experts fit their tokens).**" for text in app.markdown)
    turn_to(turn_to(app, "gate"), "models")
    assert not app.exception and len(app.table) == 1


def test_models_page_counts_every_parameter_once(app):
    opened(app, DEFAULT_MODEL)
    table = next(frame.value for frame in app.dataframe if "parameters" in frame.value)
    assert table["parameters"].sum() == 4_464_576 and table["share"].sum() == pytest.approx(100)
    assert table.iloc[0]["part"] == "shared FFN"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "has no curves.csv"), (b"run,step\na,1\n", "curves.csv lacks the column(s) tokens, loss")],
)
def test_models_page_tells_of_missing_and_broken_curves(app, tmp_path, monkeypatch, content, sentence):
    shutil.copytree(CHECKPOINTS / DEFAULT_MODEL, tmp_path / "mine")
    curves = tmp_path / "mine" / "curves.csv"
    curves.write_bytes(content) if content else curves.unlink()
    monkeypatch.setenv(models.ROOTS_VARIABLE, str(tmp_path))
    opened(app, DEFAULT_MODEL)
    app.sidebar.selectbox[0].select("mine").run()
    assert not app.exception
    assert any(sentence in each.value for each in [*app.caption, *app.error])
