"""Training: the curves of a model's runs, and what training draws against what eval picks."""

from itertools import cycle
from typing import Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.aggregate import ordinary
from analysis.figures.palette import THEMES, faded
from analysis.figures.template import figure, layer_axis, note, sentence_figure, swatch
from analysis.labels import plotly_text
from analysis.sampling import sampling_table
from analysis.training import QUANTITIES
from analysis.view import DEFAULT_VIEW, View
from hooks.trace import RoutingTrace

Tau = Literal["0.1", "1", "5"]
HEIGHT = 300


def drawn_loops_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW, *, tau: Tau = "0.1") -> go.Figure:
    """By layer: share of draws that are eval's pick, and the drawn loops' weight in the gradient's mixture at tau."""
    if trace.max_loops == 1:
        return sentence_figure(view, "This model has one loop only: there is nothing to draw.", HEIGHT)
    if not ordinary(trace).any():
        return sentence_figure(view, "There are only tokens here that the tokenizer added.", HEIGHT)
    c = THEMES[view.theme]
    table = sampling_table(trace)
    table = table[table["tau"] == float(tau)]
    even = {"type": "line", "xref": "x domain", "x0": 0, "x1": 1, "y0": 100 / trace.max_loops}
    even |= {"y1": even["y0"], "line": {"width": 1, "dash": "dot", "color": c["line"]}}
    legend = f"{swatch(c['depth'], 'drawn = picked', '●')}   {swatch(c['ink'], f'weight at τ = {tau}', '○')}"
    return figure(
        view,
        [
            *_with_range(table, "agreement", -0.12, "drawn loops are eval's pick", c["depth"], "circle"),
            *_with_range(table, "weight", 0.12, f"weight of the drawn loops at τ = {tau}", c["ink"], "circle-open"),
        ],
        height=HEIGHT,
        xaxis=layer_axis(trace, view),
        yaxis={"range": [0, 103], "dtick": 25, "ticksuffix": " %", "showgrid": True, "title": {"text": "of tokens"}},
        shapes=[even],
        annotations=[note(f"{legend}   {swatch(c['line'], 'no preference', '┄')}")],
    )


def training_curve_figure(curves: pd.DataFrame, view: View = DEFAULT_VIEW, *, of: str = "loss") -> go.Figure:
    """One quantity of `read_curves` over training tokens, run after run; with the loss, what was held out as dots."""
    c = THEMES[view.theme]
    if curves[of].isna().all():
        return sentence_figure(view, "This training kept no such curve.", HEIGHT)
    data, runs = [], []
    colours = cycle([c["line"], c["depth"], c["width"], c["difficulty"][4]])  # grey: the dense start
    for run, rows in curves.groupby("run", sort=False):
        colour, label = next(colours), plotly_text(run)
        runs.append(swatch(colour, label, "━"))
        data.append(_line(rows, of, label, {"mode": "lines", "line": {"width": 1.6, "color": colour}}))
        held_out = rows[rows["held_out"].notna()]
        if of == "loss" and len(held_out):
            marker = {"size": 7, "color": c["bg"], "opacity": 1, "line": {"width": 1.6, "color": colour}}
            data.append(_line(held_out, "held_out", f"{label}, held out", {"mode": "markers", "marker": marker}))
    return figure(
        view,
        data,
        clickable=False,
        height=HEIGHT,
        xaxis={"title": {"text": "training tokens"}, "rangemode": "tozero"},
        yaxis={"showgrid": True, "title": {"text": QUANTITIES[of]}},
        annotations=[note("   ".join([*runs, "○ held out"] if of == "loss" else runs))],
    )


def _line(rows: pd.DataFrame, column: str, name: str, fields: dict) -> dict:
    return {
        "type": "scatter", "x": rows["all_tokens"], "y": rows[column], "name": name,
        "customdata": [[name, step] for step in rows["step"].tolist()],
        "hovertemplate": "%{customdata[0]}<br>%{x:.3s} tokens, step %{customdata[1]:,}<br>%{y:.4g}<extra></extra>",
        **fields,
    }  # fmt: skip


def _with_range(table: pd.DataFrame, column: str, aside: float, name: str, colour: str, symbol: str) -> list[dict]:
    """Dots by layer with the middle 80 % of draws as bars, moved aside so that two series stand side by side."""
    layer = table["layer"].to_numpy()
    mean, low, high = (100 * table[each].to_numpy() for each in (column, f"{column}_p10", f"{column}_p90"))
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
            "hovertemplate": f"layer %{{customdata[1]}}<br>{name}: %{{y:.1f}} %<br>"
            "middle 80 % of draws: %{customdata[2]:.1f} to %{customdata[3]:.1f} %<extra></extra>",
        },
    ]  # fmt: skip
