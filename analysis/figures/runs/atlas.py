"""Atlas: loops, gate and load of experts over the tokens of a run, layer by layer.

A click on a part of these figures names it: `meta.select` is "part", and `customdata[0]` of what is clicked is the name
of a field of `TokenFilter` with its value, `customdata[1]` the layer.
"""

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go

from analysis.figures.cells import hatch, numbers, strokes
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.level_bars import Level, level_bars_figure
from analysis.figures.template import figure, height_of_rows, layer_axis, note, sentence_figure, swatch
from analysis.palette import THEMES, colour_at, gate_colour, loop_colours, mix, ramp, text_on
from analysis.runs.atlas import ABOVE, BELOW, TOO_FEW, Atlas, atlas_balance
from analysis.runs.filters import ALL_TOKENS
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import how_many
from analysis.words.numbers import number, significant

HEIGHT = 300
TO_PART = {"select": "part"}
LAYERS = "layer of the model"
"""Not "layer": what is selected in the reader's text is not marked on this axis."""
EMPTY = "No token of the run is left by the filter."
MOST_NAMED = 16
"""Experts whose numbers are printed in cells."""


def run_loops_figure(drawn: Atlas, view: View = DEFAULT_VIEW) -> go.Figure:
    """Shares of every number of loops in every layer, with the layer's mean above its bar."""
    if not drawn.tokens:
        return sentence_figure(view, EMPTY, HEIGHT)
    c, colours, table = THEMES[view.theme], loop_colours(drawn.sizes.max_loops, view.theme), drawn.table("loops")
    outline = {"width": 0.7, "color": mix(c["bg"], c["depth"], 0.45)}
    legend = [swatch(mix(colour, c["depth"], 0.2), str(loops)) for loops, colour in enumerate(colours, start=1)]
    made = level_bars_figure(
        drawn.sizes,
        _at_layer(drawn, view),
        table,
        [Level(f"loops {n}", colour, outline, part=("loops", n)) for n, colour in enumerate(colours, start=1)],
        height=HEIGHT,
        legend="loops  " + "  ".join(legend) + "   above: mean loops",
        upright=True,
        fewest=5,
    )
    means = table.drop_duplicates("layer")
    texts = [number(mean) for mean in means["mean_loops"]]
    made.add_traces(numbers(means["layer"].to_numpy(), np.full(len(means), 104.0), texts, _inks(len(means), view)))
    made.update_layout(meta=TO_PART, xaxis_title_text=LAYERS, yaxis_range=[0, 109])
    return made


def run_gate_figure(drawn: Atlas, view: View = DEFAULT_VIEW) -> go.Figure:
    """Shares of every level of λ in every layer, with the layer's mean at the end of its bar."""
    table = drawn.table("gate")
    if not drawn.tokens or table.empty:
        return sentence_figure(view, EMPTY if not drawn.tokens else "This model has no gate.", HEIGHT)
    c = THEMES[view.theme]
    levels = [
        Level(
            f"λ {significant(level)}",
            gate_colour(level, view.theme),
            {"width": 0},
            part=("loops", drawn.sizes.max_loops if level == 0 else place),
        )
        if np.isfinite(level)
        else Level("other λ", c["bg"], {"width": 0.7, "color": c["line"]}, part=("", 0))
        for place, level in enumerate(table["gate"][table["layer"] == 0].tolist(), start=1)
    ]
    made = level_bars_figure(
        drawn.sizes,
        _at_layer(drawn, view),
        table,
        levels,
        height=HEIGHT,
        legend="   ".join(swatch(level.colour, level.name) for level in levels) + "   at the right: mean λ",
        upright=False,
        fewest=4,
        margin={"t": 30, "b": 44, "l": 52, "r": 48},
    )
    means = table.drop_duplicates("layer")
    texts = [f"\u00a0{number(mean)}" for mean in means["mean_gate"]]
    end, inks = np.full(len(means), 100.0), _inks(len(means), view)  # beyond the axis a text is not drawn
    beside = {"textposition": "middle right", "cliponaxis": False}
    made.add_traces(numbers(end, means["layer"].to_numpy(), texts, inks, **beside))
    made.update_layout(meta=TO_PART, yaxis_title_text=LAYERS)
    return made


