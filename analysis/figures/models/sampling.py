"""Sampling: the loops that training draws, compared with those that eval picks."""

from typing import Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.aggregate import ordinary
from analysis.figures.figure_spec import Choice, FigureSpec
from analysis.figures.template import figure, layer_axis, note, sentence_figure, swatch
from analysis.models.sampling import sampling_table
from analysis.palette import THEMES, faded
from analysis.view import DEFAULT_VIEW, View
from hooks.trace import RoutingTrace

Tau = Literal["0.1", "1", "5"]
HEIGHT = 300


def drawn_loops_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW, *, tau: Tau = "0.1") -> go.Figure:
    """By layer: share of draws that agree with eval, and the weight of the drawn loops in the gradient at tau."""
    if trace.max_loops == 1:
        return sentence_figure(view, "This model has only one loop, so there is nothing to draw.", HEIGHT)
    if not ordinary(trace).any():
        return sentence_figure(view, "This text has only tokens that the tokenizer added.", HEIGHT)
    c = THEMES[view.theme]
    table = sampling_table(trace)
    table = table[table["tau"] == float(tau)]
    even = {"type": "line", "xref": "x domain", "x0": 0, "x1": 1, "y0": 100 / trace.max_loops}
    even |= {"y1": even["y0"], "line": {"width": 1, "dash": "dot", "color": c["line"]}}
    legend = (
        f"{swatch(c['depth'], 'draws that match evaluation', '●')}   {swatch(c['ink'], f'weight at τ = {tau}', '○')}"
    )
    return figure(
        view,
        [
            *_with_range(table, "agreement", -0.12, "draws that match evaluation", c["depth"], "circle"),
            *_with_range(table, "weight", 0.12, f"weight of the drawn loops at τ = {tau}", c["ink"], "circle-open"),
        ],
        height=HEIGHT,
        xaxis=layer_axis(trace, view),
        yaxis={"range": [0, 103], "dtick": 25, "ticksuffix": "%", "showgrid": True, "title": {"text": "of tokens"}},
        shapes=[even],
        annotations=[note(f"{legend}   {swatch(c['line'], 'no preference', '┄')}")],
    )


def _with_range(table: pd.DataFrame, column: str, aside: float, name: str, colour: str, symbol: str) -> list[dict]:
    """Dots by layer with the middle 80% of draws as bars, shifted by `aside` so that two series do not overlap."""
    layer = table["layer"].to_numpy()
    mean, low, high = (100 * table[field].to_numpy() for field in (column, f"{column}_p10", f"{column}_p90"))
    gap = np.full(len(layer), np.nan)
    place = layer + aside
    facts = [[None, i, *ends] for i, *ends in zip(layer.tolist(), low.tolist(), high.tolist(), strict=True)]
    return [
        {
            "type": "scatter", "mode": "lines", "hoverinfo": "skip", "showlegend": False,
            "x": np.stack([place, place, gap], axis=1).ravel(), "y": np.stack([low, high, gap], axis=1).ravel(),
            "line": {"width": 5, "color": faded(colour, 0.35)},
        },
        {
            "type": "scatter", "mode": "markers", "x": place, "y": mean, "name": name,
            "marker": {"size": 9, "symbol": symbol, "color": colour, "opacity": 1, "line": {"width": 1.5}},
            "customdata": facts,
            "hovertemplate": f"layer %{{customdata[1]}}<br>{name}: %{{y:.1f}}%<br>"
            "middle 80% of draws: %{customdata[2]:.1f} to %{customdata[3]:.1f}%<extra></extra>",
        },
    ]  # fmt: skip


FIGURES = (
    FigureSpec(
        name="drawn_loops",
        title="Would training have chosen the same loops?",
        how_to_read=(
            "Each filled dot is the share of a layer's tokens for which a draw as in training (Gumbel noise added to "
            "the depth logits, the largest wins) gives the loops that evaluation picks. A hollow dot is the weight "
            "of the drawn loops in the softmax at temperature τ, through which the gradient flows; τ changes only "
            "these. Bars span the middle 80% of 32 draws."
        ),
        details=(
            "The layers are drawn one by one. In training a draw also changes the logits of the layers above, "
            "which this does not follow."
        ),
        figure=drawn_loops_figure,
        table=sampling_table,
        choice=Choice("tau", {"0.1": "τ 0.1", "1": "τ 1", "5": "τ 5"}, "Temperature"),
        follows=(),
    ),
)
