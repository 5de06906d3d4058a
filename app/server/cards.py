"""Cards of runs for all visitors: what they need of a layer is counted once, for all of its cards."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st

from analysis.runs.cards import Card, card
from analysis.runs.choices import Choice
from analysis.runs.filters import TokenFilter
from analysis.runs.layer_counts import LayerCounts, layer_counts
from analysis.runs.manifest import Counts
from analysis.runs.run import Run
from app.limits import MAX_LAYER_COUNTS_BYTES
from app.server import runs
from app.server.result_cache import ResultCache

MOST_LAYERS = 256


def _counted(folder: Path, _: Counts, layer: int, chosen: TokenFilter) -> LayerCounts:
    with runs.told(folder):
        return layer_counts(runs.opened(folder), layer, chosen)


@contextmanager
def _told_to_wait() -> Iterator[None]:
    with st.spinner("Counting what the tokens of this layer chose…", show_time=True):
        yield


_counts = ResultCache(_counted, entries=MOST_LAYERS, most_bytes=MAX_LAYER_COUNTS_BYTES, turn=_told_to_wait)


def _card(run: Run, choice: Choice, chosen: TokenFilter) -> Card:
    return card(run, choice, chosen, counts=_counts(run.folder, run.counts, choice.layer, chosen))


def card_of(folder: Path, choice: Choice, chosen: TokenFilter) -> Card:
    """The card of a choice in a run; the other cards of its layer are then there much sooner.

    Raises RunError if the run is gone or damaged.
    """
    return runs.answer(folder, _card, choice, chosen)


__all__ = ["card_of"]
