"""Overview: what the text cost, token by token and layer by layer."""

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go

from analysis.aggregate import mean_over_tokens
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.joint_map import Minimap, layer_bars, minimap_row, token_bars
from analysis.figures.selection import band
from analysis.figures.template import LEFT as MAP_LEFT
from analysis.figures.template import MAP, MAP_MARGINS_PX, figure, layer_axis, note, swatch, token_axis
from analysis.overview import compute_table, ffn_equivalents, loops_by_layer, width_passes
from analysis.palette import THEMES, mix, ramp
from analysis.view import DEFAULT_VIEW, View
from analysis.words.numbers import number
from hooks.trace import RoutingTrace

LEFT, BESIDE = 0.74, 0.79
BARS_PX = 230


def compute_map_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Cost of every token in dense FFN passes, mean over layers: loops, and experts on top; beside it the layers."""
    c = THEMES[view.theme]
    # Its token axis has a smaller share of the width than that of a map.
    view = replace(view, room=round(MAP_MARGINS_PX + (view.room - MAP_MARGINS_PX) * LEFT / MAP_LEFT))
    first, end = view.span(trace.num_tokens)
    table = compute_table(trace)
    most = trace.max_loops + 0.15
    x_axis, bottom = token_axis(trace, view)
    row = minimap_row(
        trace,
        view,
        Minimap(table["total"].to_numpy(), {"colorscale": ramp(c["loops"]), "zmin": 1, "zmax": most}),
        BARS_PX,
        LEFT,
    )
    mean = float(mean_over_tokens(trace, ffn_equivalents(trace)).mean())
    dotted = {"type": "line", "x0": first - 0.5, "x1": end - 0.5, "y0": 1, "y1": 1, "layer": "above"}
    dotted["line"] = {"width": 1.2, "dash": "dot", "color": c["ink"]}
    legend = f"{swatch(c['width'], 'width path')}  {swatch(c['depth'], 'depth path')}"
    passes = {"range": [0, most], "dtick": 1, "showgrid": True}
    return figure(
        view,
        [*_path_bars(trace, view), *row.data],
        meta=MAP,
        height=round(row.inner) + 28 + bottom,
        margin={"t": 28, "b": bottom, "l": 52, "r": 12},
        barmode="stack",
        xaxis=x_axis | {"domain": [0, LEFT]},
        yaxis=passes | {"domain": [0, row.top], "title": {"text": "dense FFN passes"}},
        xaxis2=passes | {"domain": [BESIDE, 1], "anchor": "y2"},
        yaxis2=layer_axis(trace, view) | {"domain": [0, row.top], "anchor": "x2"},
        shapes=[
            *([band(view, x="token")] if first <= view.token < end else []),
            band(view, y="layer", xref="x2", yref="y2"),
            dotted,
            *row.shapes,
        ],
        annotations=[
            note(f"{legend}, mean over layers   ┈ one dense FFN", y=row.top),
            note(f"per layer, mean over tokens · all:\u00a0{number(mean)}", x=1, y=row.top, anchor="right"),
            *row.annotations,
        ],
        **row.axes,
    )


def _path_bars(trace: RoutingTrace, view: View) -> list[dict]:
    """Stacked bars of both paths in dense FFN passes: along the tokens, then along the layers on axes x2 and y2."""
    c, table = THEMES[view.theme], compute_table(trace)
    by_layer = {
        "depth": mean_over_tokens(trace, trace.loops),
        "width": mean_over_tokens(trace, width_passes(trace)),
    }
    paint = {"depth": {"color": mix(c["bg"], c["depth"], 0.72)}, "width": {"color": mix(c["bg"], c["width"], 0.85)}}
    along_tokens, along_layers = [], []
    for path, passes in by_layer.items():
        hover, marker = {axis: f"{path} path: %{{{axis}:.2f}} passes" for axis in "xy"}, paint[path]
        bars = token_bars(trace, view, table[path].to_numpy(), hover["y"], marker=marker, stacked=True)
        along_tokens.append(bars | {"name": path})
        bars = layer_bars(trace, passes, hover["x"], marker=marker, name=path)
        along_layers.append(bars | {"xaxis": "x2", "yaxis": "y2"})
    return [*along_tokens, *along_layers]


def loops_by_layer_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Mean loops of every layer (paper Fig. 4), 10th to 90th percentile of the tokens, and mean E[L] as rings."""
    c = THEMES[view.theme]
    table = loops_by_layer(trace)
    layer = table["layer"].to_numpy()
    gap = np.full(len(layer), np.nan)
    customdata = [[None, i] for i in layer.tolist()]
    low, high = table["loops_p10"].to_numpy(), table["loops_p90"].to_numpy()
    data = [
        {
            "type": "scatter", "mode": "lines", "name": "10 to 90%", "hoverinfo": "skip",
            "line": {"width": 5, "color": mix(c["bg"], c["depth"], 0.25)},
            "x": np.stack([layer, layer, gap], axis=1).ravel(), "y": np.stack([low, high, gap], axis=1).ravel(),
        },
        {
            "type": "scatter", "mode": "lines+markers", "name": "ran", "x": layer, "y": table["mean_loops"].to_numpy(),
            "line": {"width": 1.5, "color": c["depth"]}, "marker": {"size": 9, "color": c["depth"], "opacity": 1},
            "customdata": customdata, "hovertemplate": "layer %{x}<br>mean loops %{y:.2f}<extra></extra>",
        },
        {
            "type": "scatter", "mode": "markers", "name": "expected", "x": layer,
            "y": table["expected_loops"].to_numpy(), "customdata": customdata,
            "marker": {
                "size": 9, "symbol": "circle-open", "color": c["ink"], "opacity": 1, "line": {"width": 1.5},
            },
            "hovertemplate": "layer %{x}<br>expected loops %{y:.2f}<extra></extra>",
        },
    ]  # fmt: skip
    legend = [swatch(c["depth"], "ran, mean", "●"), swatch(c["ink"], "expected E[L]", "○")]
    legend.append(swatch(mix(c["bg"], c["depth"], 0.45), "10 to 90% of tokens", "┃"))
    return figure(
        view,
        data,
        height=300,
        xaxis=layer_axis(trace, view) | {"title": {"text": "layer"}},
        yaxis={"range": [0.9, trace.max_loops + 0.1], "dtick": 1, "showgrid": True, "title": {"text": "loops"}},
        shapes=[band(view, x="layer")],
        annotations=[note("   ".join(legend))],
    )


FIGURES = (
    FigureSpec(
        name="compute_map",
        title="What every token costs",
        how_to_read=(
            "Each bar is one token. Orange shows how often the layer's FFN ran for it (depth path, one pass per "
            "loop), blue what its experts, slices of the same FFN, cost on top (width path), both as means over "
            "layers. The dotted line is the cost of one dense FFN. A short blue part says only that "
            "experts are cheap: their weight λ in the output can still be large."
        ),
        figure=compute_map_figure,
        table=compute_table,
        follows=(),
        by_token=True,
    ),
    FigureSpec(
        name="loops_by_layer",
        title="Loops by layer",
        how_to_read=(
            "Each filled dot is the mean number of loops that ran in a layer, over tokens, and the bar behind it "
            "spans the middle 80% of tokens. A hollow dot is the mean of E[L], the expected number of loops "
            "under the depth head's probabilities; what runs is the number with the highest probability."
        ),
        figure=loops_by_layer_figure,
        table=loops_by_layer,
        follows=(),
    ),
)
