"""Knock-outs of texts, measured a step at a time in the caller's turn, and kept for everybody who asks for them again.

What was measured of a text stays when its visitor leaves in the middle of it, and is continued by whoever comes next.
"""

import threading
from collections import OrderedDict
from time import monotonic
from typing import TYPE_CHECKING

import streamlit as st

from app.limits import MAX_KNOCK_OUTS_BYTES
from app.server import captures, models
from app.server.queues import model_turn, stop_if_left
from hooks.knock_out_trace import KnockOutTrace, Then

if TYPE_CHECKING:
    from hooks import KnockOutRun

Key = tuple[str, str, Then]
"""Model, text, and what follows a drop."""
TURN_S = 0.4
"""Seconds of one turn: so often progress is shown and a stop takes effect, while others may have theirs."""


class _Runs:
    """The runs of all visitors by their key, the last used ones within MAX_KNOCK_OUTS_BYTES."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.by_key: OrderedDict[Key, tuple[KnockOutRun, threading.Lock]] = OrderedDict()

    def find(self, key: Key) -> "tuple[KnockOutRun, threading.Lock] | None":
        with self.lock:
            if key in self.by_key:
                self.by_key.move_to_end(key)
            return self.by_key.get(key)

    def keep(self, key: Key, run: "KnockOutRun") -> "tuple[KnockOutRun, threading.Lock]":
        with self.lock:
            found = self.by_key.setdefault(key, (run, threading.Lock()))
            while len(self.by_key) > 1 and sum(each.nbytes for each, _ in self.by_key.values()) > MAX_KNOCK_OUTS_BYTES:
                self.by_key.popitem(last=False)
            return found


@st.cache_resource(show_spinner=False)
def _runs() -> _Runs:
    return _Runs()


def known_knock_outs(key: Key) -> KnockOutTrace | None:
    """What is measured of a text so far; None if nothing is."""
    found = _runs().find(key)
    return found[0].result() if found and found[0].share() > 0 else None


def share_measured(key: Key, stages: tuple[str, ...]) -> float:
    """How much of these stages is measured, 0..1."""
    found = _runs().find(key)
    return found[0].share(stages) if found else 0.0


def measure_knock_outs(key: Key, stages: tuple[str, ...]) -> None:
    """Measure for a turn at the models; a visitor who stops or leaves ends it at the next layer.

    Raises PromptError or ModelError if the text cannot be traced.
    """
    from hooks import KnockOutRun

    model, text, then = key
    if (found := _runs().find(key)) is None:
        found = _runs().keep(key, KnockOutRun(captures.trace_of(model, text), then=then))
    run, alone = found
    loaded = models.loaded_model(model)
    with model_turn(), alone:
        end = monotonic() + TURN_S
        while run.advance(loaded, stages, between=stop_if_left) and monotonic() < end:
            stop_if_left()
