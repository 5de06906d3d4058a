"""FigureSpec: one figure of the catalogue, and what it may draw."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pandas as pd
import plotly.graph_objects as go

from analysis.attribution import Attribution
from analysis.study import Study
from hooks.attention_trace import AttentionTrace
from hooks.lens_trace import LensTrace
from hooks.path_trace import PathTrace
from hooks.slice_trace import SliceTrace
from hooks.trace import RoutingTrace

Page = Literal[
    "overview",
    "difficulty",
    "gate",
    "experts",
    "recursion",
    "walkthrough",
    "write ledger",
    "recursion lens",
    "geometry",
    "attention",
    "near misses",
    "cost",
    "what decides",
    "validity",
    "models",
]
Drawn = RoutingTrace | PathTrace | Attribution | LensTrace | SliceTrace | AttentionTrace | Study
"""What a figure may draw: a trace, a result that holds the trace of the same text as `routing`, or several texts."""


@dataclass(frozen=True)
class FigureSpec:
    """One figure: how it is called, read and drawn, and the data that it draws."""

    name: str
    """Telling file name, such as gate_map."""
    page: Page
    title: str
    how_to_read: str
    figure: Callable[..., go.Figure]
    """(what it draws, view, *, the option of `choice`) -> figure."""
    table: Callable[[Drawn], pd.DataFrame]
    """The data drawn, for all that was captured, tidy."""
    choice: tuple[str, dict[str, str], str] | None = None
    """An option of the figure function that readers may set, {value: label} (the first value is its default), and
    what is chosen, in words for screen readers."""
    of: type = RoutingTrace
    """What `figure` and `table` take. Only figures of a RoutingTrace can be made from a trace file alone."""


def routing_of(drawn: Drawn) -> RoutingTrace | Study:
    """What the numbers and the source of a figure speak of: the trace of its text, or the study of its texts."""
    return drawn if isinstance(drawn, RoutingTrace | Study) else drawn.routing


__all__ = ["Drawn", "FigureSpec", "Page", "routing_of"]
