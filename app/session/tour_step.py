"""The step of the tour that is open, and what the visitor had before it."""

import streamlit as st

_STEP, _OPEN_NEXT, _BEFORE = "tour_step", "tour_opens", "before_tour"
_SELECTION, _TEXT = ("layer", "token"), ("model", "prompt", "trace_file")
"""Keys in the session of what the tour changes, and of the text to which that belongs."""


def step() -> int | None:
    """Number of the open step, from 0; None if the tour is closed."""
    return st.session_state.get(_STEP)


def go_to(number: int, page: str) -> None:
    """Open a step, and its page in the next run.

    Call it before the step selects something: the first call remembers what the visitor had, for `end`.
    """
    session = st.session_state
    if step() is None:
        session[_BEFORE] = {key: session.get(key) for key in ("open_page", *_SELECTION, *_TEXT)}
    session.update({_STEP: number, _OPEN_NEXT: page})


def end() -> None:
    """Close the tour and go back to page and selection of before; a text that the visitor took up meanwhile stays."""
    session, before = st.session_state, st.session_state.pop(_BEFORE)
    session.update({_STEP: None, _OPEN_NEXT: before["open_page"]})
    if all(session.get(key) == before[key] for key in _TEXT):
        session.update({key: before[key] for key in _SELECTION})


def page_to_open() -> str | None:
    """Name of the page that the step just reached, or the end, wants open; None if nothing was reached since."""
    return st.session_state.pop(_OPEN_NEXT, None)
