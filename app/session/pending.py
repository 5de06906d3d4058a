"""Work that the visitor asked for and a run has still to do: show another text, model or trace file.

Streamlit can stop a run at any moment for the visitor's next click. It also stops a callback as soon as that touches
`st.session_state`, and then forgets the click. So a callback here only notes the work, in a plain object that was taken
from the session state beforehand. The next run does the work first thing; if that run is stopped, the one after it
starts the work again.
"""

from collections.abc import Callable

import streamlit as st

Work = Callable[[], object]


class _Pending:
    """The work of one session that is still to be done."""

    work: Work | None = None


def callback(work: Work) -> Callable[[], None]:
    """A widget callback that has `work` done at the start of the next run, instead of other work still pending.

    Call this while the page is drawn, not inside a callback. `work` may be started more than once.
    """
    pending = _of_session()

    def note() -> None:
        pending.work = work

    return note


def exists() -> bool:
    """Whether there is work still to be done."""
    return _of_session().work is not None


def do() -> None:
    """Do the pending work. An exception of the work's own ends it; if Streamlit stops the run, it stays pending."""
    pending = _of_session()
    if (work := pending.work) is None:
        return
    try:
        work()
    except Exception:  # Streamlit stops a run with a BaseException
        pending.work = None
        raise
    if pending.work is work:  # otherwise a callback has noted other work meanwhile
        pending.work = None


def _of_session() -> _Pending:
    return st.session_state.setdefault("pending", _Pending())
