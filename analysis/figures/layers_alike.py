"""Experts: which layers route alike."""

import numpy as np
import plotly.graph_objects as go

from analysis.figures.cells import numbers
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.template import figure, layer_axis, note, sentence_figure
from analysis.palette import THEMES, colour_at, ramp, text_on
from analysis.texts.layers_alike import FEWEST_TOKENS, MOST_LAYERS, layers_alike
from analysis.view import DEFAULT_VIEW, View
from analysis.words.numbers import number
from hooks.trace import RoutingTrace

HEIGHT = 330
MOST_NUMBERED = 16


def layers_alike_figure(trace: RoutingTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Agreement of the first experts of every two layers: 0 at chance, 1 where the choice in one settles the other."""
    c, n = THEMES[view.theme], trace.num_layers
    table = layers_alike(trace)
    known = table["adjusted"].notna().to_numpy()
    if not known.any():
        why = f"Fewer than {FEWEST_TOKENS} tokens of this text routed in any two layers: too few to compare them."
        return sentence_figure(view, why, HEIGHT)
    agreement, tokens = np.full((n, n), np.nan), np.zeros((n, n), int)
    for one, other in (("layer", "other"), ("other", "layer")):
        agreement[table[one], table[other]] = table["adjusted"]
        tokens[table[one], table[other]] = table["tokens"]
    shades = c["probability"]
    row, column = np.nonzero(np.isfinite(agreement))
    values = agreement[row, column]
    data = [
        {
            "type": "heatmap", "x": np.arange(n), "y": np.arange(n), "z": agreement, "xgap": 1, "ygap": 1,
            "colorscale": ramp(shades), "zmin": 0, "zmax": 1, "showscale": False, "hoverongaps": False,
            "customdata": np.stack([np.full((n, n), None), np.indices((n, n))[0], tokens], axis=-1).tolist(),
            "hovertemplate": "layers %{y} and %{x}<br>agreement %{z:.2f}, %{customdata[2]} tokens<extra></extra>",
        }
    ]  # fmt: skip
    if n <= MOST_NUMBERED:
        on = np.array([text_on(colour_at(shades, value)) for value in values])
        data += numbers(column, row, [number(value) for value in values], on)
    axis = layer_axis(trace, view)
    return figure(
        view,
        data,
        height=HEIGHT,
        margin={"t": 30, "b": 44, "l": 52, "r": 12},
        xaxis=axis,
        yaxis=axis,
        annotations=[
            note(
                "do tokens that share an expert in one layer share one in the other?   0:\u00a0chance   1:\u00a0always"
            )
        ],
    )


FIGURES = (
    FigureSpec(
        name="layers_alike",
        title="Which layers route alike?",
        how_to_read=(
            "Each cell is a pair of layers: how much a token's first expert in one layer tells about its first "
            "expert in the other, whatever the experts' numbers. 1 is the most that the two can share. 0 is "
            "chance, what remains when the text is rotated. Only tokens that routed in both layers count."
        ),
        details=f"Of more than {MOST_LAYERS} layers, {MOST_LAYERS} are compared that are spread evenly.",
        figure=layers_alike_figure,
        table=layers_alike,
        follows=(),
    ),
)
