"""FigureSpec: the description of a figure, such as title, data and options. It is at the end of the figure's file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis import parts
from analysis.compare.pair import TracePair
from analysis.explain.attribution import Attribution
from analysis.explain.embedding import Embedding
from analysis.explain.near_miss import TwoPrecisions
from analysis.figures.figure_pair import FigurePair
from analysis.figures.selection import At
from analysis.models.training import TrainingCurves
from analysis.runs.about import AboutRun
from analysis.runs.atlas import Atlas
from analysis.runs.map import TokenMap
from analysis.texts.knock_out import KnockOutStudy
from analysis.texts.study import Study
from analysis.texts.summary import PromptTable
from analysis.view import View
from analysis.what_if.comparison import Comparison
from hooks.attention_trace import AttentionTrace
from hooks.depth_effects import DepthEffects
from hooks.frontier_record import Frontier, GateSweep
from hooks.knock_out_trace import KnockOutTrace
from hooks.lens_trace import LensTrace
from hooks.path_trace import PathTrace
from hooks.slice_trace import SliceTrace
from hooks.trace import RoutingTrace
from hooks.trace_checks import PARTS
from hooks.training_trace import TrainingTrace
from hooks.transplant_trace import TransplantTrace

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
    | Comparison
    | TracePair
    | FigurePair
    | TransplantTrace
    | KnockOutTrace
    | DepthEffects
    | Frontier
    | GateSweep
)
"""A trace, or a result that holds the trace of its text as `routing`."""
OfTexts = Study | KnockOutStudy
"""What several texts say together."""
Drawn = OfOneText | OfTexts | TrainingCurves | PromptTable | Atlas | TokenMap | AboutRun
"""The data of a figure: of one text, of several texts, of the model itself, of a list of prompts, or of a run."""


@dataclass(frozen=True)
class Choice:
    """An option of a figure that readers may set."""

    option: str
    """Name of the keyword argument of the figure's function."""
    labels: Mapping[str, str]
    """Value -> label; the first value is the default of the function."""
    name: str
    """Name of the option, for screen readers and captions."""
    needs: Mapping[str, str] = field(default_factory=dict)
    """Value -> the part that a model must decide to have it."""
    captions: Mapping[str, str] = field(default_factory=dict)
    """Value -> how to read the figure with it, where what the figure says of itself is not true."""
    of_ranks: bool = False
    """Whether its values are a token's first choice of an expert, its second, and so on."""
    set_at: str | None = None
    """Name of the figure at which readers set it, for a figure that has no control of its own; None: at this one."""

    @property
    def default(self) -> str:
        """The value unless the reader chooses another."""
        return next(iter(self.labels))

    def offered(self, meta: Mapping[str, Any], ranks: int | None = None) -> dict[str, str]:
        """The labels of the values that a model can have, of which a trace's `meta` and its `ranks` tell: the experts
        that a token chooses, which is not asked of a choice of another kind."""
        had, labels = parts.parts_of(meta), list(self.labels.items())[: ranks if self.of_ranks else None]
        return {value: label for value, label in labels if self.needs.get(value) in (None, *had)}

    def chosen(self, options: Mapping[str, str]) -> str:
        """The value in `options`, or the default if it is not there."""
        return options.get(self.option, self.default)


