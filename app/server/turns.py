"""Taking turns at the models: many visitors, few processor cores. No Streamlit.

Two texts traced at the same time take as long as one after the other, and twice the memory. So visitors stand in line,
first come first served, and can be told their place.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PAUSE_S = 0.5


class Turns:
    """A line in front of something that serves `places` callers at a time."""

    def __init__(self, places: int = 1):
        self.places = places
        self._line: deque[object] = deque()
        self._changed = threading.Condition()
        self._held = threading.local()

    @contextmanager
    def turn(self, tell: Callable[[int], None] = lambda ahead: None) -> Iterator[None]:
        """Wait for a turn and hold it for the body; inside a turn of the same thread there is nothing to wait for.

        While others come first, `tell(ahead)` is called with their number, at least every `PAUSE_S` seconds; what it
        raises ends the waiting.
        """
        if getattr(self._held, "turn", False):
            yield
            return
        ticket = object()
        with self._changed:
            self._line.append(ticket)
        try:
            self._wait(ticket, tell)
            self._held.turn = True
            yield
        finally:
            self._held.turn = False
            with self._changed:
                self._line.remove(ticket)
                self._changed.notify_all()

    def _wait(self, ticket: object, tell: Callable[[int], None]) -> None:
        while (ahead := self._ahead(ticket)) > 0:
            tell(ahead)  # outside the lock: it talks to a browser
            with self._changed:
                self._changed.wait_for(lambda: self._ahead(ticket) != ahead, PAUSE_S)

    def _ahead(self, ticket: object) -> int:
        with self._changed:
            return self._line.index(ticket) - self.places + 1


__all__ = ["Turns"]
