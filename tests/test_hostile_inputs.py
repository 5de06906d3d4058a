"""What goes wrong on the way in: every input is answered in one short sentence, and what the reader had is kept."""

import json
import random
import unicodedata
from collections import Counter

import pytest
from streamlit.testing.v1 import AppTest

from app.session import state
from app.texts.kept_prompts import list_from_json, list_to_json, texts_from_json, texts_to_json
from app.texts.notes import Note, notes_from_json, notes_to_json
from app.texts.packing import packed, unpacked
from app.texts.prompt_files import read_prompt_file
from app.texts.prompts import Prompt
from app.texts.text_link import text_from_link, text_to_link
from app.texts.what_if_link import from_link, to_link
from hooks.interventions import DropExpert, ForceLoops
from tests.app_in_process import new_app, prompt_chooser
from tests.fuzzed import damaged, outcome, strange
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


FUZZES = 300
LIST_FILES = {
    "p.csv": b'id,text,mood\n1,"The fox, he said ""no"".",gay\n2,A pear.,sad\n' * 2,
    "excel.csv": "sep=;\r\nid;text\r\n1;Der Fuchs ging.\r\n".encode("utf-16"),
    "p.jsonl": b'{"id": "a", "text": "The fox.", "n": {"a": [1, null]}}\n"A pear."\n',
    "p.md": "One.\n\nTwo \u00e4.\n".encode(),
}


@pytest.mark.parametrize("name", LIST_FILES)
def test_a_damaged_list_is_read_or_refused_in_a_sentence_and_so_is_each_row(name):
    def read():
        found = read_prompt_file(name, damaged(LIST_FILES[name], chance))
        told, names = (*found.problems, *found.notes), [prompt.name for prompt in found.prompts]
        assert all(len(each) <= LONGEST for each in told) and all(prompt.text.strip() for prompt in found.prompts)
        assert {unicodedata.category(sign) for sign in "".join((*told, *names))}.isdisjoint({"Cc", "Cs"})

    chance = random.Random(0)
    found = Counter(outcome(read) for _ in range(FUZZES))
    assert found.keys() == {"read", "refused"}, found


LIST = read_prompt_file("p.csv", LIST_FILES["p.csv"])
LINKED = (ForceLoops(4, layers=2, tokens=range(3, 6)), DropExpert(1, layers=0))
NOTES = (Note("The fox.", "fox", 1, "fox", 2, "m", "why?"), Note("The dog.", "dog", 1, "dog", None, "m"))
GIVEN_BACK = {
    "texts": (texts_to_json({1: Prompt("a", "The fox."), 2: Prompt("b", "The dog.")}), texts_from_json),
    "list": (json.loads(list_to_json(LIST)), lambda value: list_from_json(json.dumps(value))),
    "notes": (json.loads(notes_to_json(NOTES)), lambda value: notes_from_json(json.dumps(value))),
    "interventions": (json.loads(to_link(LINKED)), lambda value: from_link(json.dumps(value))),
    "text of a link": (text_to_link("The fox ran home."), lambda value: text_from_link(str(value))),
    "packed": (packed("The fox ran home."), lambda value: unpacked(str(value), 100)),
}


@pytest.mark.parametrize("what", GIVEN_BACK)
def test_what_a_browser_or_a_link_gives_back_may_be_anything(what):
    whole, read = GIVEN_BACK[what]
    read(whole)
    chance, found = random.Random(0), Counter()
    for _ in range(FUZZES):
        found[outcome(lambda: read(strange({"it": whole}, chance).get("it")))] += 1
        if isinstance(whole, str):
            odd = damaged(whole.encode(), chance).decode(errors="surrogateescape")
            found[outcome(lambda odd=odd: read(odd))] += 1
    assert found.keys() <= {"read", "refused"} and found["refused"], found
