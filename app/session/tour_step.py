"""The step of the tour that a visitor has reached."""

import streamlit as st

_STEP, _MOVED = "tour_step", "tour_moved"


def step() -> int | None:
    """Number of the open step; None without a tour."""
    return st.session_state.get(_STEP)


def go_to(number: int) -> None:
    """Open a step."""
    st.session_state.update({_STEP: number, _MOVED: True})


def end() -> None:
    """No tour any more."""
    st.session_state[_STEP] = None


def just_moved() -> bool:
    """Whether a step was opened since this was last asked."""
    return st.session_state.pop(_MOVED, False)
