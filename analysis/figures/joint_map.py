"""The main map of layers x tokens, with means above it (per token) and beside it (per layer), in one figure.

Axes: x, y = map (token, layer); x, y2 = bars above; x2, y = bars beside; x3, y3 = minimap of a text that is longer
than the window. Shared axes keep the plots aligned.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import plotly.graph_objects as go

from analysis.figures.fitting import LINE_PX, corner_lines
from analysis.figures.selection import band, row_and_column
from analysis.figures.template import LEFT, MAP, figure, layer_axis, names_fit, note, token_axis
from analysis.figures.word_columns import NOTE, WordColumns
from analysis.palette import THEMES, faded
from analysis.view import View
from analysis.words.labels import plotly_text, token_labels
from hooks.trace import RoutingTrace

BESIDE = 0.875
ABOVE_PX, GAP_PX, MINIMAP_PX, TICKS_PX = 60, 8, 26, 48
LEFT_PX, RIGHT_PX = 52, 12


@dataclass(frozen=True)
class Marginal:
    """Bars above or beside a map: traces, the axis of their values, and a note that names them."""

    data: list[dict]
    axis: dict
    note: str


@dataclass(frozen=True)
class Minimap:
    """One value per token of the whole text, with the colours of the map."""

    values: np.ndarray
    colours: dict = field(default_factory=dict)
    """colorscale, zmin and zmax of the map's own heat map."""


@dataclass(frozen=True)
class MinimapRow:
    """The minimap as parts of a figure; empty if the whole text is drawn."""

    inner: float
    """Height of the plot area in pixels, including the minimap."""
    top: float
    """Upper end of the rest of the figure, 0..1 of the plot area."""
    data: list[dict] = field(default_factory=list)
    axes: dict = field(default_factory=dict)
    shapes: list[dict] = field(default_factory=list)
    annotations: list[dict] = field(default_factory=list)


def minimap_row(trace: RoutingTrace, view: View, minimap: Minimap, rest_px: float, left: float = LEFT) -> MinimapRow:
    """The whole text as one row above a plot of `rest_px`, with the window framed and the rest faded."""
    first, end = view.span(trace.num_tokens)
    if end - first == trace.num_tokens:
        return MinimapRow(inner=rest_px, top=1.0)
    c, outside = THEMES[view.theme], np.r_[minimap.values[:first], minimap.values[end:]]
    blank = ", and what is blank is then computed" if np.isnan(outside).all() else ""
    inner = rest_px + MINIMAP_PX + TICKS_PX
    return MinimapRow(
        inner=inner,
        top=rest_px / inner,
        data=[_minimap_trace(trace, minimap)],
        axes={
            "xaxis3": {"domain": [0, left], "anchor": "y3", "range": [-0.5, trace.num_tokens - 0.5], "nticks": 12},
            "yaxis3": {"domain": [1 - MINIMAP_PX / inner, 1], "anchor": "x3", "visible": False, "range": [-0.5, 0.5]},
        },
        shapes=_window_frame(trace, c, first, end),
        annotations=[
            note(f"the whole text; framed: tokens {first} to {end - 1}, drawn below. A click moves the frame{blank}.")
        ],
    )


def joint_map(
    trace: RoutingTrace,
    view: View,
    cells: list[dict],
    above: Marginal,
    beside: Marginal,
    minimap: Minimap,
    words: WordColumns | None = None,
    value: str = "%{z:.2f}",
) -> go.Figure:
    """Join map, marginals and (if the text is longer than the window) minimap, and mark the selection.

    With `words` a column is a word, all values must be its averages, and `value` formats z in the hover card.
    """
    x_axis, bottom = token_axis(trace, view)
    first, end = view.span(trace.num_tokens)
    column = band(view, x="token", yref="y2")
    if words:
        x_axis, cells = words.axis(x_axis), [words.heatmap(cells[0], value), *cells[1:]]
        above = replace(above, data=[words.bars(bars) for bars in above.data], note=f"{above.note} · {NOTE}")
        bottom = max(bottom, 16 + round(6.8 * max(map(len, x_axis["ticktext"]))))
        column |= dict(zip(("x0", "x1"), words.selected(), strict=True))
    map_px = trace.num_layers * float(np.clip(200 / trace.num_layers, 11, 26))
    lines = corner_lines(beside.note, view.room, BESIDE, LEFT_PX + RIGHT_PX)
    above_px = ABOVE_PX + LINE_PX * (lines - 1)  # a note in two lines would meet the colour bar
    row = minimap_row(trace, view, minimap, map_px + GAP_PX + above_px)
    top_of_map, low = map_px / row.inner, (map_px + GAP_PX) / row.inner
    return figure(
        view,
        [
            *cells,
            *({"xaxis": "x", "yaxis": "y2"} | bars for bars in above.data),
            *({"xaxis": "x2", "yaxis": "y"} | bars for bars in beside.data),
            *row.data,
        ],
        meta=MAP,
        height=round(row.inner) + 28 + bottom,
        margin={"t": 28, "b": bottom, "l": LEFT_PX, "r": RIGHT_PX},
        xaxis=x_axis | {"domain": [0, LEFT], "anchor": "y"},
        yaxis=layer_axis(trace, view) | {"domain": [0, top_of_map], "anchor": "x"},
        yaxis2=above.axis | {"domain": [low, row.top], "anchor": "x", "showgrid": True},
        xaxis2=beside.axis | {"domain": [BESIDE, 1], "anchor": "y", "showgrid": True},
        barmode="relative",
        shapes=[
            *row_and_column(trace, view, words and words.selected()),
            band(view, y="layer", xref="x2"),
            *([column] if first <= view.token < end else []),
            *row.shapes,
        ],
        annotations=[
            note(above.note, y=row.top),
            note(beside.note, x=1, y=top_of_map, anchor="right"),
            *row.annotations,
        ],
        **row.axes,
    )


