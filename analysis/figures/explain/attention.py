"""Attention and routing: what every head read at the selected token, and the loops and gate of the tokens read."""

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go

from analysis.explain.attention import attention_by_loops, attention_table, mismatch
from analysis.figures.cells import hatch, hover_card, numbers, strokes
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.selection import band
from analysis.figures.template import (
    LEFT,
    MAP_MARGINS_PX,
    any_names_px,
    figure,
    layer_axis,
    names_fit,
    note,
    numbers_fit,
    quoted,
    sentence_figure,
    swatch,
    token_axis,
)
from analysis.palette import THEMES, colour_at, gate_colour, loop_colours, mix, ramp, steps, text_on
from analysis.view import DEFAULT_VIEW, View
from analysis.words.numbers import percent, significant
from hooks.attention_trace import AttentionTrace
from hooks.trace import RoutingTrace
from hooks.trace_checks import PARTS

HEADS_PX, ROUTING_PX, SPACE_PX = 240, 46, 14
MEAN = -1.4
"""Position of the mean over heads on the axis of heads, above head 0."""
BY_LOOPS_PX = 300
FEWEST_KEYS = 6
"""The map has room for at least this many columns."""
PERCENT_PX, MOST_NUMBERED_ROWS = 30, 17
"""Width that a cell needs for its weight in per cent, and most rows in which weights are written."""
NAMED_WEIGHTS = (0.01, 0.1, 0.3, 1.0)
POWER = 2
"""Cells are shaded by the square root of the weight, because most weights are small."""


