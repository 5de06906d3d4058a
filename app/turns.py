"""Taking turns at the models: many visitors, few processor cores. No Streamlit.

Two texts traced at the same time take as long as one after the other, and twice the memory. So visitors stand in line,
first come first served, and can be told their place.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager


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

        While others come first, `tell(ahead)` is called with their number, and again when it changes; what it raises
        ends the waiting.
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
        told = 0
        while True:
            with self._changed:
                ahead = self._line.index(ticket) - self.places + 1
                if ahead == told and ahead > 0:
                    self._changed.wait()
                    continue
            if ahead <= 0:
                return
            tell(ahead)  # outside the lock: it talks to a browser
            told = ahead


__all__ = ["Turns"]
