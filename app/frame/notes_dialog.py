"""The window of notes and bookmarks: one on the selected token, the list, and the file."""

from functools import partial

import streamlit as st

from analysis.words.labels import how_many, token_label
from app.limits import MOST_NOTE_CHARACTERS
from app.session import notes, pending, state
from app.texts.notes import Note
from app.texts.prompts import PromptError

FILE = "notes.json"


@st.dialog("Notes and bookmarks", width="large", on_dismiss="rerun")
def notes_dialog() -> None:
    """Add a note, go to one, remove one, download or upload all."""
    if pending.exists():
        st.rerun()  # the whole page, with the text of the note
    _add()
    found = notes.all_notes()
    if not found:
        st.caption("There are no notes yet. They stay in this browser tab until you close it; download them to keep.")
    for number, note in enumerate(found):
        _row(number, note)
    _file(found)


def _add() -> None:
    trace, view = state.current_trace(), state.current_view()
    label = token_label(trace, view.token)
    st.text(f"“{label}” (token {view.token}) in layer {view.layer} of {state.current_prompt().name}")
    with st.form("note", border=False, clear_on_submit=True):
        st.text_area(
            "Note; without words it is a bookmark", key=notes.WORDS_KEY, max_chars=MOST_NOTE_CHARACTERS, height=90
        )
        full = notes.FULL if notes.is_full() else None
        st.form_submit_button("Add", type="primary", disabled=full is not None, help=full, on_click=notes.add_here)


def _row(number: int, note: Note) -> None:
    where = "all layers" if note.layer is None else f"layer {note.layer}"
    with st.container(border=True, key=f"note-{number}"):
        if note.words:
            st.text(note.words)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.text(f"“{note.label}” (token {note.token}), {where}, {note.name}", width="stretch")
            st.button("Go to", key=f"note-go-{number}", on_click=pending.callback(partial(notes.jump_to, note)))
            st.button("Remove", key=f"note-remove-{number}", type="tertiary", on_click=partial(notes.remove, note))


def _file(found: tuple[Note, ...]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        if found:
            st.download_button("Download notes", notes.as_json(), FILE, "application/json", on_click="ignore")
        st.caption(f"{how_many(len(found), 'note')}. The file holds their texts.", width="stretch")
    given = st.file_uploader("Notes of a file", type="json", key="notes-file")
    if given is not None and st.button("Add the notes of the file"):
        try:
            notes.take(given.getvalue())
        except PromptError as error:
            st.text(str(error))
            return
        st.rerun(scope="fragment")


__all__ = ["notes_dialog"]
