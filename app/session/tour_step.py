"""The step of the tour that is open, and what the visitor had before it."""

import streamlit as st

from app.session.navigation import open_next

_STEP, _BEFORE = "tour_step", "before_tour"
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
    session[_STEP] = number
    open_next(page)


def end() -> None:
    """Close the tour and go back to page and selection of before; a text that the visitor took up meanwhile stays."""
    session, before = st.session_state, st.session_state.pop(_BEFORE)
    session[_STEP] = None
    open_next(before["open_page"])
    if all(session.get(key) == before[key] for key in _TEXT):
        session.update({key: before[key] for key in _SELECTION})