def attention_map_figure(attention: AttentionTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Attention weights of every head in the selected layer, and how that layer routed the tokens read.

    Draws a sentence instead if the weights do not rebuild what the model's attention wrote.
    """
    trace = attention.routing
    if problem := mismatch(attention, view.layer):
        return sentence_figure(view, problem, BY_LOOPS_PX)
    view = replace(view, window=_readable(attention, view))
    first, end = view.window
    weights = _weights_drawn(attention, view)
    heads = len(weights) - 1
    row_px = float(np.clip(HEADS_PX / heads, 11, 30))
    heads_px = row_px * (heads + 1.4 + 0.5)
    routed = trace.parts == PARTS  # else there are no loops and no λ to show below
    plots_px = heads_px + (SPACE_PX + ROUTING_PX) * routed
    axis, bottom = token_axis(trace, view)[0], any_names_px(trace)  # as high for whatever token is selected
    axis |= {"range": [first - 0.5, max(end, first + FEWEST_KEYS) - 0.5]}
    below = ROUTING_PX / plots_px if routed else 0
    rows = {
        "yaxis2": {
            "domain": [0, below], "range": [-0.5, 1.5], "anchor": "x", "tickvals": [1, 0], "ticktext": ["loops", "λ"],
        }
    }  # fmt: skip
    named = list(range(0, heads, max(round(12 / row_px), 1)))
    card = _card(attention, view)
    return figure(
        view,
        [
            *_weight_cells(trace, weights, view, first, card),
            *(_routing(attention, view, card) if routed else []),
            *_weight_numbers(weights, view, first),
        ],
        height=round(plots_px) + 44 + bottom,
        margin={"t": 44, "b": bottom, "l": 58, "r": 12},
        xaxis={**axis, "anchor": "y2" if routed else "y"},
        yaxis={
            "domain": [below + SPACE_PX / plots_px * routed, 1], "range": [heads - 0.4, MEAN - 0.5],
            "tickvals": [MEAN, *named], "ticktext": ["mean", *map(str, named)], "title": {"text": "head"},
        },
        **(rows if routed else {}),
        shapes=[band(view, x="token"), *([band(view, x="token", yref="y2")] if routed else [])],
        annotations=_weight_notes(attention, view, weights),
    )  # fmt: skip


def _readable(attention: AttentionTrace, view: View) -> tuple[int, int]:
    """First and last + 1 of the tokens drawn: those that the selected one could read, the last ones if they are many.

    Later tokens are no keys, and would leave most of the figure of an early token empty.
    """
    start, end = view.span(attention.routing.num_tokens)
    last = attention.token + 1
    return max(attention.first_read, last - (end - start)), last


def _weights_drawn(attention: AttentionTrace, view: View) -> np.ndarray:
    """Attention weights of the drawn tokens in the selected layer, [1 + head, token]: first the mean over heads."""
    first, end = view.span(attention.routing.num_tokens)
    weights = attention.pattern[view.layer]
    rows = np.concatenate([weights.mean(axis=0, keepdims=True), weights])
    return rows[:, first - attention.first_read : end - attention.first_read]


def _weight_cells(trace: RoutingTrace, weights: np.ndarray, view: View, first: int, card: dict) -> list[dict]:
    """The map of `_weights_drawn`, whose first column is token `first`: the mean over heads, then the heads."""
    told = ": loops %{customdata[2]}, width share %{customdata[3]:.2f}<br>%{text}"
    if trace.parts != PARTS:
        told = "<br>%{text}" if "width" in trace.parts else ""
    token = np.arange(first, first + weights.shape[1])
    y = np.array([MEAN, *range(len(weights) - 1)])
    return [
        {
            "type": "heatmap", "x": token, "y": y[rows], "z": weights[rows],
            "xgap": 1 if names_fit(view, len(token)) else 0, "ygap": 1, "showscale": False,
            "zmin": 0, "zmax": 1, "colorscale": _shades(view), "hoverongaps": False,
            **{name: np.broadcast_to(values, (len(y[rows]), *values.shape)) for name, values in card.items()},
            "hovertemplate": f"<b>%{{hovertext}}</b>, token %{{customdata[0]}}<br>{said} %{{z:.1%}}<br>"
            f"in layer {view.layer}{told}<extra></extra>",
        }
        for rows, said in ((slice(0, 1), "mean over heads"), (slice(1, None), "head %{y} read"))
    ]  # fmt: skip


def _weight_numbers(weights: np.ndarray, view: View, first: int) -> list[dict]:
    """Weights in per cent on the cells of `_weight_cells`, if these are wide enough."""
    rows, columns = weights.shape
    if columns * PERCENT_PX > (view.room - MAP_MARGINS_PX) * LEFT or rows > MOST_NUMBERED_ROWS:
        return []
    row, column = (axis.ravel() for axis in np.indices(weights.shape))
    on = np.array([text_on(_shade(view, weight)) for weight in weights.ravel().tolist()])
    y = np.array([MEAN, *range(rows - 1)])[row]
    return numbers(first + column, y, [percent(weight) for weight in weights.ravel()], on)


def _weight_notes(attention: AttentionTrace, view: View, weights: np.ndarray) -> list[dict]:
    """Two lines above the map of `_weights_drawn`."""
    trace, (first, _) = attention.routing, view.span(attention.routing.num_tokens)
    outside = 1 - float(np.nansum(weights[0]))
    missed = f"; {percent(outside)} of it on tokens before {first}, not drawn" if outside >= 0.005 else ""
    since = f", whose window begins at token {attention.first_read}" if attention.first_read else ""
    legend = "  ".join(swatch(_shade(view, weight), percent(weight)) for weight in NAMED_WEIGHTS)
    where = f"layer {view.layer}, at {quoted(trace, attention.token)} (token {attention.token}){since}"
    return [
        note(f"{where}: attention weight{missed}   {legend}") | {"yshift": 22},
        note(f"weights rebuild the stream after attention within {significant(attention.gap[view.layer], 2)}"),
    ]


def attention_by_loops_figure(attention: AttentionTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Per layer, shares of attention by the loops of the tokens read (wide), and shares of these tokens (narrow)."""
    trace, c = attention.routing, THEMES[view.theme]
    if problems := [problem for layer in range(trace.num_layers) if (problem := mismatch(attention, layer))]:
        return sentence_figure(view, problems[0], BY_LOOPS_PX)
    table = attention_by_loops(attention)
    if table["token_share"].isna().any():
        return sentence_figure(view, "No token of the text stands before the selected one.", BY_LOOPS_PX)
    colours, outline = loop_colours(trace.max_loops, view.theme), mix(c["bg"], c["depth"], 0.6)
    layer, data = np.arange(trace.num_layers), []
    bottoms = {"attention_share": np.zeros(len(layer)), "token_share": np.zeros(len(layer))}
    places = {"attention_share": (0.12, 0.52, "of the attention"), "token_share": (-0.3, 0.2, "of the tokens")}
    for loops, rows in table.groupby("loops"):
        for column, (shift, width, said) in places.items():
            share = 100 * rows[column].to_numpy()
            did_not_route = rows["did_not_route"].tolist()
            pattern = hatch(view)["pattern"] | {"shape": ["/" if idle else "" for idle in did_not_route]}
            pattern |= {"bgcolor": colours[loops - 1], "fgcolor": text_on(colours[loops - 1])}
            data.append(
                {
                    "type": "bar", "x": layer + shift, "y": share, "base": bottoms[column].copy(), "width": width,
                    "name": f"{loops}", "marker": {
                        "color": colours[loops - 1], "line": {"width": 0.7, "color": outline}, "pattern": pattern,
                    },
                    "customdata": [[None, i, n] for i, n in zip(layer.tolist(), rows["tokens"].tolist(), strict=True)],
                    "hovertext": ["did not route" if idle else "" for idle in did_not_route],
                    "hovertemplate": f"layer %{{customdata[1]}}, loops {loops}: %{{y:.1f}}% {said}<br>"
                    "%{customdata[2]} tokens %{hovertext}<extra></extra>",
                }
            )  # fmt: skip
            bottoms[column] += share
    whole = table.groupby("layer")["counted_weight"].first()[view.layer]
    names = [swatch(mix(colour, c["depth"], 0.2), str(i + 1)) for i, colour in enumerate(colours)]
    counted = f"counted: {percent(whole)} of the attention of layer {view.layer}"
    return figure(
        view,
        data,
        height=BY_LOOPS_PX,
        barmode="overlay",
        margin={"t": 44, "b": 44, "l": 58, "r": 12},
        xaxis=layer_axis(trace, view),
        yaxis={"range": [0, 100], "dtick": 20, "ticksuffix": "%", "title": {"text": "share"}},
        shapes=[band(view, x="layer")],
        annotations=[
            note(f"loops of the tokens read  {'  '.join(names)}   hatched: did not route") | {"yshift": 22},
            note(
                f"narrow: share of the tokens before {quoted(trace, attention.token)}, wide: share of the attention; "
                f"{counted}"
            ),
        ],
    )


def _card(attention: AttentionTrace, view: View) -> dict:
    """Hover card of every drawn token in the selected layer: hovertext, text and customdata."""
    card = hover_card(attention.as_read, view)
    return {name: card[name][view.layer] for name in ("customdata", "hovertext", "text")}


def _routing(attention: AttentionTrace, view: View, card: dict) -> list[dict]:
    """Two rows below the map: loops with their number, and lambda; a stroke where the token did not route."""
    trace = attention.as_read
    first, end = view.span(trace.num_tokens)
    token = np.arange(first, end)
    loops, gate = trace.loops[view.layer, first:end], trace.gate[view.layer, first:end]
    ran = trace.width_ran[view.layer, first:end]
    colours = loop_colours(trace.max_loops, view.theme)
    gates = [gate_colour(i / 8, view.theme) for i in range(9)]
    hover = {
        **{name: values[None] for name, values in card.items()},
        "hovertemplate": f"<b>%{{hovertext}}</b>, token %{{customdata[0]}}<br>in layer {view.layer}: "
        "loops %{customdata[2]}, width share %{customdata[3]:.2f}<br>%{text}<extra></extra>",
    }
    row = {
        "type": "heatmap", "x": token, "yaxis": "y2", "showscale": False, "ygap": 2, **hover,
        "xgap": 1 if names_fit(view, len(token)) else 0,
    }  # fmt: skip
    data = [
        row | {"y": [1], "z": loops[None], "colorscale": steps(list(colours)), "zmin": 0.5, "zmax": len(colours) + 0.5},
        row | {"y": [0], "z": np.where(ran, gate, np.nan)[None], "colorscale": ramp(gates), "zmin": 0, "zmax": 1}
        | {"hoverongaps": True},
        strokes(token[~ran], np.zeros((~ran).sum()), view, yaxis="y2"),
    ]  # fmt: skip
    if numbers_fit(view, len(token)):
        on = np.array([text_on(colour) for colour in colours])[loops - 1]
        data += numbers(token, np.ones(len(token)), loops.astype(str), on, yaxis="y2")
    return data


def _shades(view: View) -> list[list]:
    """Colour scale over weights 0..1."""
    places = np.linspace(0, 1, 33)
    return [[float(place**POWER), _shade(view, place**POWER)] for place in places]


def _shade(view: View, weight: float) -> str:
    return colour_at(THEMES[view.theme]["probability"], weight ** (1 / POWER))


FIGURES = (
    FigureSpec(
        name="attention_map",
        title="What every head read",
        how_to_read=(
            "Each row is one head of the selected layer, and each column a token that the selected one could "
            "read: itself and those before it. A stronger colour is more attention; a row sums to 100%."
        ),
        of_versatile=(
            "The rows below show the loops and λ of every token in this layer (a stroke: it did not route, because it "
            "took all loops). Attention shows what was read before this layer routed, not what it did to the choice."
        ),
        of_intervened=(
            "The rows below show the loops and λ of every token in this layer (a stroke: it did not route, because λ "
            "was 0 or an intervention dropped its width path). Attention shows what was read before this layer routed, "
            "not what it did to the choice."
        ),
        details=(
            "The heads read what the layers below wrote, before this layer routes. A text longer than the trained "
            "context is read in windows; the figure then shows the window in which the selected token was read, with "
            "the routing that its tokens have there."
        ),
        figure=attention_map_figure,
        table=attention_table,
        of=AttentionTrace,
        by_token=True,
    ),
    FigureSpec(
        name="attention_by_loops",
        title="Does attention go to tokens that loop more?",
        how_to_read=(
            "Each wide bar is the share of the selected token's attention, mean over heads, that went to earlier "
            "tokens with this number of loops in the same layer. The narrow bar is their share of the earlier "
            "tokens, which is what their attention would be on average if the loops were shuffled among them."
        ),
        details=(
            "The token itself and tokens that the tokenizer added do not count. The first token of the text does, "
            "and a bar can come from it alone."
        ),
        figure=attention_by_loops_figure,
        table=attention_by_loops,
        of=AttentionTrace,
    ),
)
