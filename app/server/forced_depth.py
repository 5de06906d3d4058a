"""Sweeps over the depth and lambda of texts: run in steps for the visitor who asked, and kept here for all.

The results are found by model and text, never by visitor. So whoever returns to a text, after another page, a stopped
sweep or a closed tab, finds what was run, and a sweep goes on where it ended. Of two visitors who sweep the same text
at the same time one begins at its end, and neither runs what the other has.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import streamlit as st

from app.limits import MAX_KEPT_SWEEPS_BYTES
from app.server.background_job import BackgroundJob
from hooks.depth_effects import DepthEffects, tokens_to_run, work_of
from hooks.frontier_record import Frontier, GateSweep
from hooks.trace import RoutingTrace

Key = tuple[str, ...]
DEPTH, GATES, GATE, TEXTS = "depth", "gates", "gate", "texts"
"""Kinds of sweeps: over the loops of every cell, under other gates, over lambda; and the first two of several texts."""


class KeptSweeps:
    """Results by key, the least recently used first out once they are too large together."""

    def __init__(self, most_bytes: int = MAX_KEPT_SWEEPS_BYTES):
        self._most_bytes, self._kept, self._at_work = most_bytes, OrderedDict(), Counter()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Any | None:
        """The result of a key; None if there is none."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def change(self, key: Hashable, change: Callable[[Any | None], Any]) -> Any:
        """Keep and return what `change` makes of the result of a key."""
        with self._lock:
            self._kept[key] = found = change(self._kept.get(key))
            self._kept.move_to_end(key)
            while len(self._kept) > 1 and sum(map(_size, self._kept.values())) > self._most_bytes:
                self._kept.popitem(last=False)
            return found

    @contextmanager
    def at_work(self, key: Hashable) -> Iterator[int]:
        """Be counted as one who works at a key; gives the number of others who do."""
        with self._lock:
            others = self._at_work[key]
            self._at_work[key] += 1
        try:
            yield others
        finally:
            with self._lock:
                self._at_work[key] -= 1


@st.cache_resource(show_spinner=False)
def kept_sweeps() -> KeptSweeps:
    """The results of all visitors."""
    return KeptSweeps()


def sweep_depth(job: BackgroundJob, kept: KeptSweeps, loaded, key: Key, trace: RoutingTrace) -> DepthEffects:
    """Run all tokens of a text that were not run yet; each is kept at once."""
    from hooks import sweep_tokens

    def known() -> DepthEffects:
        return kept.get(key) or DepthEffects.none_of(trace)

    total = sum(work_of(trace, token) for token in tokens_to_run(trace))

    def tell() -> None:
        ran = known().ran
        done, share = int(ran.sum()), sum(work_of(trace, token) for token in ran.nonzero()[0].tolist()) / max(total, 1)
        job.tell(share, f"{done:,} of {len(tokens_to_run(trace)):,} tokens forced to every depth in every layer…")

    tell()
    with kept.at_work(key) as others, job.turns() as next_turn:
        order = tokens_to_run(trace)[:: -1 if others % 2 else 1]  # two meet in the middle
        waiting = (token for token in order if not known().ran[token])
        for part in sweep_tokens(loaded, trace, tokens=waiting, check=next_turn):
            kept.change(key, lambda found, part=part: (found or DepthEffects.none_of(trace)).with_tokens([part]))
            tell()
    return known()


def run_other_gates(job: BackgroundJob, kept: KeptSweeps, loaded, key: Key, effects: DepthEffects) -> Frontier:
    """Read a text under every other gate, and keep what that costs and loses."""
    from hooks import frontier_steps

    with job.turns() as next_turn:
        message = "Reading the text under one gate after the other…"
        return _run(job, kept, key, frontier_steps(loaded, effects), message, next_turn)


def move_gate(
    job: BackgroundJob, kept: KeptSweeps, loaded, key: Key, trace: RoutingTrace, layer: int, token: int
) -> GateSweep:
    """Read a text with one lambda after the other in a cell, its layer and the model, and keep what that does."""
    from hooks import gate_sweep_steps

    with job.turns() as next_turn:
        message = "Reading the text with one λ after the other…"
        return _run(job, kept, key, gate_sweep_steps(loaded, trace, layer, token), message, next_turn)


def _run(job: BackgroundJob, kept: KeptSweeps, key: Key, steps, message: str, next_turn: Callable[[], None]) -> Any:
    """Run work in steps of one pass (`hooks.other_gates.Steps`) and keep its result."""
    while True:
        try:
            share = next(steps)
        except StopIteration as end:
            result = end.value
            break
        job.tell(share, message)
        next_turn()
    return kept.change(key, lambda _: result)


def _size(result: Any) -> int:
    """Bytes of a result: a few arrays per token, or far fewer numbers."""
    return getattr(result, "nbytes", 4096)


__all__ = [
    "DEPTH", "GATE", "GATES", "TEXTS", "Key", "KeptSweeps", "kept_sweeps", "move_gate", "run_other_gates",
    "sweep_depth",
]  # fmt: skip
