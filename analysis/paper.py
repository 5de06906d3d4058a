"""Figures for papers: as wide as a column, with letters of a chosen size, light, and their caption beside them.

A figure is laid out with Plotly's letters of 12 px and then scaled, so that those letters have the chosen size on
paper: a narrow column has fewer pixels across, and the figure arranges itself for them.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal, get_args

import plotly.graph_objects as go

from analysis.catalogue import Drawn, FigureSpec
from analysis.figures.template import LEFT, take_selection
from analysis.pictures import PX_PER_MM
from analysis.view import DEFAULT_VIEW, View

Font = Literal["sans", "serif"]
FONTS: dict[Font, str] = {
    "sans": "Helvetica, Arial, 'Liberation Sans', sans-serif",
    "serif": "'Times New Roman', Times, 'Liberation Serif', serif",
}
COLUMNS_MM = {"one column": 85.0, "two columns": 180.0}
WIDTH_MM, SIZE_PT = (60.0, 300.0), (5.0, 12.0)
LETTER_PT = 9.0
"""Size of the letters of an unscaled figure: 12 px of 1/96 inch."""
LINE_PX, LETTER_PX = 14, 5.4
NARROW_PX = 640
"""A map with less room than this gives a larger share of it to what stands beside its token axis."""
NARROW_LEFT, NARROW_BESIDE = 0.72, 0.76


@dataclass(frozen=True)
class Paper:
    """How a figure stands in a paper."""

    width_mm: float = COLUMNS_MM["two columns"]
    """Width on paper, 60..300 mm."""
    font: Font = "sans"
    size_pt: float = 7.0
    """Size of axis titles; ticks and numbers are a little smaller. 5..12 points."""
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
        """Size on paper of what the layout calls a pixel, in pixels of 1/96 inch."""
        return self.size_pt / LETTER_PT

    @property
    def layout_px(self) -> float:
        """Width of the layout, pixels."""
        return self.width_mm * PX_PER_MM / self.scale


def paper_figure(
    spec: FigureSpec, drawn: Drawn, view: View = DEFAULT_VIEW, paper: Paper | None = None, **options: str
) -> go.Figure:
    """The figure for a paper: light, without title and caption (see `captions.caption`), `paper.layout_px` wide.

    Draw it with `pictures()`: `draw(fig, "pdf", scale=paper.scale)` is then `paper.width_mm` wide.
    """
    paper = paper or Paper()
    narrow = paper.layout_px < NARROW_PX
    room = paper.layout_px * NARROW_LEFT / LEFT if narrow else paper.layout_px
    fig = spec.figure(drawn, replace(view, theme="light", room=round(room)), **options)
    if narrow and "xaxis2" in fig.layout and spec.name.endswith("_map"):
        _divide_anew(fig)
    if not paper.selection:
        take_selection(fig)
    fig.update_layout(width=paper.layout_px, font={"family": FONTS[paper.font]})
    _fit_notes(fig)
    return fig


def _divide_anew(fig: go.Figure) -> None:
    """Move the border between a map and what stands beside it, colour scale included."""
    beside = NARROW_BESIDE if fig.layout.xaxis2.anchor == "y" else NARROW_BESIDE + 0.04  # its own axis has labels
    fig.update_xaxes(domain=[0, NARROW_LEFT], selector=lambda axis: axis.domain and axis.domain[0] == 0)
    fig.layout.xaxis2.domain = [beside, 1]
    for cells in fig.select_traces({"type": "heatmap"}):
        if cells.showscale:
            cells.colorbar.update(x=(beside + 1) / 2, len=1 - beside)


def _fit_notes(fig: go.Figure) -> None:
    """Break the small lines above plots where two of them, or one and the edge, would run into each other."""
    margin = fig.layout.margin
    inner = fig.layout.width - margin.l - margin.r if margin.l is not None else fig.layout.width - 68
    notes = [each for each in fig.layout.annotations if each.yanchor == "bottom" and each.xref == "paper"]
    lines = 0
    for each in notes:
        alone = not any(other is not each and other.y == each.y for other in notes)
        room = inner if alone else inner * (0.66 if each.xanchor == "left" else 0.32)
        if each.xanchor == "right" and each.y != 1:
            room = inner * (1 - fig.layout.xaxis2.domain[0]) + LETTER_PX  # only the corner above the bars beside it
        each.update(text=_broken(each.text, max(int(room / LETTER_PX), 8)), align=each.xanchor)
        if each.y == 1:
            lines = max(lines, each.text.count("<br>"))
    if lines:
        fig.update_layout(height=fig.layout.height + LINE_PX * lines, margin={"t": (margin.t or 30) + LINE_PX * lines})


def _broken(text: str, letters: int) -> str:
    """`text` with a line break before each word that would pass `letters`; tags count nothing and stay whole."""
    lines, length = [""], 0
    for word in re.findall(r"(?:<[^>]*>|[^\s<])+\s*", text):
        long = len(re.sub(r"<[^>]*>|&\w+;", "", word.rstrip()))
        if length and length + long > letters:
            lines, length = [*lines, ""], 0
        lines[-1] += word
        length += long + 1
    return "<br>".join(line.rstrip() for line in lines)


__all__ = ["COLUMNS_MM", "FONTS", "SIZE_PT", "WIDTH_MM", "Font", "Paper", "paper_figure"]
