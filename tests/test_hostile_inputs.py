"""What goes wrong on the way in: every input is answered in one short sentence, and what the reader had is kept."""

import pytest
from streamlit.testing.v1 import AppTest

from app.session import state
from tests.app_in_process import new_app, prompt_chooser
from tests.hostile_inputs import CASES, Case, csv

LONGEST = 200
"""Characters of a sentence that a reader takes in at a glance."""


@pytest.fixture(scope="module")
def app():
    return new_app().run()


def give(app: AppTest, case: Case) -> None:
    """Bring an input in as a reader does."""
    if case.way == "link":
        name, _, value = case.given.partition("=")
        app.query_params[name] = value.replace("%0A", "\n")
        app.run()
        return
    app.session_state.way = "File" if case.way == "file" else "Type"
    app.session_state.pasted_per = "line" if case.way == "list" else "one"
    app.run()
    if case.way == "file":
        name, data = case.given
        app.file_uploader[0].upload(name, data() if callable(data) else data, "application/octet-stream").run()
        if name.endswith(".safetensors"):
            next(button for button in app.button if button.key == "open-trace").click().run()
        return
    app.text_area[0].set_value(case.given).run()
    if case.way == "typed":
        next(button for button in app.button if button.label == "Trace").click().run()


@pytest.mark.parametrize("name", CASES)
def test_hostile_input_gets_one_sentence_and_what_was_there_is_kept(app, name):
    case = CASES[name]
    if case.way == "link":
        app = new_app()
    else:
        before = app.session_state.prompt, app.session_state.get("trace_file")
    give(app, case)
    assert not app.exception
    told = [element.value for element in app.text]
    answers = [each for each in told if each.startswith(case.answer)]
    assert len(answers) == 1, told
    sentence = answers[0].removesuffix("Nothing has changed.").strip()
    assert len(sentence) <= LONGEST and "\n" not in sentence and sentence.endswith(".")
    assert not any(sign in sentence for sign in ("Traceback", "Error(", "\u202e", "object at 0x"))
    if case.way == "typed":
        assert answers[0].endswith("\nNothing has changed.")
    if case.way != "link":
        assert (app.session_state.prompt, app.session_state.get("trace_file")) == before
        app.session_state.problem = None
    else:
        assert app.session_state[state.MODEL_KEY] == "versatile-6l-4m"


def test_a_column_chosen_in_one_file_is_not_looked_for_in_another_of_the_same_name(app):
    give(app, Case("file", csv("id,question,answer\nx,Who?,The fox.\n"), ""))
    app.selectbox(key="text of p.csv").select("answer").run()
    give(app, Case("file", csv("number,title,line\n1,A,The boat.\n2,B,The tower.\n"), ""))
    assert not app.exception
    assert app.selectbox(key="text of p.csv").value in ("title", "line")
    assert [prompt_chooser(app).options[0]] == ["A: The boat."]


@pytest.mark.parametrize("name", ["p.txt", "p.csv"])
def test_line_ends_of_old_macs_end_lines(app, name):
    give(app, Case("file", (name, b"text\rOne.\rTwo.\r"), ""))
    assert not app.exception
    assert [option.rpartition(": ")[2] for option in prompt_chooser(app).options][-2:] == ["One.", "Two."]
