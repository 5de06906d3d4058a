"""The visitor's notes and bookmarks: on the selected token, or on a token of a run."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app.limits import MOST_NOTED_CHARACTERS, MOST_NOTES
from app.session import run_choice, state
from app.session.run_texts import RunPlace, place_in_run
from app.texts.notes import LONGEST_NAME, Note, notes_from_json, notes_to_json
from app.texts.prompts import Prompt, opening

NOTES, WORDS_KEY = "notes", "note-words"
"""Keys of the notes, and of the field for the words of a new one."""
FULL = f"There are {MOST_NOTES} notes already, or they have very long texts: remove one first."


def all_notes() -> tuple[Note, ...]:
    """The notes, the newest first."""
    return st.session_state.get(NOTES, ())


def add_here() -> None:
    """Note the words in the field, or only a bookmark, on the selected token in the selected layer."""
    session, prompt, trace = st.session_state, state.current_prompt(), state.current_trace()
    token, words = int(session.token), (session.get(WORDS_KEY) or "").strip()
    _add(_note(trace.meta, prompt, token, trace.tokens[token], int(session.layer), words))


def add_of_run(place: RunPlace) -> None:
    """Bookmark a token of the chosen run. Raises RunError if the run is gone."""
    text, label = place_in_run(place)
    prompt = Prompt(opening(f"{run_choice.run_name()}, prompt {place.prompt}"), text)
    _add(_note(run_choice.current_run().meta, prompt, place.token, label, place.layer, ""))


def remove(note: Note) -> None:
    """Remove a note."""
    st.session_state[NOTES] = tuple(each for each in all_notes() if each != note)


def jump_to(note: Note) -> None:
    """Show the text of a note with its token and layer selected; tell if another model splits the text otherwise."""
    state.show(Prompt(note.name, note.text))
    if state.current_prompt().text != note.text:
        return
    trace = state.current_trace()
    if note.token < trace.num_tokens and trace.tokens[note.token][:LONGEST_NAME] == note.label:
        state.select(token=note.token, layer=note.layer)
    else:
        model = note.model or "another model"
        state.tell_problem(f"The note is about a token of {model}; here the text is split otherwise.", kept=False)


def as_json() -> str:
    """The notes as a file, and as the browser's tab keeps them."""
    return notes_to_json(all_notes())


def take(given: Any) -> int:
    """Add the notes of a file or of the browser's tab; how many were new. Raises PromptError, in a sentence."""
    known = all_notes()
    for note in notes_from_json(given):
        if note not in all_notes() and not is_full():
            st.session_state[NOTES] = (*all_notes(), note)
    return len(all_notes()) - len(known)


def is_full() -> bool:
    """Whether there is no room for another note."""
    texts = {note.text for note in all_notes()}
    return len(all_notes()) >= MOST_NOTES or sum(map(len, texts)) >= MOST_NOTED_CHARACTERS


def forget() -> None:
    """Forget all notes."""
    st.session_state.pop(NOTES, None)


def _note(meta: Mapping[str, Any], prompt: Prompt, token: int, label: str, layer: int | None, words: str) -> Note:
    model = str(meta.get("model") or "")[:LONGEST_NAME]
    return Note(prompt.text, prompt.name[:LONGEST_NAME], token, label[:LONGEST_NAME], layer, model, words)


def _add(note: Note) -> None:
    if not is_full():
        kept = tuple(each for each in all_notes() if each != note)
        st.session_state[NOTES] = (note, *kept)


__all__ = [
    "FULL",
    "WORDS_KEY",
    "add_here",
    "add_of_run",
    "all_notes",
    "as_json",
    "forget",
    "is_full",
    "jump_to",
    "remove",
    "take",
]
