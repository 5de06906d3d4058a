"""Training: a model's training curves, and the losses, loops, experts and certainty of one text at its checkpoints."""

from itertools import cycle
from typing import Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.aggregate import ordinary
from analysis.figures.cells import numbers, strokes
from analysis.figures.experts import expert_map_figure
from analysis.figures.figure_spec import Choice, FigureSpec
from analysis.figures.gate import gate_map_figure
from analysis.figures.recursion import loop_map_figure
from analysis.figures.template import figure, note, sentence_figure, swatch
from analysis.gate import gate_levels
from analysis.models.training import (
    QUANTITIES,
    TrainingCurves,
    checkpoint_table,
    curves_table,
    drawn_as_picked,
    loads,
    mean_loops,
    shown_checkpoint,
    text_loss,
    training_table,
)
from analysis.palette import THEMES, colour_at, faded, mix, ramp, text_on
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import plotly_text
from analysis.words.numbers import number, significant
from hooks.training_trace import TrainingTrace

CURVE_HEIGHT = 300
HEIGHT = 520
LEFT, RIGHT = [0, 0.45], [0.56, 0.965]
"""Horizontal extent of the two plots of a row; λ is named right of the second one."""
TOP, BOTTOM = [0.59, 1], [0, 0.41]
MOST_TICKS = 10
MAPS = {"loops": loop_map_figure, "gate": gate_map_figure, "experts": expert_map_figure}