def heatmap(trace: RoutingTrace, view: View, z: np.ndarray, card: dict, **fields) -> dict:
    """Cells of the map: z [layer, drawn token] on integer x = token, y = layer."""
    first, end = view.span(trace.num_tokens)
    gap = 1 if names_fit(view, end - first) else 0
    return {
        "type": "heatmap", "x": np.arange(first, end), "y": np.arange(trace.num_layers), "z": z,
        "xgap": gap, "ygap": 1, "showscale": False, **card, **fields,
    }  # fmt: skip


def token_bars(
    trace: RoutingTrace, view: View, values: np.ndarray, hover: str, *, marker: dict, stacked: bool = False
) -> dict:
    """Bars above the map: one per drawn token; `hover` formats %{y}. A click selects the token.

    If there are too many tokens to be named, the bars are one outline: drawing hundreds of single shapes would take
    most of the time of a click. `stacked` bars stand on those of the traces before. Where a value is NaN there is none.
    """
    first, end = view.span(trace.num_tokens)
    shown = np.arange(first, end)
    about = "<b>%{hovertext}</b>, token %{customdata[0]}<br>"
    template: str | list[str] = f"{about}{hover}<extra></extra>"
    if names_fit(view, end - first):
        x, kind = shown, {"type": "bar", "width": 0.86, "marker": marker}
    else:
        shown = np.r_[first, shown, end - 1]  # half a bar more at both ends, since steps change between tokens
        x = shown.astype(float)
        x[[0, -1]] += (-0.5, 0.5)
        kind = {"type": "scatter", "mode": "lines", "line": {"shape": "hvh", "width": 0}, "fillcolor": marker["color"]}
        kind |= {"stackgroup": "tokens"} if stacked else {"fill": "tozeroy"}
        if "pattern" in marker:
            kind |= {"fillpattern": marker["pattern"], "line": {**kind["line"], **marker["line"]}}
        if (missing := np.isnan(values[shown])).any():
            # Plotly fills across a gap, with a slope from one side to the other. So the outline is on the axis there.
            template = [f"{about}no value<extra></extra>" if each else template for each in missing]
            values = np.nan_to_num(values)
    names = [plotly_text(label) for label in token_labels(trace, 40)]
    return {
        **kind, "x": x, "y": values[shown],
        "customdata": [[token, None] for token in shown.tolist()], "hovertext": [names[token] for token in shown],
        "hovertemplate": template,
    }  # fmt: skip


def layer_bars(trace: RoutingTrace, values: np.ndarray, hover: str, **fields) -> dict:
    """Bars beside the map: one per layer; `hover` formats %{x}. A click selects the layer."""
    return {
        "type": "bar", "orientation": "h", "x": values, "y": np.arange(trace.num_layers), "width": 0.78,
        "customdata": [[None, layer] for layer in range(trace.num_layers)],
        "hovertemplate": f"layer %{{customdata[1]}}<br>{hover}<extra></extra>", **fields,
    }  # fmt: skip


def scale_bar(view: View, title: str, **fields) -> dict:
    """Thin colour bar in the free corner at the upper right."""
    c = THEMES[view.theme]
    return {
        "showscale": True,
        "colorbar": {
            "orientation": "h", "thickness": 7, "len": 0.125, "lenmode": "fraction", "outlinewidth": 0,
            "x": (BESIDE + 1) / 2, "xanchor": "center", "y": 1, "yref": "paper",
            "yanchor": "top", "ypad": 0, "xpad": 0,
            "tickfont": {"size": 12, "color": c["muted"]},
            "title": {"text": title, "side": "top", "font": {"size": 12, "color": c["muted"]}}, **fields,
        },
    }  # fmt: skip


def _minimap_trace(trace: RoutingTrace, minimap: Minimap) -> dict:
    token = np.arange(trace.num_tokens)
    return {
        "type": "heatmap", "x": token, "y": [0], "z": minimap.values[None], "xaxis": "x3", "yaxis": "y3",
        "showscale": False, "customdata": [[[int(t), None] for t in token]],
        "hovertemplate": "token %{x}<extra></extra>", **minimap.colours,
    }  # fmt: skip


def _window_frame(trace: RoutingTrace, c: dict, first: int, end: int) -> list[dict]:
    box = {"type": "rect", "xref": "x3", "yref": "y3 domain", "y0": 0, "y1": 1}
    fade = box | {"fillcolor": faded(c["bg"], 0.55), "line": {"width": 0}}
    return [
        fade | {"x0": -0.5, "x1": first - 0.5},
        fade | {"x0": end - 0.5, "x1": trace.num_tokens - 0.5},
        box | {"x0": first - 0.5, "x1": end - 0.5, "line": {"width": 2, "color": c["ink"]}},
    ]
