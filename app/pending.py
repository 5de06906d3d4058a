"""What the reader asked for and has not got yet: another text, model or trace file.

Streamlit stops a run for the reader's next click, callbacks included, and forgets the click that began it. So a
callback only notes what was asked for, and a run does it at its start; if it is stopped in the middle, the next one
does it again.
"""

from collections.abc import Callable

import streamlit as st


def ask(work: Callable[[], object]) -> None:
    """Have this done at the start of the next run, in place of what is pending; `work` may begin more than once."""
    st.session_state.pending = work


def waiting() -> bool:
    """Whether something was asked for that is not done."""
    return st.session_state.get("pending") is not None


def answer() -> None:
    """Do what was asked for; what it raises by itself ends it, a stop of the run does not."""
    work = st.session_state.get("pending")
    if work is None:
        return
    try:
        work()
    except Exception:
        st.session_state.pending = None
        raise
    st.session_state.pending = None