def run_load_figure(drawn: Atlas, view: View = DEFAULT_VIEW) -> go.Figure:
    """Share of every layer's choices per expert, with those outside the bounds framed; beside it did not route."""
    table, layers, experts = drawn.table("experts"), drawn.sizes.num_layers, drawn.sizes.num_experts
    if not drawn.tokens or table.empty:
        return sentence_figure(view, EMPTY if not drawn.tokens else "This model has no experts.", HEIGHT)
    c, share = THEMES[view.theme], table["share"].to_numpy().reshape(layers, experts)
    by_layer, most = table.drop_duplicates("layer"), 1 / drawn.sizes.k
    idle = np.array([1 - r / t for r, t in zip(by_layer["routed_tokens"], by_layer["tokens"], strict=True)])
    told = [verdict if verdict in BELOW + ABOVE else "" for verdict in table["verdict"]]
    data = [
        {
            "type": "heatmap", "x": np.arange(experts), "y": np.arange(layers), "z": share, "xgap": 1, "ygap": 1,
            "colorscale": ramp(c["load"]), "zmin": 0, "zmax": most, "showscale": False,
            "customdata": [[[["expert", e], i] for e in range(experts)] for i in range(layers)],
            "text": np.array([f"<br>{each}" if each else "" for each in told], dtype=object).reshape(layers, experts),
            "hovertemplate": "layer %{y}, expert %{x}<br>%{z:.1%} of routed choices%{text}<extra></extra>",
        },
        {
            "type": "bar", "orientation": "h", "x": idle, "y": np.arange(layers), "xaxis": "x2", "width": 0.78,
            "marker": hatch(view), "name": "did not route", "text": [number(100 * value, 0) for value in idle],
            "textposition": "outside", "textfont": {"size": 12, "color": c["muted"]}, "cliponaxis": False,
            "customdata": [[["loops", drawn.sizes.max_loops], i] for i in range(layers)],
            "hovertemplate": "layer %{y}<br>did not route: %{x:.1%}<extra></extra>",
        },
    ]  # fmt: skip
    layer, expert = np.nonzero(np.isfinite(share))
    if experts <= MOST_NAMED:
        known = share[layer, expert]
        on = np.array([text_on(colour_at(c["load"], value / most)) for value in known])
        data += numbers(expert, layer, [number(100 * value, 0) for value in known], on)
    column, row = (grid.ravel() for grid in np.meshgrid(np.arange(experts), np.flatnonzero(np.isnan(share).any(1))))
    data.append(strokes(column, row, view))
    outside = table[[bool(each) for each in told]]
    frames = [
        {
            "type": "rect", "x0": e - 0.46, "x1": e + 0.46, "y0": i - 0.46, "y1": i + 0.46,
            "line": {"width": 2, "color": c["ink"], "dash": "dot" if verdict in BELOW else "solid"},
        }
        for i, e, verdict in outside[["layer", "expert", "verdict"]].itertuples(index=False)
    ]  # fmt: skip
    return figure(
        view,
        data,
        meta=TO_PART,
        height=height_of_rows(layers, HEIGHT),
        xaxis={
            "domain": [0, 0.82], "range": [-0.5, experts - 0.5], "dtick": -(-experts // 16),
            "title": {"text": "expert"},
        },
        yaxis=layer_axis(drawn.sizes, _at_layer(drawn, view)) | {"title": {"text": LAYERS}},
        xaxis2={"domain": [0.84, 0.96], "range": [0, 1], "visible": False},
        shapes=frames,
        annotations=[
            note(f"% of routed choices (even:\u00a0{significant(100 / experts)}){_of_bounds(drawn, bool(frames))}"),
            note("did not route, %", x=1, anchor="right"),
        ],
    )  # fmt: skip


def _of_bounds(drawn: Atlas, framed: bool) -> str:
    """What frames mean, if there are any, and in how many layers there are too few choices for them."""
    words = "dotted dead, solid too much" if drawn.chosen == ALL_TOKENS else "dotted few or none, solid many"
    by_layer, layers = drawn.table("experts").drop_duplicates("layer"), drawn.sizes.num_layers
    few = by_layer["verdict"].eq(TOO_FEW).sum() if drawn.sizes.num_experts > 1 else 0
    too_few = f" · too few choices in {few} of {how_many(layers, 'layer')}" if few else ""
    return f", framed: {words}" * framed + too_few


def run_balance_figure(drawn: Atlas, view: View = DEFAULT_VIEW) -> go.Figure:
    """Load CV of every layer, and beside it the balance loss of the whole run."""
    if not drawn.tokens or drawn.table("experts").empty:
        return sentence_figure(view, EMPTY if not drawn.tokens else "This model has no experts.", HEIGHT)
    c, table = THEMES[view.theme], atlas_balance(drawn)
    layer, few = table["layer"].to_numpy(), ~table["measured"].to_numpy()
    data = [
        {
            "type": "bar", "orientation": "h", "x": table[name].to_numpy(), "y": layer, "width": 0.7, "name": words,
            "xaxis": axis, "marker": {"color": mix(c["bg"], c["width"], 0.8)}, "cliponaxis": False,
            "text": [number(value) for value in table[name]], "textposition": "outside",
            "textfont": {"size": 12, "color": c["muted"]}, "customdata": [[None, i] for i in layer.tolist()],
            "hovertemplate": f"layer %{{y}}<br>{words} %{{x:.3f}}<extra></extra>",
        }
        for name, words, axis in (("load_cv", "load CV", "x"), ("balance_loss", "balance loss", "x2"))
    ]  # fmt: skip
    ends = [max(1.0, 1.25 * float(np.nanmax(table[name], initial=0))) for name in ("load_cv", "balance_loss")]
    even = {"type": "line", "xref": "x2", "x0": 1, "x1": 1, "yref": "y domain", "y0": 0, "y1": 1}
    even["line"] = {"width": 1, "dash": "dot", "color": c["ink"]}
    too_few = f" · too few choices in {few.sum()} of {how_many(len(few), 'layer')}" if few.any() else ""
    return figure(
        view,
        data,
        meta=TO_PART,
        height=height_of_rows(drawn.sizes.num_layers, HEIGHT),
        xaxis={"domain": [0, 0.47], "range": [0, ends[0]], "showgrid": True, "title": {"text": "load CV"}},
        xaxis2={"domain": [0.53, 1], "range": [0, max(ends[1], 1.5)], "showgrid": True,
                "title": {"text": "balance loss"}},
        yaxis=layer_axis(drawn.sizes, _at_layer(drawn, view)) | {"title": {"text": LAYERS}},
        shapes=[even],
        annotations=[
            note(f"0: even load{too_few}"),
            note("of the whole run, whatever the filter · dotted: even", x=1, anchor="right"),
        ],
    )  # fmt: skip


def _at_layer(drawn: Atlas, view: View) -> View:
    """The view with the layer of the filter selected, or none."""
    return replace(view, layer=-1 if drawn.chosen.layer is None else drawn.chosen.layer)


def _inks(count: int, view: View) -> np.ndarray:
    return np.full(count, THEMES[view.theme]["ink"])


ATLAS_FIGURES = (
    FigureSpec(
        name="run_loops",
        title="Loops in every layer",
        how_to_read=(
            "Each bar is one layer of the model, split by the number of loops that its tokens took. The number above "
            "it is the mean. Click a part of a bar to see the tokens behind it."
        ),
        figure=run_loops_figure,
        table=lambda drawn: drawn.table("loops"),
        of=Atlas,
        follows=(),
    ),
    FigureSpec(
        name="run_gate",
        title="λ in every layer",
        how_to_read=(
            "Each bar is one layer, split by the value of λ, the weight of the width path; at its end is the mean. λ "
            "follows from the loops unless it was edited."
        ),
        figure=run_gate_figure,
        table=lambda drawn: drawn.table("gate"),
        of=Atlas,
        follows=(),
    ),
    FigureSpec(
        name="run_load",
        title="Load of the experts in every layer",
        how_to_read=(
            "Each cell is the share, in per cent, of a layer's routed choices that one expert got; a row sums to "
            "100, apart from rounding. A dotted frame marks a load below the bounds of the health check (in a whole "
            "run: a dead expert), a solid frame one above them. The bars are the share of tokens that did not "
            "route: they took all loops and count in no load. Click a cell to see the tokens behind it."
        ),
        details=(
            "Layers with fewer than 20 choices per expert are not judged. Under a filter no expert is called dead: "
            "a frame says only that it served none or few, or many, of the filter's tokens."
        ),
        figure=run_load_figure,
        table=lambda drawn: drawn.table("experts"),
        of=Atlas,
        follows=(),
    ),
    FigureSpec(
        name="run_balance",
        title="How even the load is",
        how_to_read=(
            "Each bar is one layer. The left bars show its load CV: the standard deviation of its experts' loads "
            "over their mean, 0 if all are alike. The right bars show the balance loss that training adds: the "
            "number of experts times the sum of load times the router's mean probability, 1 if either is even."
        ),
        details=(
            "The balance loss is always of the whole run, whatever the filter, since a run keeps only sums of the "
            "router's probabilities. It is the value of transformers divided by the number of chosen experts. Its "
            "loads count the choices that ran; what tokens that took all loops would have chosen is not kept."
        ),
        figure=run_balance_figure,
        table=atlas_balance,
        of=Atlas,
        follows=(),
    ),
)
"""The figures of the page Atlas. They are not in the catalogue, whose figures are about a text, a study or a model."""

__all__ = ["ATLAS_FIGURES", "run_balance_figure", "run_gate_figure", "run_load_figure", "run_loops_figure"]
