"""Bars of a layer's tokens by level: how many took each number of loops, or each value of the gate."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.figures.cells import numbers
from analysis.figures.template import figure, layer_axis, note, sentence_figure
from analysis.palette import text_on
from analysis.view import View
from hooks.trace import RoutingTrace


@dataclass(frozen=True)
class Level:
    """How one level looks and is called."""

    name: str
    colour: str
    outline: dict
    """Plotly's line round its bars."""


def level_bars_figure(
    trace: RoutingTrace,
    view: View,
    shares: pd.DataFrame,
    levels: list[Level],
    *,
    height: int,
    legend: str,
    upright: bool,
    fewest: float,
    margin: dict | None = None,
) -> go.Figure:
    """Every layer's shares, one after the other, in a bar of 100 %.

    `shares` is a table of `aggregate.level_shares`, whose rows of a layer follow `levels`. Bars stand `upright` or lie
    from left to right, with their per cent in them from `fewest` on.
    """
    if shares["share"].isna().any():
        return sentence_figure(view, "There are only tokens here that the tokenizer added.", height)
    layer, end, data = np.arange(trace.num_layers), np.zeros(trace.num_layers), []
    layers, of_tokens = ("x", "y") if upright else ("y", "x")
    for index, level in enumerate(levels):
        rows = shares.iloc[index :: len(levels)]
        share = 100 * rows["share"].to_numpy()
        data.append(
            {
                "type": "bar", layers: layer, of_tokens: share, "name": level.name,
                "marker": {"color": level.colour, "line": level.outline},
                "customdata": [[None, i, n] for i, n in zip(layer.tolist(), rows["tokens"].tolist(), strict=True)],
                "hovertemplate": f"layer %{{{layers}}}<br>{level.name}: %{{{of_tokens}:.1f}} %, "
                "%{customdata[2]} tokens<extra></extra>",
                **({} if upright else {"orientation": "h", "width": 0.8}),
            }
        )  # fmt: skip
        named = share >= fewest
        places = {layers: layer[named], of_tokens: (end + share / 2)[named]}
        texts, on = [f"{value:.0f}" for value in share[named]], np.full(named.sum(), text_on(level.colour))
        data += numbers(places["x"], places["y"], texts, on)
        end = end + share
    axes = {
        f"{layers}axis": layer_axis(trace, view),
        f"{of_tokens}axis": {"range": [0, 100], "dtick": 20, "ticksuffix": " %", "title": {"text": "share of tokens"}},
    }
    if margin:
        axes["margin"] = margin
    return figure(view, data, height=height, barmode="stack", annotations=[note(legend)], **axes)


__all__ = ["Level", "level_bars_figure"]
