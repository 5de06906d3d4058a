"""A first-come-first-served semaphore whose waiting callers are told their place in the queue. No Streamlit.

Two texts traced at the same time take as long as one after the other and twice the memory, so visitors queue for the
models.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PAUSE_S = 0.5


class FairQueue:
    """A queue for something that serves `slots` callers at a time."""

    def __init__(self, slots: int = 1):
        self.slots = slots
        self._tickets: deque[object] = deque()
        """Of all callers in order of arrival; the first `slots` of them are being served."""
        self._changed = threading.Condition()
        self._this_thread = threading.local()

    @contextmanager
    def turn(self, tell: Callable[[int], None] = lambda ahead: None) -> Iterator[None]:
        """Wait for a turn and hold it during the body. A thread that already holds a turn does not wait (reentrant).

        During the wait, `tell(ahead)` is called with the number of callers ahead, at least every `PAUSE_S` seconds. An
        exception that it raises ends the wait.
        """
        if getattr(self._this_thread, "has_turn", False):
            yield
            return
        ticket = object()
        with self._changed:
            self._tickets.append(ticket)
        try:
            self._wait(ticket, tell)
            self._this_thread.has_turn = True
            yield
        finally:
            self._this_thread.has_turn = False
            with self._changed:
                self._tickets.remove(ticket)
                self._changed.notify_all()

    def _wait(self, ticket: object, tell: Callable[[int], None]) -> None:
        while (ahead := self._ahead(ticket)) > 0:
            tell(ahead)  # outside the lock: it talks to a browser
            with self._changed:
                self._changed.wait_for(lambda: self._ahead(ticket) != ahead, PAUSE_S)

    def _ahead(self, ticket: object) -> int:
        with self._changed:
            return self._tickets.index(ticket) - self.slots + 1


__all__ = ["FairQueue"]
