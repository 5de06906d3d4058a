"""Results that take a turn at the models to make: made once, kept for all visitors. No Streamlit."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from functools import update_wrapper
from typing import Generic, TypeVar

Made = TypeVar("Made")


class Kept(Generic[Made]):
    """A function of hashable arguments whose last `most` results are kept; it never gives None.

    Only who finds nothing waits for a turn, and nothing is locked meanwhile. A cache that locks an entry while it is
    made would let one visitor hold the entry and wait for the turn, and another hold the turn and wait for the entry.
    """

    def __init__(self, make: Callable[..., Made], *, most: int, in_turn: Callable[[], AbstractContextManager]):
        self._make, self._most, self._in_turn = make, most, in_turn
        self._found: OrderedDict[Hashable, Made] = OrderedDict()
        self._lock = threading.Lock()
        update_wrapper(self, make)

    def __call__(self, *asked: Hashable) -> Made:
        found = self._look_up(asked)
        if found is not None:
            return found
        with self._in_turn():
            found = self._look_up(asked)  # made while this one waited
            return self._keep(asked, self._make(*asked)) if found is None else found

    def clear(self) -> None:
        """Forget every result."""
        with self._lock:
            self._found.clear()

    def _look_up(self, asked: Hashable) -> Made | None:
        with self._lock:
            if asked in self._found:
                self._found.move_to_end(asked)
            return self._found.get(asked)

    def _keep(self, asked: Hashable, made: Made) -> Made:
        with self._lock:
            made = self._found.setdefault(asked, made)  # where two have a turn at a time, both may have made it
            while len(self._found) > self._most:
                self._found.popitem(last=False)
        return made


__all__ = ["Kept", "Made"]
