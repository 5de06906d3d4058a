"""All writes to the residual stream at one token: embedding, attention, loops and experts of every layer.

The figures of attribution use its parts too.
"""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.explain.ledger import imbalance, stream_ledger, stream_table
from analysis.figures.explain.ledger import write_colours
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.template import figure, layer_axis, note, quoted, sentence_figure, swatch
from analysis.palette import THEMES, mix
from analysis.view import DEFAULT_VIEW, View
from analysis.words.numbers import significant
from hooks.path_trace import PathTrace
from hooks.trace import RoutingTrace

LAYERS_OF_WORD = 12
"""Half of the word "embedding" is as wide as one layer of so many in half a page, as two of twice as many."""


def stream_ledger_figure(paths: PathTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """All writes to the selected token's stream by layer, as projections on the stream that the final norm reads."""
    trace, c = paths.routing, THEMES[view.theme]
    table = stream_ledger(paths, view.token)
    residual, length = table.attrs["residual"], table.attrs["final_norm"]
    gap = significant(residual, 2)
    if problem := imbalance(paths, np.array([residual])):
        return sentence_figure(view, problem, 300)
    data = stream_bars(table, "projection", trace, view)
    data.append(stream_sum(table, "projection", view))
    return figure(
        view,
        data,
        height=300,
        margin={"t": 44, "b": 44, "l": 56, "r": 12},
        barmode="relative",
        xaxis=stream_axis(trace, view),
        yaxis={"showgrid": True, "title": {"text": "projection on the final stream"}}
        | {"zeroline": True, "zerolinecolor": c["line"], "zerolinewidth": 1},
        annotations=[
            note(f"{stream_legend(view)}   {swatch(c['ink'], 'sum so far', '○')}") | {"yshift": 22},
            note(
                f"{quoted(trace, view.token)}: all writes sum to its stream (norm {significant(length)}) within {gap}"
            ),
        ],
    )


def stream_bars(table: pd.DataFrame, column: str, trace: RoutingTrace, view: View) -> list[dict]:
    """Stacked bars over the layers (embedding at -1) of a table of stream writes: one trace per kind and rank."""
    c = THEMES[view.theme]
    loops, colours = trace.max_loops, write_colours(trace, view)
    fills = {("embedding", 0): c["line"], ("attention", 0): mix(c["bg"], c["line"], 0.5)}
    fills |= {("loop", i + 1): colours[i] for i in range(loops)}
    fills |= {("expert", i + 1): colour for i, colour in enumerate(colours[loops:])}
    outline = mix(c["bg"], c["depth"], 0.6)
    return [
        {
            "type": "bar", "x": rows["layer"].to_numpy(), "y": rows[column].to_numpy(), "name": f"{kind}",
            "width": 0.8, "marker": {"color": fills[kind, rank], "line": {"width": 0.7 * (kind == "loop")}
                                     | {"color": outline}},
            "hovertext": rows["write"].tolist(), "customdata": [[view.token, i] for i in _layers(rows["layer"])],
            "hovertemplate": f"layer %{{x}}, %{{hovertext}}<br>{column} %{{y:.3g}}<extra></extra>"
            if kind != "embedding" else f"embedding<br>{column} %{{y:.3g}}<extra></extra>",
        }
        for (kind, rank), rows in table.groupby(["kind", "rank"], sort=False)
    ]  # fmt: skip


def stream_sum(table: pd.DataFrame, column: str, view: View) -> dict:
    """Line of the sum of all writes up to each layer."""
    c, running = THEMES[view.theme], table.groupby("layer")[column].sum().cumsum()
    return {
        "type": "scatter", "mode": "lines+markers", "x": running.index.to_numpy(), "y": running.to_numpy(),
        "name": "so far", "line": {"width": 1.3, "color": c["ink"]},
        "marker": {"size": 6, "color": c["bg"], "opacity": 1, "line": {"width": 1.3, "color": c["ink"]}},
        "customdata": [[view.token, layer] for layer in _layers(running.index)],
        "hovertemplate": "sum up to layer %{x}: %{y:.3g}<extra></extra>",
    }  # fmt: skip


def stream_axis(trace: RoutingTrace, view: View) -> dict:
    """Axis of the layers, with the embedding before them. Of many layers the first are not named: it has no room."""
    axis, taken = layer_axis(trace, view), trace.num_layers / LAYERS_OF_WORD - 1
    named = [(at, text) for at, text in zip(axis["tickvals"], axis["ticktext"], strict=True) if at >= taken]
    return axis | {
        "range": [-1.6, trace.num_layers - 0.4],
        "tickvals": [-1, *(at for at, _ in named)],
        "ticktext": ["embedding", *(text for _, text in named)],
    }


def stream_legend(view: View) -> str:
    """Swatches of the kinds of stream writes."""
    c = THEMES[view.theme]
    kinds = [(c["line"], "embedding"), (mix(c["bg"], c["line"], 0.5), "attention")]
    kinds += [(c["loops"][2], "loops"), (c["width"], "experts")]
    return "   ".join(swatch(colour, name) for colour, name in kinds)


def _layers(layers: pd.Series | pd.Index) -> list[int | None]:
    return [int(layer) if layer >= 0 else None for layer in layers]


FIGURES = (
    FigureSpec(
        name="stream_ledger",
        title="The whole stream of the selected token",
        how_to_read=(
            "Each bar is what one part of the model wrote into the selected token's residual stream, projected on "
            "the stream as the final norm reads it. Parts below zero point against it. The line is the running "
            "sum and ends at the stream's full length."
        ),
        figure=stream_ledger_figure,
        table=stream_table,
        of=PathTrace,
        follows=("token",),
    ),
)
