"""Whether a visitor is still there: work in the background asks, since nobody stops it for a visitor who has left."""

import time
from collections.abc import Callable

from streamlit.runtime import exists, get_instance
from streamlit.runtime.scriptrunner import get_script_run_ctx

AWAY_S = 60.0
"""A connection that was lost for less is one that comes back: the visitor is still there."""


def presence(away_s: float = AWAY_S) -> Callable[[], bool]:
    """A function that says, in any thread, whether this run's visitor has an open page or had one `away_s` ago.

    Without a server (in tests and scripts) there is nobody who could leave.
    """
    context = get_script_run_ctx()
    if context is None or not exists():
        return lambda: True
    session_id, last_seen = context.session_id, time.monotonic()

    def is_there() -> bool:
        nonlocal last_seen
        now = time.monotonic()
        if not exists() or get_instance().is_active_session(session_id):
            last_seen = now
        return now - last_seen <= away_s

    return is_there


__all__ = ["AWAY_S", "presence"]
