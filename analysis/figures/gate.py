"""Gate: lambda, the mixing share of the width path, as a map, by level, and along the text."""

import numpy as np
import plotly.graph_objects as go

from analysis.aggregate import mean_over_tokens, ordinary
from analysis.figures.cells import hover_card
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.joint_map import Marginal, Minimap, heatmap, joint_map, layer_bars, scale_bar, token_bars
from analysis.figures.level_bars import Level, level_bars_figure
from analysis.figures.selection import mark
from analysis.figures.template import FEWEST_COLUMNS, drawn_part, figure, note, swatch
from analysis.figures.word_columns import word_columns
from analysis.gate import gate_along_text, gate_along_text_table, gate_by_chance, gate_level_shares, gate_table
from analysis.palette import THEMES, gate_colour, mix, ramp
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import plotly_text, token_labels
from analysis.words.numbers import significant
from hooks.trace import RoutingTrace
from sample_models.lambda_gate import width_share

BUTTERFLY = {"range": [-1, 1], "tickvals": [-1, 0, 1], "ticktext": ["1", "0", "1"]}


def gate_map_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Width share lambda of every token in every layer, 0..1; bars of mean width share against depth share."""
    c = THEMES[view.theme]
    first, end = view.span(trace.num_tokens)
    colours = {"colorscale": ramp(c["gate"]), "zmin": 0, "zmax": 1}
    blue, orange = ({"marker": {"color": mix(c["bg"], c[path], 0.72)}} for path in ("width", "depth"))
    values, per_token, per_layer = trace.gate, trace.gate.mean(axis=0), mean_over_tokens(trace, trace.gate)
    if words := word_columns(trace, view):
        values, per_token = words.averaged(values), words.averaged(per_token)
    return joint_map(
        trace,
        view,
        [
            heatmap(trace, view, values[:, first:end], hover_card(trace, view), **colours)
            | scale_bar(view, "width share λ", tickvals=[0, 0.5, 1])
        ],
        Marginal(
            [
                token_bars(trace, view, per_token, "mean width share %{y:.2f}", **blue),
                token_bars(trace, view, per_token - 1, "mean depth share %{y:.2f}", **orange),
            ],
            BUTTERFLY,
            f"{swatch(c['width'], 'width share', '▲')}  {swatch(c['depth'], 'depth share', '▼')}, mean over layers",
        ),
        Marginal(
            [
                layer_bars(trace, per_layer, "mean width share %{x:.2f}", **blue),
                layer_bars(trace, per_layer - 1, "mean depth share %{x:.2f}", **orange),
            ],
            BUTTERFLY,
            f"{swatch(c['depth'], 'depth', '◄')}  {swatch(c['width'], 'width', '►')}",
        ),
        Minimap(per_token, colours),
        words,
        "width share %{z:.2f}",
    )


def gate_levels_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Share of tokens at each level of lambda, per layer; the shares of a layer fill its bar.

    Lambda follows from the loops, so these are the shares of loops again, unless lambda was edited: tokens with another
    lambda have a level of their own.
    """
    c, table = THEMES[view.theme], gate_level_shares(trace)
    levels = [
        Level(f"λ {significant(level)}", gate_colour(level, view.theme), {"width": 0})
        if np.isfinite(level)
        else Level("other λ", c["bg"], {"width": 0.7, "color": c["line"]})
        for level in table["gate"][table["layer"] == 0].tolist()
    ]
    return level_bars_figure(
        trace,
        view,
        table,
        levels,
        height=330,
        legend="   ".join(swatch(level.colour, level.name) for level in levels),
        upright=False,
        fewest=4,
        margin={"t": 30, "b": 44, "l": 52, "r": 16},
    )


