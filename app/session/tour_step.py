"""The step of the tour that is open."""

import streamlit as st

_STEP, _MOVED = "tour_step", "tour_moved"


def step() -> int | None:
    """Number of the open step, from 0; None if the tour is closed."""
    return st.session_state.get(_STEP)


def go_to(number: int) -> None:
    """Open a step."""
    st.session_state.update({_STEP: number, _MOVED: True})


def end() -> None:
    """Close the tour."""
    st.session_state[_STEP] = None


def just_moved() -> bool:
    """Whether a step was opened since this was last called."""
    return st.session_state.pop(_MOVED, False)
