"""FigureSpec: one figure of the catalogue, and what it may draw."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd
import plotly.graph_objects as go

from analysis.explain.attribution import Attribution
from analysis.explain.embedding import Embedding
from analysis.figures.template import At
from analysis.texts.study import Study
from analysis.view import View
from hooks.attention_trace import AttentionTrace
from hooks.lens_trace import LensTrace
from hooks.path_trace import PathTrace
from hooks.slice_trace import SliceTrace
from hooks.trace import RoutingTrace
from hooks.training_trace import TrainingTrace

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
Drawn = (
    RoutingTrace | PathTrace | Attribution | LensTrace | SliceTrace | AttentionTrace | TrainingTrace | Embedding | Study
)
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
    follows: tuple[At, ...] = ("layer", "token")
    """What of the selection decides what it draws, its marks left aside: without a change there it need not be drawn
    again."""
    by_token: bool | str = False
    """Whether every token has a place of its own even where the reader looks by words, or the choice with which it has;
    other figures merge the tokens of a word then, or have no places for tokens."""

    def splits_words(self, view: View, **options: str) -> bool:
        """Whether the reader looks by words, and the figure shows single tokens nevertheless."""
        chosen = options.get(self.choice[0], next(iter(self.choice[1]))) if self.choice else None
        return view.level == "word" and self.by_token in (True, chosen)

    needs: Callable[[Drawn], object] | None = None
    """Raises ValueError, with the reason, where what it draws lacks something that not every trace file holds."""

    def why_not(self, drawn: Drawn) -> str | None:
        """Why the figure cannot be drawn of this, in a sentence; None if it can."""
        try:
            if self.needs:
                self.needs(drawn)
        except ValueError as error:
            return str(error)
        return None

    def seen(self, view: View) -> View:
        """What of a view decides what the figure draws: the same for two views whose figures differ in marks alone."""
        if view.level == "word":  # the selected word's column reaches as far as its pieces: no mark to be moved
            return view
        checkpoint = view.checkpoint if self.of is TrainingTrace else None
        return replace(view, checkpoint=checkpoint, **{at: 0 for at in ("layer", "token") if at not in self.follows})


def routing_of(drawn: Drawn) -> RoutingTrace | Study:
    """What the numbers and the source of a figure speak of: the trace of its text, or the study of its texts."""
    return drawn if isinstance(drawn, RoutingTrace | Study) else drawn.routing


__all__ = ["Drawn", "FigureSpec", "Page", "routing_of"]
