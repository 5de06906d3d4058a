"""Figures for papers: light, as wide as a column, with a chosen font size, and the caption as a separate text.

A figure is laid out with Plotly's font of 12 px and then scaled so that this font has the chosen size on paper. In a
narrow column the layout has fewer pixels, and the figure is arranged for them.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

import plotly.graph_objects as go

from analysis.catalogue import Drawn, FigureSpec, routing_of
from analysis.export.pictures import PX_PER_MM
from analysis.figures.fitting import figure_px, fit, map_room
from analysis.figures.selection import take_selection
from analysis.figures.template import COUNTED, LEFT, MAP_MARGINS_PX, NAME_PX, every_nth_name
from analysis.view import DEFAULT_VIEW, View
from hooks.trace import RoutingTrace

Font = Literal["sans", "serif"]
FONTS: dict[Font, str] = {
    "sans": "Helvetica, Arial, 'Liberation Sans', sans-serif",
    "serif": "'Times New Roman', Times, 'Liberation Serif', serif",
}
COLUMNS_MM = {"one column": 85.0, "two columns": 180.0}
WIDTH_MM, SIZE_PT = (60.0, 300.0), (5.0, 12.0)
MOST_UNNAMED = 4
"""Where not all tokens have room for their names, at least every fourth is named, or they are counted."""
LETTER_PT = 9.0
"""Font size of an unscaled figure: 12 px of 1/96 inch."""


@dataclass(frozen=True)
class Paper:
    """Width, font and marks of a figure in a paper."""

    width_mm: float = COLUMNS_MM["two columns"]
    """Width on paper, 60..300 mm."""
    font: Font = "sans"
    size_pt: float = 7.0
    """Font size of axis titles, 5..12 points; ticks and numbers are a little smaller."""
    selection: bool = True
    """Whether the selected token and layer are marked."""

    def __post_init__(self) -> None:
        for name, value, (least, most) in (
            ("width_mm", self.width_mm, WIDTH_MM),
            ("size_pt", self.size_pt, SIZE_PT),
        ):
            if not least <= value <= most:
                raise ValueError(f"{name} must be {least:g}..{most:g}, got {value:g}")
        if self.font not in FONTS:
            raise ValueError(f"font must be {' or '.join(get_args(Font))}, got {self.font}")

    @property
    def scale(self) -> float:
        """Size on paper of a pixel of the layout, in pixels of 1/96 inch."""
        return self.size_pt / LETTER_PT

    @property
    def layout_px(self) -> float:
        """Width of the layout in pixels."""
        return self.width_mm * PX_PER_MM / self.scale


def paper_figure(
    spec: FigureSpec, drawn: Drawn, view: View = DEFAULT_VIEW, paper: Paper | None = None, **options: str
) -> go.Figure:
    """The figure for a paper: light, without title and caption (see `captions.caption`), `paper.layout_px` wide.

    Drawn with `draw(fig, "pdf", scale=paper.scale)` of `pictures()`, it is `paper.width_mm` wide.
    """
    paper = paper or Paper()
    fig, view = _laid_out(spec, drawn, view, paper, **options)
    if step := _names_step(fig):
        _name_tokens(fig, routing_of(drawn), view, step)
    if not paper.selection:
        take_selection(fig)
    return fig


def unnamed(spec: FigureSpec, drawn: Drawn, view: View, paper: Paper, **options: str) -> int | None:
    """Every how manieth token `paper_figure` names, if not all; None if all are, or there is no token axis.

    0 if more than MOST_UNNAMED would share a name: then tokens are counted.
    """
    return _names_step(_laid_out(spec, drawn, view, paper, **options)[0])


def _laid_out(spec: FigureSpec, drawn: Drawn, view: View, paper: Paper, **options: str) -> tuple[go.Figure, View]:
    """The figure in the width of the paper, and the view that it was drawn for."""
    view = replace(view, theme="light", room=map_room(paper.layout_px))
    fig = spec.figure(drawn, view, **options)
    fig.update_layout(width=paper.layout_px, font={"family": FONTS[paper.font]})
    fit(fig, paper.layout_px)
    return fig, view


def width_for_names(tokens: int, paper: Paper) -> float:
    """Width in mm, a multiple of 5, from which a map of so many tokens has room for all their names."""
    room = figure_px(math.ceil(tokens * NAME_PX / LEFT + MAP_MARGINS_PX))
    return math.ceil(room * paper.scale / PX_PER_MM / 5) * 5


def _names_step(fig: go.Figure) -> int | None:
    """As `unnamed`, of a figure in its width."""
    if not (axes := _unnamed_axes(fig)):
        return None
    margin, layout = fig.layout.margin, fig.layout
    first, end = axes[0].range
    low, high = axes[0].domain or (0, 1)
    each = (layout.width - (margin.l or 0) - (margin.r or 0)) * (high - low) / (end - first)
    step = math.ceil(NAME_PX / each)
    return step if step <= MOST_UNNAMED else 0


def _unnamed_axes(fig: go.Figure) -> list[go.layout.XAxis]:
    """The axes of tokens that are counted instead of named."""
    return [axis for axis in fig.select_xaxes() if axis.title.text == COUNTED and axis.tickvals]


def _name_tokens(fig: go.Figure, trace: RoutingTrace, view: View, step: int) -> None:
    ticks, bottom = every_nth_name(trace, view, step)
    more = max(bottom - (fig.layout.margin.b or 0), 0)
    for axis in _unnamed_axes(fig):
        axis.update(ticks)
    fig.update_layout(height=fig.layout.height + more, margin={"b": (fig.layout.margin.b or 0) + more})


__all__ = ["COLUMNS_MM", "FONTS", "SIZE_PT", "WIDTH_MM", "Font", "Paper", "paper_figure", "unnamed", "width_for_names"]