def training_course_figure(training: TrainingTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """Four plots over the kept checkpoints: losses, mean loops, load of the selected layer's experts, certainty.

    A vertical line marks the checkpoint that is shown. Layers are lines, and the selected one is strong.
    """
    trace = training.routing
    if not ordinary(trace).any():
        return sentence_figure(view, "This text has only tokens that the tokenizer added.", HEIGHT)
    data = [
        *_loss_lines(training, view),
        *_lines_by_layer(training, view, mean_loops(training), "%{y:.2f} loops", xaxis="x2", yaxis="y2"),
        *_load_cells(training, view, {"xaxis": "x3", "yaxis": "y3"}),
        *_lines_by_layer(training, view, 100 * drawn_as_picked(training), "%{y:.1f}% of draws", xaxis="x4", yaxis="y4"),
    ]
    return figure(
        view,
        data,
        height=HEIGHT,
        margin={"t": 30, "b": 54, "l": 52, "r": 12},
        **_course_axes(training),
        shapes=_marks(shown_checkpoint(training, view), THEMES[view.theme]),
        annotations=_course_notes(training, view),
    )


def _loss_lines(training: TrainingTrace, view: View) -> list[dict]:
    """Loss of the held-out text, if it was measured, and of this text."""
    c = THEMES[view.theme]
    ink = {"line": {"width": 2, "color": c["ink"]}, "marker": {"size": 6, "color": c["ink"]}}
    hollow = {"size": 8, "color": c["bg"], "opacity": 1, "line": {"width": 1.6, "color": c["line"]}}
    grey = {"line": {"width": 1.2, "color": c["line"], "dash": "dot"}, "marker": hollow}
    text = _line(training, text_loss(training), "this text", "%{y:.3f} nats", view.layer, **ink)
    if not _held_out_measured(training):
        return [text]
    return [_line(training, training.held_out, "held out", "%{y:.3f} nats", view.layer, **grey), text]


def _lines_by_layer(training: TrainingTrace, view: View, values: np.ndarray, value: str, **axes) -> list[dict]:
    """A line per layer of `values` [checkpoint, layer], the selected one last and strong."""
    c, order = THEMES[view.theme], sorted(range(values.shape[1]), key=lambda layer: layer == view.layer)
    return [
        _line(training, values[:, layer], f"layer {layer}", value, layer, **_pen(c, layer == view.layer), **axes)
        for layer in order
    ]


def _line(training: TrainingTrace, y: np.ndarray, name: str, value: str, layer: int, **fields) -> dict:
    """A line over the checkpoints; a click on it selects `layer`, `value` formats y in the hover text."""
    return {
        "type": "scatter", "mode": "lines+markers", "x": np.arange(len(y)), "y": y, "name": name,
        "customdata": _checkpoint_data(training, layer),
        "hovertemplate": f"step %{{customdata[2]:,}}, τ %{{customdata[3]}}<br>{name}: {value}<extra></extra>", **fields,
    }  # fmt: skip


def _checkpoint_data(training: TrainingTrace, layer: int) -> list[list]:
    """customdata of every checkpoint: no token, the layer that a click selects, step and tau."""
    taus = [f"{significant(tau, 2)}" for tau in training.tau]
    return [[None, layer, step, tau] for step, tau in zip(training.step.tolist(), taus, strict=True)]


def _held_out_measured(training: TrainingTrace) -> bool:
    return bool(np.isfinite(training.held_out).any())


def _loop_levels(training: TrainingTrace) -> range:
    """The numbers of loops that the axis of mean loops names."""
    return range(1, training.routing.max_loops + 1, -(-training.routing.max_loops // 4))


def _course_axes(training: TrainingTrace) -> dict:
    """Axes of the four plots by layout name: losses 1, loops 2, experts 3, certainty 4."""
    trace, count = training.routing, len(training.traces)
    ticks = np.arange(count)[:: -(-count // MOST_TICKS)]
    texts = [f"{training.step[i]}<br>{significant(training.tau[i], 2)}" for i in ticks]
    axis = {"range": [-0.5, count - 0.5]}
    named = axis | {"tickvals": ticks, "ticktext": texts, "tickangle": 0}
    return {
        "xaxis": axis | {"domain": LEFT, "showticklabels": False},
        "yaxis": {"domain": TOP, "showgrid": True, "title": {"text": "loss, nats per token"}},
        "xaxis2": axis | {"domain": RIGHT, "anchor": "y2", "showticklabels": False},
        "yaxis2": {
            "domain": TOP,
            "anchor": "x2",
            "showgrid": True,
            "tickvals": list(_loop_levels(training)),
            "range": [0.9, trace.max_loops + 0.1],
            "title": {"text": "mean loops"},
        },
        "xaxis3": named | {"domain": LEFT, "anchor": "y3", "title": {"text": "step of training, τ below it"}},
        "yaxis3": {
            "domain": BOTTOM,
            "anchor": "x3",
            "range": [-0.5, trace.num_experts - 0.5],
            "dtick": -(-trace.num_experts // 8),
            "title": {"text": "expert"},
        },
        "xaxis4": named | {"domain": RIGHT, "anchor": "y4", "title": {"text": "step of training, τ below it"}},
        "yaxis4": {
            "domain": BOTTOM,
            "anchor": "x4",
            "range": [0, 103],
            "dtick": 25,
            "ticksuffix": "%",
            "showgrid": True,
            "title": {"text": "of draws"},
        },
    }


def _course_notes(training: TrainingTrace, view: View) -> list[dict]:
    """Legends above the four plots, and lambda right of the mean loops that it follows from."""
    c, width_shares = THEMES[view.theme], gate_levels(training.routing)
    losses = swatch(c["ink"], "this text", "━")
    if _held_out_measured(training):
        losses += f"  {swatch(c['line'], 'held out', '○')}"
    layers = f"{swatch(c['depth'], f'layer {view.layer}', '━')}  {swatch(_pale(c), 'other layers', '━')}"
    lambdas = [
        note(f"{significant(width_shares[loops - 1], 2)}", x=RIGHT[1], y=loops)
        | {"yref": "y2", "yanchor": "middle", "yshift": 0, "xshift": 6}
        for loops in _loop_levels(training)
    ]
    return [
        note(losses),
        note(f"mean loops  {layers}", x=RIGHT[0]),
        note("λ", x=RIGHT[1]) | {"xshift": 6},
        *lambdas,
        note(f"experts of layer {view.layer}, % of routed choices", y=BOTTOM[1]),
        note("draws that match evaluation", x=RIGHT[0], y=BOTTOM[1]),
    ]


def training_map_figure(
    training: TrainingTrace, view: View = DEFAULT_VIEW, *, of: Literal["loops", "gate", "experts"] = "loops"
) -> go.Figure:
    """The map of loops, width share or experts of the text, read by the checkpoint that is shown."""
    return MAPS[of](training.traces[shown_checkpoint(training, view)], view)


def _load_cells(training: TrainingTrace, view: View, axes: dict) -> list[dict]:
    """Share of the selected layer's routed choices, expert by checkpoint; a stroke where nobody routed."""
    c, trace = THEMES[view.theme], training.routing
    share = loads(training)[:, view.layer].T  # [expert, checkpoint]
    most = 1 / trace.expert_ids.shape[2]
    data = [
        {
            "type": "heatmap", "x": np.arange(share.shape[1]), "y": np.arange(share.shape[0]), "z": share,
            "xgap": 1, "ygap": 1, "colorscale": ramp(c["load"]), "zmin": 0, "zmax": most, "showscale": False,
            "customdata": [_checkpoint_data(training, view.layer)] * len(share),
            "hovertemplate": "step %{customdata[2]:,}, τ %{customdata[3]}<br>expert %{y}: %{z:.1%} of routed choices"
            "<extra></extra>", **axes,
        }
    ]  # fmt: skip
    expert, checkpoint = np.nonzero(np.isfinite(share))
    if trace.num_experts <= 16 and share.shape[1] <= 16:
        known = share[expert, checkpoint]
        on = np.array([text_on(colour_at(c["load"], value / most)) for value in known])
        data += numbers(checkpoint, expert, [number(100 * value, 0) for value in known], on, **axes)
    expert, checkpoint = np.nonzero(np.isnan(share))
    return [*data, strokes(checkpoint, expert, view, **axes)]


def _pen(c: dict, selected: bool) -> dict:
    colour = c["depth"] if selected else _pale(c)
    return {
        "line": {"width": 2.4 if selected else 1.3, "color": colour},
        "marker": {"size": 7 if selected else 4, "color": colour, "opacity": 1},
    }


def _pale(c: dict) -> str:
    return mix(c["bg"], c["depth"], 0.45)


def _marks(checkpoint: int, c: dict) -> list[dict]:
    """Marks of the checkpoint that is shown: a band behind the lines of three plots, an outline in the map."""
    band = {"type": "line", "x0": checkpoint, "x1": checkpoint, "y0": 0, "y1": 1, "layer": "below"}
    band["line"] = {"width": 8, "color": faded(c["ink"], 0.13)}
    cells = {"type": "rect", "xref": "x3", "yref": "y3 domain", "x0": checkpoint - 0.5, "x1": checkpoint + 0.5}
    cells |= {"y0": 0, "y1": 1, "line": {"width": 2, "color": c["ink"]}}
    return [*(band | {"xref": f"x{n}", "yref": f"y{n} domain"} for n in ("", "2", "4")), cells]


# The curves of the runs -----------------------------------------------------------------------------------------------


def training_curve_figure(curves: TrainingCurves, view: View = DEFAULT_VIEW, *, of: str = "loss") -> go.Figure:
    """One quantity of `read_curves` over training tokens, run after run; held-out losses are dots beside the loss."""
    c = THEMES[view.theme]
    if curves.rows[of].isna().all():
        return sentence_figure(view, "The log of this training has no such curve.", CURVE_HEIGHT)
    data, runs = [], []
    colours = cycle([c["line"], c["depth"], c["width"], c["difficulty"][4]])  # grey: the dense start
    for run, rows in curves.rows.groupby("run", sort=False):
        colour, label = next(colours), plotly_text(run)
        runs.append(swatch(colour, label, "━"))
        data.append(_curve(rows, of, label, {"mode": "lines", "line": {"width": 1.6, "color": colour}}))
        held_out = rows[rows["held_out"].notna()]
        if of == "loss" and len(held_out):
            marker = {"size": 7, "color": c["bg"], "opacity": 1, "line": {"width": 1.6, "color": colour}}
            data.append(_curve(held_out, "held_out", f"{label}, held out", {"mode": "markers", "marker": marker}))
    return figure(
        view,
        data,
        clickable=False,
        height=CURVE_HEIGHT,
        xaxis={"title": {"text": "training tokens"}, "rangemode": "tozero"},
        yaxis={"showgrid": True, "title": {"text": QUANTITIES[of]}},
        annotations=[note("   ".join([*runs, "○ held out"] if of == "loss" else runs))],
    )


def _curve(rows: pd.DataFrame, column: str, name: str, fields: dict) -> dict:
    return {
        "type": "scatter", "x": rows["all_tokens"], "y": rows[column], "name": name,
        "customdata": [[name, step] for step in rows["step"].tolist()],
        "hovertemplate": "%{customdata[0]}<br>%{x:.3s} tokens, step %{customdata[1]:,}<br>%{y:.4g}<extra></extra>",
        **fields,
    }  # fmt: skip


FIGURES = (
    FigureSpec(
        name="training_course",
        title="How the routing developed",
        how_to_read=(
            "Each point is the current text, read by the model as it was at one kept step of its training; the "
            "steps are drawn evenly, although they lie further and further apart. Loss is the mean surprisal of "
            "this text, and of the held-out text on which the model was measured. λ follows from the loops, so "
            "its axis is on the right of theirs. A click selects a layer."
        ),
        details=(
            "Experts: only tokens that routed count, and a stroke means that none did. Drawn loops: with Gumbel "
            "noise, layer by layer, 8 times."
        ),
        figure=training_course_figure,
        table=training_table,
        of=TrainingTrace,
        follows=("layer",),
    ),
    FigureSpec(
        name="training_map",
        title="The text at that step",
        how_to_read=(
            "Each cell is one token in one layer, as on the pages Recursion, Gate and Experts, but with the "
            "weights of the chosen training step. Before the first update router and depth head are random, so "
            "the map shows chance."
        ),
        figure=training_map_figure,
        table=checkpoint_table,
        choice=Choice("of", {"loops": "Loops", "gate": "Gate", "experts": "Experts"}, "Map of the step"),
        of=TrainingTrace,
        follows=(),
        by_token="experts",
    ),
    FigureSpec(
        name="training_curve",
        title="How it was trained",
        how_to_read=(
            "Each line is one run of the training, drawn over all training tokens, one run after the other. Lines "
            "are means between two kept rows of the log."
        ),
        figure=training_curve_figure,
        table=curves_table,
        choice=Choice(
            "of",
            {
                "loss": "Loss",
                "load_balance": "Load balance",
                "depth_entropy": "Entropy",
                "tau": "τ",
                "lr": "Learning rate",
            },
            "Curve",
        ),
        of=TrainingCurves,
        follows=(),
    ),
)
