"""Marks of the selected token and layer in a figure: drawing them, taking them out, and moving them."""

from typing import Literal

import plotly.graph_objects as go

from analysis.palette import THEMES, faded
from analysis.view import View
from hooks.trace import RoutingTrace

SELECTION = "selection"
"""First word of the name of every shape that marks the selection; the next ones say what places it: "x=token"."""
At = Literal["token", "layer"]
"""The part of the selection that places a mark on an axis."""


def mark(type: Literal["line", "rect"], *, x: At | None = None, y: At | None = None) -> dict:
    """Type and name of a shape that marks the selection. `x` and `y`: what places it on the axis; None: it is fixed."""
    places = [f"{axis}={at}" for axis, at in (("x", x), ("y", y)) if at]
    return {"type": type, "name": " ".join([SELECTION, *places])}


def take_selection(fig: go.Figure) -> list[dict]:
    """Remove the marks of the selection from a figure and return them as plain shapes.

    The figure without marks is the same for every selection that shows the same data: a caller who draws the marks over
    it need not draw it again when the reader selects another cell.
    """
    marks = [shape.to_plotly_json() for shape in fig.layout.shapes if _is_mark(shape)]
    if marks:  # to set shapes anew is slow
        fig.layout.shapes = [shape for shape in fig.layout.shapes if not _is_mark(shape)]
    for axis in (*fig.select_xaxes(), *fig.select_yaxes()):
        if axis.ticktext:
            axis.ticktext = [_without_bold(text) for text in axis.ticktext]
    return marks


def moved(marks: list[dict], before: View, after: View) -> list[dict]:
    """Marks that `take_selection` took from the figure of the view `before`, moved to the selection of `after`.

    Only for figures whose columns are single tokens: the column of a word is as wide as its tokens.
    """
    by = {"token": after.token - before.token, "layer": after.layer - before.layer}
    return [_moved(shape, by) for shape in marks]


def _moved(shape: dict, by: dict[str, int]) -> dict:
    there = dict(shape)
    for axis, at in (place.split("=") for place in shape["name"].split()[1:]):
        for end in (f"{axis}0", f"{axis}1"):
            there[end] += by[at]
    return there


def _is_mark(shape: go.layout.Shape) -> bool:
    return (shape.name or "").split(" ")[0] == SELECTION


def _without_bold(text: str) -> str:
    return text.removeprefix("<b>").removesuffix("</b>")


def row_and_column(trace: RoutingTrace, view: View, reach: tuple[float, float] | None = None) -> list[dict]:
    """Selected cell of a map on axes x (token), y (layer): thin lines along row and column, haloed outline.

    `reach`: left and right end of the selected column, where this is not the token's own.
    """
    c = THEMES[view.theme]
    first, end = view.span(trace.num_tokens)
    t, layer = view.token, view.layer
    left, right = reach or (t - 0.5, t + 0.5)
    thin = {"line": {"width": 1, "color": faded(c["ink"], 0.55)}}
    row = mark("line", y="layer") | thin | {"x0": first - 0.5, "x1": end - 0.5}
    marks = [row | {"y0": y, "y1": y} for y in (layer - 0.5, layer + 0.5)]
    if not first <= t < end:
        return marks
    column = mark("line", x="token") | thin | {"y0": -0.5, "y1": trace.num_layers - 0.5}
    marks += [column | {"x0": x, "x1": x} for x in (left, right)]
    cell = mark("rect", x="token", y="layer") | {"x0": left, "x1": right, "y0": layer - 0.5, "y1": layer + 0.5}
    return marks + [
        cell | {"line": {"width": 5, "color": c["bg"]}},
        cell | {"line": {"width": 2, "color": c["ink"]}},
    ]


def band(view: View, *, x: At | None = None, y: At | None = None, xref: str = "x", yref: str = "y") -> dict:
    """Faint band at the selected token or layer on axis x or y, across the whole other axis."""
    shape = mark("rect", x=x, y=y) | {"layer": "below", "line": {"width": 0}}
    shape |= {"fillcolor": faded(THEMES[view.theme]["ink"], 0.08)}
    at = getattr(view, x or y)
    if x:
        return shape | {"xref": xref, "x0": at - 0.5, "x1": at + 0.5, "yref": f"{yref} domain", "y0": 0, "y1": 1}
    return shape | {"yref": yref, "y0": at - 0.5, "y1": at + 0.5, "xref": f"{xref} domain", "x0": 0, "x1": 1}
