"""UMAP maps of the current text: made on demand, in a thread of their own that can be watched and stopped."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field

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
from app.server import umap_files
from app.session import state
from hooks.path_trace import PathTrace

LAYERS_KEY = "umap-layers"
ONE, ALL = "one", "all"
KEPT = 8
"""Maps of one session that are kept in memory."""
NOT_YET = (
    "Not drawn yet. UMAP places states so that neighbours stay neighbours; that takes some seconds, and once per start "
    "of the program half a minute more. The button below begins."
)


@dataclass
class Making:
    """A map in the making."""

    asked: tuple
    share: float = 0.0
    said: str = "Waiting for another reader's map…"
    stopped: bool = False
    future: Future[Embedding] = field(default_factory=Future)
    """The map, or what went wrong: CancelledError once the reader has stopped it."""
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Since the reader asked."""
        return time.monotonic() - self.began

    def tell(self, share: float, said: str) -> None:
        """Note how far it is; raises CancelledError once the reader has stopped it."""
        self.share, self.said = share, said
        if self.stopped:
            raise CancelledError

    def stop(self) -> None:
        """Do not begin, or end at the next stage."""
        self.stopped = True
        self.future.cancel()

    def run(self, line: threading.Lock, make: Callable[[], Embedding]) -> None:
        """Make the map when no other is in the making."""
        with line:
            if not self.future.set_running_or_notify_cancel():
                return
            try:
                self.tell(0.0, "Beginning…")
                self.future.set_result(make())
            except Exception as problem:  # raised where the reader sees it: `making`
                self.future.set_exception(problem)


@st.cache_resource(show_spinner=False)
def _one_at_a_time() -> threading.Lock:
    """Two maps at once would take as long as one after the other."""
    return threading.Lock()


def current_map() -> Embedding | None:
    """The map of the current text and the layers chosen; None while it was not made."""
    return st.session_state.get("umap_maps", {}).get(_asked())


def why_no_map() -> str | None:
    """Why the map cannot be drawn now; None if it can."""
    return None if current_map() else NOT_YET


def look_up(paths: PathTrace) -> None:
    """Take the map from disk if it was ever made there."""
    if current_map() is None and (placed := _kept(paths)):
        _remember(_asked(), embedding(paths, _layers(), place=lambda states, tell: placed))


def start(paths: PathTrace) -> None:
    """Begin to make the map of the captured states."""
    making, layers = Making(_asked()), _layers()

    def place(states: np.ndarray, tell: Tell) -> Placement:
        key = umap_files.key_of(states)
        if placed := umap_files.read(key, len(states)):  # made by another reader meanwhile
            return placed
        placed = umap_placement(states, tell)
        umap_files.write(key, placed)
        return placed

    def make() -> Embedding:
        return embedding(paths, layers, tell=making.tell, place=place)

    # Not the worker of a ThreadPoolExecutor: the program would wait for it at its end, up to a minute.
    threading.Thread(target=making.run, args=(_one_at_a_time(), make), daemon=True).start()
    st.session_state.umap_making = making


def stop() -> None:
    """End the making at its next stage; the reader is free at once."""
    if making := st.session_state.pop("umap_making", None):
        making.stop()


def making() -> Making | None:
    """The map in the making that is still waited for; None if there is none, or what it gave is there now."""
    session = st.session_state
    found: Making | None = session.get("umap_making")
    if found is None or not found.future.done():
        return found
    del session.umap_making
    _remember(found.asked, found.future.result())
    return None


def too_short(paths: PathTrace) -> str | None:
    """Why no map can be made of the captured states; None if one can."""
    layers = len(_layers() or paths.layers)
    states = layers * paths.num_tokens * paths.states.shape[2]
    return None if states >= FEWEST_POINTS else f"A map needs at least {FEWEST_POINTS} states; here are {states}."


def _layers() -> list[int] | None:
    return None if st.session_state.get(LAYERS_KEY) == ALL else [st.session_state.layer]


def _asked() -> tuple:
    return *state.model_and_text(), tuple(_layers() or ())


def _kept(paths: PathTrace) -> Placement | None:
    states = states_to_place(paths, _layers())[2]
    flat = states.reshape(-1, states.shape[-1])
    return umap_files.read(umap_files.key_of(flat), len(flat))


def _remember(asked: tuple, found: Embedding) -> None:
    maps = {**st.session_state.get("umap_maps", {}), asked: found}
    st.session_state.umap_maps = dict(list(maps.items())[-KEPT:])


__all__ = [
    "ALL", "LAYERS_KEY", "ONE", "current_map", "look_up", "making", "start", "stop", "too_short", "why_no_map",
]  # fmt: skip
