"""The time that the FFNs take over the current text, measured when the visitor asks for it."""

import streamlit as st

from app.server import captures
from app.session import state


def measure_ffn() -> None:
    """Measure the time of the FFNs over the current text; every call measures again."""
    current = state.model_and_text()
    st.session_state.ffn_times = current, captures.measure_ffn(*current)


def ffn_times() -> dict[str, float] | None:
    """Way of running the FFNs over the current text -> seconds; None until they were measured."""
    session = st.session_state
    measured, seconds = session.get("ffn_times", (None, None))
    return seconds if state.trace_file() is None and measured == state.model_and_text() else None
