"""What the reader asked for and has not got yet: another text, model or trace file.

Streamlit stops a run for the reader's next click, and a callback wherever it touches the session's state, and forgets
the click that began it. So a callback only notes what was asked for, without that state, and a run does it at its
start; if it is stopped in the middle, the next one does it again.
"""

from collections.abc import Callable

import streamlit as st

Work = Callable[[], object]


class _Pending:
    """The work of one session; a plain object, since the session's state is where callbacks are stopped."""

    work: Work | None = None

    def ask(self, work: Work) -> None:
        self.work = work


def asking() -> Callable[[Work], None]:
    """For a callback: `asking()(work)` has this done at the start of the next run, in place of what is pending.

    `work` may begin more than once.
    """
    return _of_session().ask


def waiting() -> bool:
    """Whether something was asked for that is not done."""
    return _of_session().work is not None


def answer() -> None:
    """Do what was asked for; what it raises by itself ends it, a stop of the run does not."""
    pending = _of_session()
    if (work := pending.work) is None:
        return
    try:
        work()
    except Exception:
        pending.work = None
        raise
    if pending.work is work:  # nothing else was asked for meanwhile
        pending.work = None


def _of_session() -> _Pending:
    return st.session_state.setdefault("pending", _Pending())
