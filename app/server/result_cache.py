"""A cache of function results that all visitors share. A result is computed in the caller's turn. No Streamlit."""

import inspect
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from functools import update_wrapper
from typing import Generic, TypeVar

Result = TypeVar("Result")


class ResultCache(Generic[Result]):
    """A function of hashable arguments with a least-recently-used cache of its results; it must never return None.

    A cached result is returned at once. Only a caller that has to compute one waits for a `turn()`, and no lock is held
    meanwhile. A cache that locks an entry while it is computed would deadlock: one visitor holds the entry and waits
    for the turn, another holds the turn and waits for the entry.
    """

    def __init__(
        self,
        compute: Callable[..., Result],
        *,
        entries: int,
        turn: Callable[[], AbstractContextManager],
        most_bytes: int | None = None,
    ) -> None:
        """Keep the last `entries` results and, of results that have `nbytes`, only as many as `most_bytes` hold."""
        self._compute, self._max_entries, self._turn = compute, entries, turn
        self._signature = inspect.signature(compute)
        self._most_bytes = most_bytes
        self._results: OrderedDict[Hashable, Result] = OrderedDict()
        self._lock = threading.Lock()
        update_wrapper(self, compute)

    def __call__(self, *given: Hashable) -> Result:
        bound = self._signature.bind(*given)
        bound.apply_defaults()  # a default that is given and one that is left out are the same
        arguments = bound.args
        result = self._look_up(arguments)
        if result is not None:
            return result
        with self._turn():
            result = self._look_up(arguments)  # another caller may have computed it during the wait
            return self._store(arguments, self._compute(*arguments)) if result is None else result

    def keep(self, arguments: tuple[Hashable, ...], result: Result) -> None:
        """Keep a result that was made elsewhere for all these arguments, unless there is one."""
        self._store(arguments, result)

    def clear(self) -> None:
        """Remove every result."""
        with self._lock:
            self._results.clear()

    def _look_up(self, arguments: Hashable) -> Result | None:
        with self._lock:
            if arguments in self._results:
                self._results.move_to_end(arguments)
            return self._results.get(arguments)

    def _store(self, arguments: Hashable, result: Result) -> Result:
        with self._lock:
            result = self._results.setdefault(arguments, result)  # with several turns at a time, two may compute it
            while len(self._results) > 1 and self._are_too_many():
                self._results.popitem(last=False)
        return result

    def _are_too_many(self) -> bool:
        """Whether a result has to go. The newest one stays, however large it is."""
        if len(self._results) > self._max_entries:
            return True
        return self._most_bytes is not None and sum(each.nbytes for each in self._results.values()) > self._most_bytes


__all__ = ["Result", "ResultCache"]