@dataclass(frozen=True, kw_only=True)
class FigureSpec:
    """One figure: its name, words, function, data and options."""

    name: str
    """Name in code and of files, such as gate_map."""
    title: str
    title_of_others: str = ""
    """The title for models of other families, if the words of the first are those of a VersatileFFN."""
    how_to_read: str
    """Caption: what a mark is, then what matters most, for readers who know transformers but not this tool."""
    of_versatile: str = ""
    """The end of the caption, on what only a VersatileFFN has: left out for other families."""
    of_intervened: str = ""
    """What stands in its place under interventions, if it is true of the model's own choices alone."""
    figure: Callable[..., go.Figure]
    """(data, view, *, the option of `choice`) -> figure."""
    table: Callable[[Drawn], pd.DataFrame]
    """data -> tidy table of everything captured, not only of the part drawn."""
    choice: Choice | None = None
    set_by_page: tuple[str, ...] = ()
    """Further options of `figure`, which its page lets readers set."""
    of: type = RoutingTrace
    """Type of the data that `figure` and `table` take. A trace file alone is enough only for RoutingTrace."""
    follows: tuple[At, ...] = ("layer", "token")
    """The parts of the selection on which the figure depends, apart from its marks: if they do not change, it need not
    be drawn again."""
    by_token: bool | str = False
    """Whether the figure shows single tokens even at word level; a string: only with this value of `choice`. Other
    figures merge the tokens of a word then, or have no tokens on an axis."""
    details: str = ""
    """How the numbers are computed and where they end: behind the caption on a page, after it in every export."""
    needs: Callable[[Drawn], object] | None = None
    """Called with the data; raises ValueError with the reason if it lacks what some trace files do not have."""

    def title_of(self, meta: Mapping[str, Any]) -> str:
        """The title for a model, of which a trace's `meta` tells."""
        return self.title if parts.parts_of(meta) == PARTS else self.title_of_others or self.title

    def caption_of(self, meta: Mapping[str, Any], **options: str) -> str:
        """The caption for a model and its interventions, of which a trace's `meta` tells, and for the chosen option."""
        if self.choice and (told := self.choice.captions.get(self.choice.chosen(options))):
            return told
        versatile = self.of_intervened if self.of_intervened and meta.get("interventions") else self.of_versatile
        return f"{self.how_to_read} {versatile if parts.parts_of(meta) == PARTS else ''}".strip()

    @property
    def whole_caption(self) -> str:
        """The caption with its details, for exports of a VersatileFFN's figures."""
        return self.whole_caption_of({})

    def whole_caption_of(self, meta: Mapping[str, Any], **options: str) -> str:
        """The caption of `caption_of` with its details, for exports."""
        return f"{self.caption_of(meta, **options)} {self.details}".strip()

    def splits_words(self, view: View, **options: str) -> bool:
        """Whether the view is at word level, but the figure shows single tokens."""
        chosen = self.choice.chosen(options) if self.choice else None
        return view.level == "word" and self.by_token in (True, chosen)

    def why_lacking(self, meta: Mapping[str, Any]) -> str | None:
        """Why a model, of which a trace's `meta` tells, has no such figure, in a sentence; None if it has."""
        return parts.why_lacking(parts.FIGURES.get(self.name, ()), meta) or parts.why_lacking_result(self.of, meta)

    def why_not(self, drawn: Drawn) -> str | None:
        """Why the figure cannot be drawn from this data, in a sentence; None if it can."""
        if lacking := self.why_lacking(routing_of(drawn).meta):
            return lacking
        try:
            if self.needs:
                self.needs(drawn)
        except ValueError as error:
            return str(error)
        return None

    def seen(self, view: View) -> View:
        """The view without what does not matter here: equal for two views whose figures differ only in their marks."""
        if view.level == "word":  # marks are as wide as the selected word, so they cannot just be moved
            return view
        checkpoint = view.checkpoint if self.of is TrainingTrace else None
        return replace(view, checkpoint=checkpoint, **{at: 0 for at in ("layer", "token") if at not in self.follows})


def routing_of(drawn: Drawn) -> "RoutingTrace | OfTexts | TrainingCurves | PromptTable | Atlas | TokenMap | AboutRun":
    """The part of a figure's data that names model and text: a trace, a study, curves of a model, a list, or a run."""
    itself = RoutingTrace | OfTexts | TrainingCurves | PromptTable | Atlas | TokenMap | AboutRun
    return drawn if isinstance(drawn, itself) else drawn.routing


__all__ = ["Choice", "Drawn", "FigureSpec", "OfOneText", "OfTexts", "routing_of"]
