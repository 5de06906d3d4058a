"""Trace files that the explorer shows: what such a file must hold, and the one that a server was started with."""

from functools import lru_cache
from pathlib import Path

from analysis.explain.cost import dense_flops
from app.texts.prompts import check_token_count
from hooks.trace import RoutingTrace


def showable(trace: RoutingTrace) -> RoutingTrace:
    """The trace as it is. Raises ValueError, in one sentence, if not every page could be drawn from it."""
    check_token_count(trace.num_tokens)
    dense_flops(trace)
    return trace


@lru_cache(maxsize=1)
def served_trace(path: Path) -> RoutingTrace:
    """The `showable` trace of a file, read once: whoever comes later needs no file, and waits for none.

    Raises ValueError or OSError if it cannot be read or shown.
    """
    return showable(RoutingTrace.load(path))


__all__ = ["served_trace", "showable"]
