"""Bars of the shares of a layer's tokens at every level: numbers of loops, or values of the gate."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.figures.cells import numbers
from analysis.figures.template import figure, height_of_rows, layer_axis, note, sentence_figure
from analysis.palette import text_on
from analysis.runs.schema import Sizes
from analysis.view import View
from analysis.words.numbers import number
from hooks.trace import RoutingTrace


@dataclass(frozen=True)
class Level:
    """Name and colours of one level."""

    name: str
    colour: str
    outline: dict
    """Plotly `marker.line` of its bars."""
    part: tuple[str, float] | None = None
    """What a click on a bar names: field of a `TokenFilter` and value. None: only the layer."""


def level_bars_figure(
    of: RoutingTrace | Sizes,
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
    """A bar of 100% per layer, stacked from the shares of its levels.

    `shares` is a table of `aggregate.level_shares`, with the rows of a layer in the order of `levels`. Bars are
    `upright` or horizontal, and then `height` grows with many layers; shares of at least `fewest` per cent are printed
    in them.
    """
    if shares["share"].isna().any():
        return sentence_figure(view, "This text has only tokens that the tokenizer added.", height)
    layer, end, data = np.arange(of.num_layers), np.zeros(of.num_layers), []
    layers, of_tokens = ("x", "y") if upright else ("y", "x")
    for index, level in enumerate(levels):
        rows = shares.iloc[index :: len(levels)]
        share = 100 * rows["share"].to_numpy()
        data.append(
            {
                "type": "bar", layers: layer, of_tokens: share, "name": level.name,
                "marker": {"color": level.colour, "line": level.outline},
                "customdata": [[level.part, *row] for row in rows[["layer", "tokens"]].to_numpy().tolist()],
                "hovertemplate": f"layer %{{{layers}}}<br>{level.name}: %{{{of_tokens}:.1f}}%, "
                "%{customdata[2]} tokens<extra></extra>",
                **({} if upright else {"orientation": "h", "width": 0.8}),
            }
        )  # fmt: skip
        named = share >= fewest
        places = {layers: layer[named], of_tokens: (end + share / 2)[named]}
        texts, on = [number(value, 0) for value in share[named]], np.full(named.sum(), text_on(level.colour))
        data += numbers(places["x"], places["y"], texts, on)
        end = end + share
    height = height if upright else height_of_rows(of.num_layers, height)
    axes = {
        f"{layers}axis": layer_axis(of, view),
        f"{of_tokens}axis": {"range": [0, 100], "dtick": 20, "ticksuffix": "%", "title": {"text": "share of tokens"}},
    }
    if margin:
        axes["margin"] = margin
    return figure(view, data, height=height, barmode="stack", annotations=[note(legend)], **axes)


__all__ = ["Level", "level_bars_figure"]
