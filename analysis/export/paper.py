"""Figures for papers: light, as wide as a column, with a chosen font size, and the caption as a separate text.

A figure is laid out with Plotly's font of 12 px and then scaled so that this font has the chosen size on paper. In a
narrow column the layout has fewer pixels, and the figure is arranged for them.
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import plotly.graph_objects as go

from analysis.catalogue import Drawn, FigureSpec
from analysis.export.pictures import PX_PER_MM
from analysis.figures.fitting import fit, map_room
from analysis.figures.selection import take_selection
from analysis.view import DEFAULT_VIEW, View

Font = Literal["sans", "serif"]
FONTS: dict[Font, str] = {
    "sans": "Helvetica, Arial, 'Liberation Sans', sans-serif",
    "serif": "'Times New Roman', Times, 'Liberation Serif', serif",
}
COLUMNS_MM = {"one column": 85.0, "two columns": 180.0}
WIDTH_MM, SIZE_PT = (60.0, 300.0), (5.0, 12.0)
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
    fig = spec.figure(drawn, replace(view, theme="light", room=map_room(paper.layout_px)), **options)
    if not paper.selection:
        take_selection(fig)
    fig.update_layout(width=paper.layout_px, font={"family": FONTS[paper.font]})
    fit(fig, paper.layout_px)
    return fig


__all__ = ["COLUMNS_MM", "FONTS", "SIZE_PT", "WIDTH_MM", "Font", "Paper", "paper_figure"]