def gate_along_text_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW, *, smooth: int = 7) -> go.Figure:
    """Lambda along the text: dots = the selected layer, line = smoothed mean over layers, dotted = largest lambda.

    The band is the middle 95% of that line for shuffled tokens.
    """
    c = THEMES[view.theme]
    first, end = view.span(trace.num_tokens)
    token = np.arange(first, end)[ordinary(trace)[first:end]]
    labels = [plotly_text(label) for label in token_labels(trace)]
    gate = trace.gate[view.layer, token]
    ceiling = width_share(1, trace.max_loops)
    low, high = gate_by_chance(trace, smooth)[:, token]
    pale = mix(c["bg"], c["line"], 0.35)
    data = [
        {
            "type": "scatter", "mode": "lines", "x": np.append(token, token[::-1]), "y": np.append(low, high[::-1]),
            "fill": "toself", "fillcolor": pale, "line": {"width": 0}, "name": "shuffled tokens", "hoverinfo": "skip",
        },
        {
            "type": "scatter", "mode": "lines", "x": token, "y": gate_along_text(trace, smooth)[token],
            "line": {"width": 1.5, "color": c["ink"]}, "name": "mean over layers", "hoverinfo": "skip",
        },
        {
            "type": "scatter", "mode": "markers", "x": token, "y": gate, "name": f"layer {view.layer}",
            "customdata": [[int(t), view.layer] for t in token], "hovertext": [labels[t] for t in token],
            "hovertemplate": "<b>%{hovertext}</b>, token %{x}<br>width share %{y:.2f}<extra></extra>",
            "marker": {
                "size": 7 if len(token) <= 90 else 5, "opacity": 1, "color": gate, "cmin": 0, "cmax": 1,
                "colorscale": ramp(c["gate"]), "line": {"width": 0.8, "color": c["line"]},
            },
        },
    ]  # fmt: skip
    dotted = {"type": "line", "xref": "x domain", "x0": 0, "x1": 1, "y0": ceiling, "y1": ceiling}
    dotted["line"] = {"width": 1, "dash": "dot", "color": c["ink"]}
    here = mark("line", x="token") | {"yref": "y domain", "y0": 0, "y1": 1, "x0": view.token, "x1": view.token}
    here["line"] = {"width": 1, "color": c["line"]}
    part = drawn_part(first, end, trace.num_tokens)
    named = {"xref": "x domain", "x": 1, "xanchor": "right", "y": ceiling, "yanchor": "bottom", "yshift": 5}
    named["text"] = f"λ never exceeds {significant(ceiling)}: at least 1/{trace.max_loops} of the weight is depth"
    return figure(
        view,
        data,
        height=352,
        margin={"t": 52, "b": 44, "l": 52, "r": 16},
        xaxis={"range": [first - 1, max(end, first + FEWEST_COLUMNS)], "title": {"text": "token index"}},
        yaxis={"range": [-0.04, 1.04], "dtick": 0.25, "showgrid": True, "title": {"text": "width share λ"}},
        shapes=[dotted, *([here] if first <= view.token < end else [])],
        annotations=[
            named,
            note(
                f"{swatch(c['line'], f'layer {view.layer}{part}', '●')}   "
                f"{swatch(c['ink'], f'mean over layers and {smooth} tokens', '━')}"
            )
            | {"yshift": 22},
            note(swatch(pale, "middle 95% of that mean for shuffled tokens")),
        ],
    )


FIGURES = (
    FigureSpec(
        name="gate_map",
        title="Width share λ",
        how_to_read=(
            "Each cell is one token in one layer. Its colour is the width share λ, the weight of the width path "
            "(a few slices of the FFN, called experts) when the layer mixes its two paths; the depth path (the "
            "whole FFN in loops) weighs 1 − λ. In blue cells the experts weigh more, in orange cells the loops, "
            "in grey cells both alike. λ = (max loops − loops) / max loops, so it never reaches the 1 at the end "
            "of the scale."
        ),
        figure=gate_map_figure,
        table=gate_table,
        follows=(),
    ),
    FigureSpec(
        name="gate_levels",
        title="Gate levels in each layer",
        how_to_read=(
            "Each bar is one layer, split by the values that the width share λ took; a number is the share of the "
            "layer's tokens in per cent. Blue values weigh the experts more, orange ones the loops, grey both alike. λ "
            "follows from the number of loops, so there is one value for each number."
        ),
        figure=gate_levels_figure,
        table=gate_level_shares,
        follows=(),
    ),
    FigureSpec(
        name="gate_along_text",
        title="Along the text",
        how_to_read=(
            "Each dot is the width share λ of one token in the selected layer. The line is the mean over layers, "
            "smoothed over 7 tokens; the band holds the middle 95% of that mean when the tokens are shuffled. "
            "Smoothing alone makes waves: by chance one place in twenty lies outside the band, and neighbours "
            "leave it together."
        ),
        figure=gate_along_text_figure,
        table=gate_along_text_table,
        follows=("layer",),
        by_token=True,
    ),
)
