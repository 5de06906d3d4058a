"""Knock-outs of one text as maps, layer x expert: for the whole text, beside random experts, and for one token."""

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go

from analysis.explain.knock_out import IN_PATH, knock_out_table, lost, mean_change, token_change, token_table
from analysis.figures.cells import numbers, strokes
from analysis.figures.figure_spec import Choice, FigureSpec
from analysis.figures.selection import mark
from analysis.figures.template import figure, height_of_rows, layer_axis, note, quoted, sentence_figure, swatch
from analysis.palette import THEMES, colour_at, ramp, text_on
from analysis.view import DEFAULT_VIEW, View
from analysis.words.numbers import number
from hooks.knock_out_trace import PATHS, KnockOutTrace, Path

HEIGHT = 300
NUMBERED = 16
"""Experts of a layer up to which their cells have numbers."""
BESIDE = 0.4
"""Gap between the experts and the column of all of them."""
MILLI = 1000
"""Figures are in thousandths of a nat."""
NOTHING_COUNTS = "No token of this text has a loss that could change."


def knock_out_map_figure(found: KnockOutTrace, view: View = DEFAULT_VIEW, *, path: Path = "width") -> go.Figure:
    """Mean change of the text's loss without each expert of each layer, and without all of a layer."""
    if not found.counted.any():
        return sentence_figure(view, NOTHING_COUNTS, HEIGHT)
    at = PATHS.index(path)
    change, whole, control = (mean_change(found, each[at]) for each in (found.change, found.whole, found.control))
    card = (
        "layer %{customdata[1]}, expert %{customdata[2]}<br>change %{z:+.2f} thousandths of a nat<br>"
        "random experts %{customdata[3]:+.2f}<br>%{customdata[4]} tokens lose something<extra></extra>"
    )
    beside = np.stack([MILLI * control, lost(found, path)], axis=-1)
    return _map(found, view, change, beside, card, path, whole=whole, told=f"dropped from the {IN_PATH[path]}")


def knock_out_control_figure(found: KnockOutTrace, view: View = DEFAULT_VIEW, *, path: Path = "width") -> go.Figure:
    """What of each expert's change is beyond that of as many experts drawn at random."""
    if not found.counted.any():
        return sentence_figure(view, NOTHING_COUNTS, HEIGHT)
    at = PATHS.index(path)
    change, control = (mean_change(found, each[at]) for each in (found.change, found.control))
    card = (
        "layer %{customdata[1]}, expert %{customdata[2]}<br>beyond random experts %{z:+.2f} thousandths of a nat<br>"
        "it %{customdata[3]:+.2f}, random experts %{customdata[4]:+.2f}<extra></extra>"
    )
    beside = MILLI * np.stack([change, control], axis=-1)
    return _map(
        found,
        view,
        change - control,
        beside,
        card,
        path,
        told="minus as many random experts",
        words=("costs more", "less"),
    )


def knock_out_token_figure(found: KnockOutTrace, view: View = DEFAULT_VIEW, *, path: Path = "width") -> go.Figure:
    """Change of the loss of the token after the selected one, without each expert of each layer."""
    trace, token = found.routing, view.token
    if token + 1 >= trace.num_tokens:
        return sentence_figure(view, "No token follows the last one, so no loss there could change.", HEIGHT)
    control = found.control[PATHS.index(path), ..., token + 1]
    card = (
        "layer %{customdata[1]}, expert %{customdata[2]}<br>change %{z:+.1f} thousandths of a nat<br>"
        "random experts %{customdata[3]:+.1f}<extra></extra>"
    )
    told = f"loss of {quoted(trace, token + 1)} after {quoted(trace, token)}"
    return _map(found, view, token_change(found, path, token), MILLI * control[..., None], card, path, told=told)


def _map(
    found: KnockOutTrace,
    view: View,
    change: np.ndarray,
    beside: np.ndarray,
    card: str,
    path: Path,
    *,
    whole: np.ndarray | None = None,
    told: str,
    words: tuple[str, str] = ("loss rises", "loss falls"),
) -> go.Figure:
    """A map of `change` [layer, expert] in nats, with `whole` [layer] for all experts of a layer beside it.

    `beside` [layer, expert, n] stands in the hover card, after token, layer and expert.
    """
    c, trace = THEMES[view.theme], found.routing
    layers, experts = change.shape
    values = MILLI * change
    most = max(float(np.nanmax(np.abs(values), initial=0.0)), 1e-3)
    layer, expert = np.indices(change.shape)
    cells = np.concatenate([np.stack([np.full_like(layer, -1), layer, expert], axis=-1), beside], axis=-1)
    custom = [[[None, *map(_plain, cell[1:])] for cell in row] for row in cells]
    colours = {"zmin": -most, "zmax": most, "colorscale": ramp(c["change"]), "showscale": False, "xgap": 1, "ygap": 1}
    data = [
        {
            "type": "heatmap", "x": np.arange(experts), "y": np.arange(layers), "z": values, "customdata": custom,
            "hovertemplate": card, **colours,
        }
    ]  # fmt: skip
    x, y, z = expert.ravel(), layer.ravel(), values.ravel()
    last = experts - 0.5
    if whole is not None:
        last = experts + 0.9
        data.append(_of_all(experts, whole) | colours)
        x, y = np.append(x, [experts + BESIDE] * layers), np.append(y, np.arange(layers))
        z = np.append(z, MILLI * whole)
    known = np.isfinite(z)
    if experts <= NUMBERED and known.any():
        on = np.array([text_on(colour_at(c["change"], (value / most + 1) / 2)) for value in z[known]])
        digits = 0 if most >= 20 else 1
        data += numbers(x[known], y[known], [number(value, digits, signed=True) for value in z[known]], on)
    if path == "width" and (found.had == 0).any():
        row, column = np.nonzero(found.had == 0)
        data.append(strokes(column, row, view))
    return figure(
        view,
        data,
        height=height_of_rows(layers, HEIGHT),
        margin={"t": 44, "b": 40, "l": 52, "r": 16},
        xaxis=_experts_axis(experts, last, whole is not None),
        yaxis=layer_axis(trace, view),
        shapes=[_row(view, last)],
        annotations=[
            note(f"{told}{_measured(change, found, path)}") | {"yshift": 18},
            note(f"{swatch(c['change'][-1], words[0])}   {swatch(c['change'][0], words[1])}, nats × 1000"),
        ],
    )


