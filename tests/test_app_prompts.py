"""The ways in, run in-process: uploaded files, pasted lists, what the reader chooses of them."""

import dataclasses
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app import state
from tests.traces import random_trace

MAIN = Path(__file__).parents[1] / "app" / "main.py"
VIEWS = sorted(path.stem for path in (MAIN.parent / "views").glob("*.py"))


@pytest.fixture
def app():
    return AppTest.from_file(str(MAIN), default_timeout=120)


def opened(app: AppTest, way: str) -> AppTest:
    app.session_state.way = way
    app.run()
    assert not app.exception
    return app


def of_key(elements, key: str):
    return next(element for element in elements if element.key == key)


def test_uploaded_table_is_read_from_the_columns_that_the_reader_chooses(app):
    opened(app, "File")
    app.file_uploader[0].upload("p.csv", b"id,question,answer\nx,Who is there?,The fox.\n", "text/csv").run()
    of_key(app.selectbox, "text of p.csv").select("answer").run()
    of_key(app.button, "trace-file").click().run()
    assert not app.exception
    assert (app.session_state.prompt.name, app.session_state.prompt.text) == ("x", "The fox.")


def test_pasted_list_is_cut_into_prompts(app):
    opened(app, "Type")
    app.text_area[0].set_value("The first line.\n\nThe second one.").run()
    app.session_state.pasted_per = "line"
    app.run()
    of_key(app.selectbox, "chosen-typed").select_index(1).run()
    of_key(app.button, "trace-typed").click().run()
    assert not app.exception and app.session_state.prompt.text == "The second one."


def trace_bytes() -> bytes:
    sizes = {"hidden_size": 8, "intermediate_size": 32}
    meta = {"model": "tiny", "weights_sha256": "0123456789abcdef", "config": sizes, "text": "A text."}
    return dataclasses.replace(random_trace(layers=3, tokens=9), meta=meta).to_bytes()


def test_trace_file_is_shown_on_every_page_without_running_a_model(app, monkeypatch):
    monkeypatch.setattr(state, "_loaded", lambda name: pytest.fail("a trace file needs no model"))
    opened(app, "File")
    app.file_uploader[0].upload("mine.trace.safetensors", trace_bytes(), "application/octet-stream").run()
    of_key(app.button, "open-trace").click().run()
    assert not app.exception and app.session_state.prompt.name == "mine"
    for view in VIEWS:
        app.switch_page(f"views/{view}.py").run()
        assert not app.exception, view
        assert state_of(app) == ("mine", 3, 9)
    told = [element.value for element in [*app.sidebar.markdown, *app.sidebar.caption]]
    assert any("**Trace file** of tiny, weights 0123456789ab" in each for each in told)
    assert app.sidebar.selectbox[0].disabled


def state_of(app) -> tuple[str, int, int]:
    trace = app.session_state.trace_file
    return app.session_state.prompt.name, trace.num_layers, trace.num_tokens


def test_closing_a_trace_file_brings_back_the_text_before_it(app):
    opened(app, "File")
    before = app.session_state.prompt
    app.file_uploader[0].upload("mine.trace.safetensors", trace_bytes(), "application/octet-stream").run()
    of_key(app.button, "open-trace").click().run()
    next(button for button in app.sidebar.button if button.label == "Close the trace file").click().run()
    assert not app.exception
    assert app.session_state.prompt == before and app.session_state.trace_file is None


def test_trace_file_that_cannot_be_read_is_told_and_the_text_kept(app):
    opened(app, "File")
    before = app.session_state.prompt
    app.file_uploader[0].upload("bad.safetensors", trace_bytes()[:-50], "application/octet-stream").run()
    of_key(app.button, "open-trace").click().run()
    assert not app.exception and app.session_state.prompt == before
    assert any("bad.safetensors is not a readable trace file" in element.value for element in app.text)


def test_served_trace_file_needs_no_model_at_all(app, tmp_path, monkeypatch):
    (tmp_path / "given.trace.safetensors").write_bytes(trace_bytes())
    monkeypatch.setenv(state.TRACE_VARIABLE, str(tmp_path / "given.trace.safetensors"))
    monkeypatch.setattr(state, "CHECKPOINTS", tmp_path)
    opened(app, "Type")
    assert state_of(app) == ("given", 3, 9)
    app.text_area[0].set_value("A text for no model.").run()
    next(button for button in app.button if button.label == "Trace").click().run()
    assert not app.exception and state_of(app) == ("given", 3, 9)
    assert any("No model was found" in element.value for element in app.text)
