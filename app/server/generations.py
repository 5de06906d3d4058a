"""Generates text for the app: a few tokens at a time, each time in a turn at the models.

Between two turns the cached keys and values wait here, under a name that only the visitor's session knows. They may be
dropped at any time: a session holds what was written, and goes on from that.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import streamlit as st

from app.limits import MAX_GENERATION_BYTES, MAX_GENERATIONS
from app.server import captures, models
from app.server.queues import model_turn
from app.texts.prompts import PromptError
from hooks.interventions import Intervention
from hooks.sampling import FULL, Sampling
from hooks.trace import RoutingTrace

if TYPE_CHECKING:
    from hooks.batches import BatchRuns
    from hooks.generation import Generation, Written

WORK_S = 0.3
"""Seconds of a turn, after which others may have theirs and a stop takes effect."""


class Grown(NamedTuple):
    """A generation after some work on it."""

    written: "Written"
    unread: int
    """Tokens that have still to be run."""
    finished: str | None
    """As `Generation.finished`."""
    trace: RoutingTrace | None
    """None while tokens are unread."""


class Live:
    """The generations that can go on at once; the least recently used are dropped."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, Generation] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def taken(self, key: str, again: "Callable[[], Generation]") -> "Iterator[Generation]":
        """Take a generation out while it is worked on; `again` makes one that is not here any more."""
        with self._lock:
            generation = self._waiting.pop(key, None)
        generation = generation or again()
        try:
            yield generation
        finally:
            self.put(key, generation)

    def put(self, key: str, generation: "Generation") -> None:
        """Let a generation wait here."""
        with self._lock:
            self._waiting[key] = generation
            self._waiting.move_to_end(key)
            while len(self._waiting) > 1 and (
                len(self._waiting) > MAX_GENERATIONS
                or sum(each.nbytes for each in self._waiting.values()) > MAX_GENERATION_BYTES
            ):
                self._waiting.popitem(last=False)

    def clear(self) -> None:
        """Drop all."""
        with self._lock:
            self._waiting.clear()


@st.cache_resource(show_spinner=False)
def live() -> Live:
    """The generations of all visitors."""
    return Live()


def begin(model: str, key: str, text: str, sampling: Sampling, interventions: Sequence[Intervention]) -> Grown:
    """Begin a generation under a new name; nothing is run. Raises PromptError if the text cannot be gone on with."""
    from hooks.generation import Generation

    loaded = models.loaded_model(model)
    with model_turn():
        try:
            generation = Generation(loaded, text, sampling=sampling, interventions=interventions)
        except ValueError as error:
            raise PromptError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
    live().put(key, generation)
    return _grown(generation)


def grow(model: str, key: str, written: "Written", sampling: Sampling, tokens: int) -> tuple[Grown, int]:
    """Work on a generation for WORK_S at most, until it has this many more tokens; also how many it got.

    Raises PromptError if the model's numbers are not finite.
    """
    from hooks import NotFiniteError
    from hooks.generation import Generation

    loaded = models.loaded_model(model)
    with live().taken(key, lambda: Generation.of(loaded, written, sampling)) as generation:
        generation.sampling, added = sampling, 0
        with model_turn():
            began = time.monotonic()
            try:
                while (added < tokens and generation.finished != FULL) or generation.unread:
                    added += generation.advance() is not None
                    if time.monotonic() - began > WORK_S or (added and generation.finished):
                        break
            except NotFiniteError as error:
                raise PromptError(f"{error}.") from error
            return _grown(generation), added


def step_back(model: str, key: str, written: "Written", sampling: Sampling) -> Grown:
    """Take back the last token."""
    from hooks.generation import Generation

    loaded = models.loaded_model(model)
    with live().taken(key, lambda: Generation.of(loaded, written, sampling)) as generation, model_turn():
        generation.step_back()
        while generation.unread:
            generation.advance()
        return _grown(generation)


def branch(
    model: str,
    keys: tuple[str, str],
    written: "Written",
    token: int,
    interventions: Sequence[Intervention],
    sampling: Sampling,
) -> Grown:
    """Branch a generation, the first of the `keys`, from a token on; the branch gets the second one.

    Raises ValueError for an intervention that does not fit.
    """
    from hooks.generation import Generation

    loaded, (trunk, key) = models.loaded_model(model), keys
    with live().taken(trunk, lambda: Generation.of(loaded, written, sampling)) as generation, model_turn():
        found = generation.branch(token, interventions, sampling=sampling)
    live().put(key, found)
    return _grown(found)


def keep(model: str, trace: RoutingTrace) -> bool:
    """Keep a generated text's trace as that of its text, so that it is not run again; whether this can be.

    It cannot if the model would read the text as other tokens, or if the trace is not of its own choices. What the
    trace tells of its generation is left out, since the traces of texts are shared by all visitors.
    """
    text = str(trace.meta["text"])
    try:
        reading = captures.read_within_limits(models.loaded_model(model), text)
    except PromptError:
        return False
    if trace.interventions or reading.ids != trace.token_ids.tolist() or reading.special != trace.special.tolist():
        return False
    told = {name: value for name, value in trace.meta.items() if name not in ("generated", "chat")}
    captures.keep_trace(model, text, replace(trace, meta=told | reading.meta))
    return True


def batches_of(model: str, text: str) -> "BatchRuns":
    """A text alone and in batches with padding. Not cached."""
    from hooks import run_in_batches

    with model_turn():
        return run_in_batches(models.loaded_model(model), text)


def _grown(generation: "Generation") -> Grown:
    trace = None if generation.unread else generation.trace()
    return Grown(generation.written, generation.unread, generation.finished, trace)


__all__ = ["Grown", "Live", "batches_of", "begin", "branch", "grow", "keep", "live", "step_back"]
