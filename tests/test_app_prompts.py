"""The ways in, run in-process: uploaded files, pasted lists, what the reader chooses of them."""

import dataclasses
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.pages import PAGES
from app.server import models, uploads
from app.session import prompt_list
from app.session.link import TRACE_VARIABLE
from hooks import DropPath, ForceLoops
from hooks.interventions import as_json
from tests.app_in_process import plain_texts, press, prompt_chooser, trace_text, turn_to
from tests.flipped import parquet_file
from tests.traces import random_trace

MAIN = Path(__file__).parents[1] / "app" / "main.py"


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
    opened(app, "File")
    assert not any("in groups" in each.value for each in app.caption)
    table = b"text,kind\none a,x\none b,y\none c,x\none d,y\n"
    app.file_uploader[0].upload("q.csv", table, "text/csv").run()
    assert any("shows the prompts in groups, by kind" in each.value for each in app.caption)


def test_uploaded_file_is_parsed_once_for_each_way_to_read_it(app, monkeypatch):
    parsed, read = [], prompt_list.prompts_of_upload

    def counted(name, data, *, while_waiting, **how):
        parsed.append(how)
        return read(name, data, while_waiting=while_waiting, **how)

    monkeypatch.setattr(prompt_list, "prompts_of_upload", counted)
    opened(app, "File")
    app.file_uploader[0].upload("p.csv", b"id,question,answer\nx,Who?,The fox.\n", "text/csv").run()
    app.run()
    assert parsed == [{}] and prompt_chooser(app).options == ["x: Who?"]
    of_key(app.selectbox, "text of p.csv").select("answer").run()
    app.run()
    assert parsed == [{}, {"text_column": "answer", "id_column": "id"}]
    assert prompt_chooser(app).options == ["x: The fox."]
    app.file_uploader[0].upload("p.csv", b"text\nAnother file.\n", "text/csv").run()
    app.run()
    assert len(parsed) == 3 and prompt_chooser(app).options == ["line 2: Another file."]
    assert len(app.session_state.upload_read) == 1, "the file before it is forgotten"
    app.file_uploader[0].upload("p.txt", b" ", "text/plain").run()
    app.run()
    assert len(parsed) == 4 and any("p.txt is empty" in element.value for element in app.text)
    opened(app, "Type")
    assert "upload_read" not in app.session_state


def test_pasted_list_is_cut_into_prompts(app):
    opened(app, "Type")
    app.text_area[0].set_value("The first line.\n\nThe second one.").run()
    app.session_state.pasted_per = "line"
    app.run()
    prompt_chooser(app).select_index(1).run()
    of_key(app.button, "trace-typed").click().run()
    assert not app.exception and app.session_state.prompt.text == "The second one."


def trace_bytes(*interventions) -> bytes:
    sizes = {"hidden_size": 8, "intermediate_size": 32}
    meta = {"model": "tiny", "weights_sha256": "0123456789abcdef", "config": sizes, "text": "A text."}
    if interventions:
        meta["interventions"] = as_json(interventions)
    return dataclasses.replace(random_trace(layers=3, tokens=9), meta=meta).to_bytes()


def test_a_problem_of_a_text_goes_once_another_text_or_list_is_there(app):
    def asked_for_nothing():
        trace_text(app, " ")
        assert any(text.startswith("The text is empty") for text in plain_texts(app))

    def listed():
        app.text_area[0].set_value("One cat sat.\nTwo cats sat.").run()
        app.session_state.pasted_per = "line"
        app.run()
        press(app, "Compare all 2")

    opened(app, "Type")
    for bring in (lambda: trace_text(app, "A cat sat."), listed):
        asked_for_nothing()
        bring()
        assert not app.exception and not any("is empty" in text for text in plain_texts(app))


def test_trace_file_is_shown_on_every_page_with_its_interventions_and_without_running_a_model(app, monkeypatch):
    monkeypatch.setattr(models, "loaded_model", lambda name: pytest.fail("a trace file needs no model"))
    opened(app, "File")
    data = trace_bytes(ForceLoops(2, layers=1), DropPath("width", tokens=4))
    app.file_uploader[0].upload("mine.trace.safetensors", data, "application/octet-stream").run()
    of_key(app.button, "open-trace").click().run()
    assert not app.exception and app.session_state.prompt.name == "mine"
    changed = "(1) 2 loops, λ follows; layer 1, all tokens, (2) no width path, the other one kept; all layers, token 4"
    for page in PAGES:
        turn_to(app, page.url_path)
        assert not app.exception, page.name
        assert state_of(app) == ("mine", 3, 9)
        assert [text for text in plain_texts(app) if f"not the model's own routing: {changed}." in text], page.name
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
    monkeypatch.setenv(TRACE_VARIABLE, str(tmp_path / "given.trace.safetensors"))
    monkeypatch.setattr(models, "CHECKPOINTS", tmp_path)
    opened(app, "Type")
    assert state_of(app) == ("given", 3, 9)
    app.text_area[0].set_value("A text for no model.").run()
    next(button for button in app.button if button.label == "Trace").click().run()
    assert not app.exception and state_of(app) == ("given", 3, 9)
    assert any("No model was found" in element.value for element in app.text)


def test_served_trace_file_is_read_once_so_that_later_visitors_do_not_need_it(app, tmp_path, monkeypatch):
    file = tmp_path / "given.trace.safetensors"
    file.write_bytes(trace_bytes())
    monkeypatch.setenv(TRACE_VARIABLE, str(file))
    opened(app, "Type")
    file.unlink()
    later = opened(AppTest.from_file(str(MAIN), default_timeout=120), "Type")
    assert state_of(later) == ("given", 3, 9)
    assert later.session_state.trace_file is app.session_state.trace_file


def upload(app: AppTest, name: str, data: bytes) -> AppTest:
    """The File tab with this file in it."""
    opened(app, "File").file_uploader[0].upload(name, data, "application/octet-stream").run()
    assert not app.exception
    return app


def told(app: AppTest) -> list[str]:
    return [element.value for element in app.text]


def test_upload_that_ends_its_reader_is_told_and_the_next_visitor_is_served(app, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(uploads, "READER", (sys.executable, "-c", "import os; os.abort()"))
        assert any("p.parquet is damaged" in each for each in told(upload(app, "p.parquet", parquet_file())))
        upload(app, "t.trace.safetensors", trace_bytes())
        of_key(app.button, "open-trace").click().run()
        assert not app.exception and app.session_state.problem.startswith("t.trace.safetensors is damaged")
    for each in (app, AppTest.from_file(str(MAIN), default_timeout=120)):
        assert prompt_chooser(upload(each, "q.parquet", parquet_file())).options[0] == "row 0: The fox number 0 ran."


def test_column_is_chosen_where_none_is_surely_the_text(app):
    upload(app, "p.csv", b"custom_id,score\nx y,1\nz,2\n")
    assert any(each.startswith("It is not clear which column of p.csv holds the text") for each in told(app))
    of_key(app.selectbox, "text of p.csv").select("score").run()
    assert not app.exception and prompt_chooser(app).options == ["line 2: 1", "line 3: 2"]
    of_key(app.selectbox, "id of p.csv").select("custom_id").run()
    assert not app.exception and prompt_chooser(app).options == ["x y: 1", "z: 2"]
