"""Small results about many texts, found by model and text; of the text only a digest is kept. No Streamlit."""

import hashlib
import threading
from collections import OrderedDict
from typing import Generic, TypeVar

Summary = TypeVar("Summary")


class SummaryCache(Generic[Summary]):
    """The last `entries` results, least recently used first out."""

    def __init__(self, entries: int) -> None:
        self._max_entries = entries
        self._found: OrderedDict[tuple[str, bytes], Summary] = OrderedDict()
        self._lock = threading.Lock()

    def look_up(self, key: tuple[str, str]) -> Summary | None:
        """The result for (model, text); None if there is none."""
        with self._lock:
            if (short := _short(key)) in self._found:
                self._found.move_to_end(short)
            return self._found.get(short)

    def store(self, key: tuple[str, str], found: Summary) -> None:
        """Keep the result for (model, text)."""
        with self._lock:
            self._found[_short(key)] = found
            self._found.move_to_end(_short(key))
            while len(self._found) > self._max_entries:
                self._found.popitem(last=False)


def _short(key: tuple[str, str]) -> tuple[str, bytes]:
    model, text = key
    return model, hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


__all__ = ["SummaryCache"]
