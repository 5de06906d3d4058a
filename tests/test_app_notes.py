"""Notes and bookmarks: on the selected token or on one of a run, kept as JSON that is checked when it comes back."""

import json
from dataclasses import replace

import pytest

from app.limits import MAX_CHARACTERS, MOST_NOTE_CHARACTERS, MOST_NOTES
from app.session import kept_work, notes, run_texts
from app.texts.examples import EXAMPLES
from app.texts.notes import Note, notes_from_json, notes_to_json
from app.texts.prompts import PromptError
from tests.app_in_process import new_app, press, trace_text
from tests.traces import HOSTILE

NOTE = Note("Once <b>upon</b> a time.", "mine", 2, "".join(HOSTILE)[:20], 3, "tiny", "Why so deep?\n$x$")


def test_notes_come_back_from_json_and_a_text_of_several_stands_once():
    found = (NOTE, replace(NOTE, token=0, words=""), replace(NOTE, text="Another.", layer=None))
    written = notes_to_json(found)
    assert notes_from_json(written) == found and notes_from_json(written.encode()) == found
    assert len(json.loads(written)["texts"]) == 2


GOOD = json.loads(notes_to_json((NOTE,)))


@pytest.mark.parametrize(
    "given",
    [
        "",
        " " * (6 * 2**20),
        "[]",
        "null",
        "{" * 100_000,
        "[" * 100_000,
        json.dumps(GOOD | {"notes_version": 2}),
        json.dumps(GOOD | {"texts": []}),
        json.dumps(GOOD | {"texts": ["x" * (MAX_CHARACTERS + 1)]}),
        json.dumps(GOOD | {"texts": [""]}),
        json.dumps(GOOD | {"notes": GOOD["notes"] * (MOST_NOTES + 1)}),
        *(
            json.dumps(GOOD | {"notes": [GOOD["notes"][0] | {name: value}]})
            for name, value in [
                ("text", -1),
                ("text", True),
                ("token", -1),
                ("token", 1.5),
                ("token", "2"),
                ("layer", "3"),
                ("words", 3),
                ("words", "x" * (MOST_NOTE_CHARACTERS + 1)),
                ("label", None),
                ("name", ["x"]),
                ("model", "x" * 500),
                ("words", "half a \ud83d"),
                ("label", "\udfff"),
            ]
        ),
    ],
)
def test_whatever_else_is_given_is_refused_in_a_sentence(given):
    with pytest.raises(PromptError) as refused:
        notes_from_json(given)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 300


def test_a_note_is_added_gone_to_kept_over_a_reload_and_forgotten():
    app = new_app().run()
    app.session_state.token, app.session_state.layer = 7, 2
    app.run()
    press(app, "Notes")
    next(area for area in app.text_area if area.label.startswith("Note")).set_value("The first deep one.")
    press(app, "Add")
    (note,) = app.session_state[notes.NOTES]
    assert (note.token, note.layer, note.text, note.words) == (7, 2, EXAMPLES["fox"].text, "The first deep one.")
    trace_text(app, "A text of my own.")
    app.session_state["pending"].work = lambda: notes.jump_to(note)
    app.run()
    assert (app.session_state.token, app.session_state.layer) == (7, 2)
    assert app.session_state.prompt.text == EXAMPLES["fox"].text

    again = new_app().run()
    again.session_state["pending"].work = lambda: kept_work.take_back({"work": app.session_state["kept_work"][1]})
    again.run()
    assert again.session_state[notes.NOTES] == (note,)
    press(again, "Notes")
    press(again, "Remove")
    assert again.session_state[notes.NOTES] == ()


def test_a_token_of_a_run_is_bookmarked_and_a_note_of_another_split_says_so():
    app = new_app().run()
    app.session_state["pending"].work = lambda: notes.add_of_run(run_texts.RunPlace(3, 5, None))
    app.run()
    (note,) = app.session_state[notes.NOTES]
    assert note.name == "sample texts, prompt 3" and note.layer is None and note.words == ""
    app.session_state["pending"].work = lambda: notes.jump_to(note)
    app.run()
    assert app.session_state.token == 5 and not app.session_state.problem
    app.session_state["pending"].work = lambda: notes.jump_to(replace(note, label="no such token"))
    app.run()
    assert "is split otherwise" in app.session_state.problem
