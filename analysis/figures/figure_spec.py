"""FigureSpec: what the explorer knows of a figure beside its drawing. It stands at the end of the figure's file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pandas as pd
import plotly.graph_objects as go

from analysis.explain.attribution import Attribution
from analysis.explain.embedding import Embedding
from analysis.explain.near_miss import TwoPrecisions
from analysis.figures.selection import At
from analysis.models.training import TrainingCurves
from analysis.texts.study import Study
from analysis.view import View
from hooks.attention_trace import AttentionTrace
from hooks.lens_trace import LensTrace
from hooks.path_trace import PathTrace
from hooks.slice_trace import SliceTrace
from hooks.trace import RoutingTrace
from hooks.training_trace import TrainingTrace

OfOneText = (
    RoutingTrace
    | PathTrace
    | Attribution
    | LensTrace
    | SliceTrace
    | AttentionTrace
    | TrainingTrace
    | Embedding
    | TwoPrecisions
)
"""A trace, or a result that holds the trace of the same text as `routing`."""
Drawn = OfOneText | Study | TrainingCurves
"""What a figure may draw: something of one text, of several texts, or of the model itself."""


@dataclass(frozen=True)
class Choice:
    """An option of a figure's function that readers may set."""

    option: str
    """Name of the function's keyword."""
    labels: Mapping[str, str]
    """Value -> what readers see; the first value is the default of the function."""
    name: str
    """What is chosen, in words for screen readers and captions."""

    @property
    def default(self) -> str:
        """The value that holds until the reader chooses."""
        return next(iter(self.labels))

    def chosen(self, options: Mapping[str, str]) -> str:
        """The value among a figure's options; the default if they do not hold one."""
        return options.get(self.option, self.default)


@dataclass(frozen=True, kw_only=True)
class FigureSpec:
    """One figure: how it is called, read and drawn, and the data that it draws."""

    name: str
    """Telling file name, such as gate_map."""
    title: str
    how_to_read: str
    figure: Callable[..., go.Figure]
    """(what it draws, view, *, the option of `choice`) -> figure."""
    table: Callable[[Drawn], pd.DataFrame]
    """The data drawn, for all that was captured, tidy."""
    choice: Choice | None = None
    of: type = RoutingTrace
    """What `figure` and `table` take. Only figures of a RoutingTrace can be made from a trace file alone."""
    follows: tuple[At, ...] = ("layer", "token")
    """What of the selection decides what it draws, its marks left aside: without a change there it need not be drawn
    again."""
    by_token: bool | str = False
    """Whether every token has a place of its own even where the reader looks by words, or the choice with which it has;
    other figures merge the tokens of a word then, or have no places for tokens."""
    needs: Callable[[Drawn], object] | None = None
    """Raises ValueError, with the reason, where what it draws lacks something that not every trace file holds."""

    def splits_words(self, view: View, **options: str) -> bool:
        """Whether the reader looks by words, and the figure shows single tokens nevertheless."""
        chosen = self.choice.chosen(options) if self.choice else None
        return view.level == "word" and self.by_token in (True, chosen)

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


def routing_of(drawn: Drawn) -> RoutingTrace | Study | TrainingCurves:
    """What the numbers and the source of a figure speak of: the trace of its text, its texts, or the model's curves."""
    return drawn if isinstance(drawn, RoutingTrace | Study | TrainingCurves) else drawn.routing


__all__ = ["Choice", "Drawn", "FigureSpec", "OfOneText", "routing_of"]