def _of_all(experts: int, whole: np.ndarray) -> dict:
    """The column of all experts of a layer, beside the others."""
    return {
        "type": "heatmap", "x": [experts + BESIDE], "y": np.arange(len(whole)), "z": MILLI * whole[:, None],
        "customdata": [[[None, i]] for i in range(len(whole))],
        "hovertemplate": "layer %{y}, all experts<br>change %{z:+.2f} thousandths of a nat<extra></extra>",
    }  # fmt: skip


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 3)


def _experts_axis(experts: int, last: float, with_all: bool) -> dict:
    """Experts 0..n-1, at most 16 named, and "all" beside them."""
    ticks = list(range(0, experts, -(-experts // NUMBERED)))
    places, texts = ticks + [experts + BESIDE] * with_all, [*map(str, ticks), *["all"] * with_all]
    return {"range": [-0.5, last], "tickvals": places, "ticktext": texts, "title": {"text": "expert"}}


def _row(view: View, last: float) -> dict:
    """The outline of the selected layer."""
    box = mark("rect", y="layer") | {"x0": -0.5, "x1": last, "y0": view.layer - 0.5, "y1": view.layer + 0.5}
    return box | {"line": {"width": 2, "color": THEMES[view.theme]["ink"]}}


def _measured(change: np.ndarray, found: KnockOutTrace, path: Path) -> str:
    """How many cells are measured, while some are not."""
    wanted = int((found.had > 0).sum()) if path == "width" else change.size
    known = int(np.isfinite(change).sum())
    return f"; {known} of {wanted} measured" if known < wanted else ""


PATH = Choice("path", {"width": "Width path", "depth": "Depth path", "both": "Both"}, "Path that loses the expert")
IN_MAP = replace(PATH, set_at="knock_out_map")

FIGURES = (
    FigureSpec(
        name="knock_out_map",
        title="Without one expert",
        how_to_read=(
            "Each cell drops one expert of one layer for the whole text: how much the loss changes, in thousandths "
            "of a nat per token. Above 0 (green) the model predicts worse without it. “All” drops every expert of "
            "the layer at once. A stroke means that no token chose this expert, so there is nothing to drop."
        ),
        details=(
            "Both paths run the same weights. “Width path” takes the expert from the tokens that chose it; “depth "
            "path” takes its slice of the FFN out of all loops, for all tokens; “both” does both. Means are over the "
            "tokens that have a loss. This shows what the trained model loses without the expert, not what the "
            "expert is for: later layers were trained with it and react to its absence."
        ),
        figure=knock_out_map_figure,
        table=knock_out_table,
        choice=PATH,
        of=KnockOutTrace,
        follows=(),
    ),
    FigureSpec(
        name="knock_out_control",
        title="Compared with random experts",
        how_to_read=(
            "Each cell is the same change minus that of a control, which drops as many experts, drawn at random, at "
            "the same tokens. Near 0, losing this expert costs as much as losing any other."
        ),
        details=(
            "In the width path, the random expert is drawn from those that the token chose, so it can be the same "
            "one. In the loops, which run all experts, it can be any. The control is a mean over few draws, so small "
            "differences in one text are noise; the last question below compares several texts."
        ),
        figure=knock_out_control_figure,
        table=knock_out_table,
        choice=IN_MAP,
        of=KnockOutTrace,
        follows=(),
    ),
    FigureSpec(
        name="knock_out_token",
        title="For the prediction after the selected token",
        how_to_read=(
            "Each cell is the change of one loss alone: that of the token after the selected one, in thousandths of "
            "a nat. The largest value belongs to the expert that matters most for this prediction. It is dropped for "
            "the whole text, so the change includes what earlier tokens lose."
        ),
        details="One token in one text proves nothing about other texts. Hover cards have the random control.",
        figure=knock_out_token_figure,
        table=token_table,
        choice=IN_MAP,
        of=KnockOutTrace,
        follows=("token",),
    ),
)
