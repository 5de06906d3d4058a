"""UMAP maps of the current text, computed on demand in a background thread that reports progress and can be stopped."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import streamlit as st

from analysis.explain.embedding import (
    FEWEST_POINTS,
    Embedding,
    Placement,
    Tell,
    embedding,
    states_to_place,
    umap_placement,
)
from app.server import umap_cache
from app.server.presence import presence
from app.session import state
from hooks.path_trace import PathTrace

LAYERS_KEY = "umap-layers"
ONE, ALL = "one", "all"
MAPS_IN_MEMORY = 8
"""Most maps of one session that stay in memory; the oldest go first."""
WHAT = "UMAP places the states in a plane so that neighbours stay neighbours."
NOT_YET = (
    f"Press the button Draw the map to draw this. {WHAT} The time depends on the text and the machine. Drawing "
    "continues while you look at other pages, and you can stop it."
)
BEING_DRAWN = f"The map is being drawn. {WHAT}"


@dataclass
class MapJob:
    """A map being computed in the background."""

    key: tuple
    is_wanted: Callable[[], bool] = lambda: True
    """Whether the visitor who asked for it is still there; asked from the job's thread."""
    share: float = 0.0
    message: str = "Waiting for another visitor's map…"
    stopped: bool = False
    future: Future[Any] = field(default_factory=Future)
    """The map, or the error: CancelledError if the visitor stopped it."""
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Since the visitor asked for the map."""
        return time.monotonic() - self.started

    def tell(self, share: float, message: str) -> None:
        """Note the progress; raises CancelledError if the visitor has stopped the job, or left."""
        self.share, self.message = share, message
        if self.stopped or not self.is_wanted():
            raise CancelledError

    def stop(self) -> None:
        """End the job before it begins or at its next stage."""
        self.stopped = True
        self.future.cancel()

    def run(self, lock: threading.Lock, compute: Callable[[], Any]) -> None:
        """Compute the map once no other job holds the lock."""
        with lock:
            if not self.future.set_running_or_notify_cancel():
                return
            try:
                self.tell(0.0, "Beginning…")
                self.future.set_result(compute())
            except Exception as problem:  # `running_job` raises it where the visitor sees it
                self.future.set_exception(problem)


@st.cache_resource(show_spinner=False)
def umap_lock() -> threading.Lock:
    """The lock of all sessions: two maps at once would take as long as one after the other."""
    return threading.Lock()


def current_map() -> Embedding | None:
    """The map of the current text and the chosen layers; None if it has not been computed."""
    return st.session_state.get("umap_maps", {}).get(_map_key())


def why_no_map() -> str | None:
    """Why the map cannot be drawn now; None if it can."""
    if current_map():
        return None
    return BEING_DRAWN if running_job() else NOT_YET


def load_from_disk(paths: PathTrace) -> None:
    """Take the map from the disk cache, if it is there."""
    if current_map() is None and (placed := _cached_placement(paths)):
        _remember(_map_key(), embedding(paths, _layers(), place=lambda states, tell: placed))


def start(paths: PathTrace) -> None:
    """Start a job for the map of the captured states."""
    job, layers = MapJob(_map_key(), presence()), _layers()

    def place(states: np.ndarray, tell: Tell) -> Placement:
        key = umap_cache.key_of(states)
        if placed := umap_cache.read(key, len(states)):  # another visitor computed it meanwhile
            return placed
        placed = umap_placement(states, tell)
        umap_cache.write(key, placed)
        return placed

    def compute() -> Embedding:
        return embedding(paths, layers, tell=job.tell, place=place)

    # Not a ThreadPoolExecutor: at exit the program would wait for its worker, as long as it takes.
    threading.Thread(target=job.run, args=(umap_lock(), compute), daemon=True).start()
    st.session_state.umap_job = job


def stop() -> None:
    """Forget the running job at once; its thread ends at the next stage."""
    if job := st.session_state.pop("umap_job", None):
        job.stop()


def running_job() -> MapJob | None:
    """The job that is still running. A finished one is removed: its map is stored, or its error raised."""
    session = st.session_state
    job: MapJob | None = session.get("umap_job")
    if job is None or not job.future.done():
        return job
    del session.umap_job
    with suppress(CancelledError):  # the visitor was away for long, and is back
        _remember(job.key, job.future.result())
    return None


def too_short(paths: PathTrace) -> str | None:
    """Why the captured states are too few for a map; None if they are enough."""
    states = int(np.prod(states_to_place(paths, _layers())[2].shape[:2]))
    return (
        None
        if states >= FEWEST_POINTS
        else f"A map needs at least {FEWEST_POINTS} states, and this text has only {states}."
    )


def _layers() -> list[int] | None:
    return None if st.session_state.get(LAYERS_KEY) == ALL else [st.session_state.layer]


def _map_key() -> tuple:
    return *state.model_and_text(), state.interventions(), tuple(_layers() or ())


def _cached_placement(paths: PathTrace) -> Placement | None:
    states = states_to_place(paths, _layers())[2]
    flat = states.reshape(-1, states.shape[-1])
    return umap_cache.read(umap_cache.key_of(flat), len(flat))


def _remember(key: tuple, computed: Embedding) -> None:
    maps = {**st.session_state.get("umap_maps", {}), key: computed}
    st.session_state.umap_maps = dict(list(maps.items())[-MAPS_IN_MEMORY:])


__all__ = [
    "ALL", "LAYERS_KEY", "ONE", "MapJob", "current_map", "load_from_disk", "running_job", "start", "stop", "too_short",
    "umap_lock", "why_no_map",
]  # fmt: skip
