"""Recursion lens: what the model would predict from each recursion state of the selected token."""

from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
import plotly.graph_objects as go

from analysis.explain.lens import grid, lens_table
from analysis.figures.cells import numbers
from analysis.figures.figure_spec import Choice, FigureSpec
from analysis.figures.fitting import NARROW_PX, figure_px
from analysis.figures.template import figure, layer_axis, note, quoted, swatch, table_axis, table_cells
from analysis.palette import THEMES, colour_at, loop_colours, mix, ramp, text_on
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import named
from analysis.words.numbers import number, percent
from hooks.lens_trace import EXIT, OUTPUT, STATE, LensTrace

Reading = Literal["state", "exit"]
Measure = Literal["kl", "probability", "entropy"]
KINDS = {"state": STATE, "exit": EXIT}
AXIS = {
    "kl": "KL from the final prediction (nats)",
    "probability": "probability of the target",
    "entropy": "entropy (nats)",
}
ROW_PX, TWO_LINES_PX = 38, 32
LETTER_PX, APART = 6.6, "\u2003"
TABLE, NARROW_TABLE = 0.68, 0.45
"""The table beside the likeliest tokens begins at this share of the width."""
NARROW_TOPS = 3
"""Number of likeliest tokens in a narrow figure."""


def lens_grid_figure(lens: LensTrace, view: View = DEFAULT_VIEW, *, reading: Reading = "state") -> go.Figure:
    """Likeliest next token at every layer and loop, shaded by its probability; outlined = where the token left.

    With `reading="state"`, later states are not filled, because they did not reach the output, and a column at the
    right reads the stream after the layer.
    """
    c, trace, kind = THEMES[view.theme], lens.routing, KINDS[reading]
    reads = grid(lens, kind, np.arange(len(lens.kind)))  # [layer, loop]
    layers, first = lens.layers_of(kind), int(lens.loop[reads[0, 0]])
    columns = lens.loop[reads[0]]
    blocks = [(np.tile(columns, (len(layers), 1)), reads)]
    beside = int(columns[-1]) + 1.4
    ticks = columns.tolist() + ([beside] if reading == "state" else [])
    if reading == "state":
        blocks.append((np.full((len(layers), 1), beside), lens.of(OUTPUT)[:, None]))
    shades = [c["bg"], *c["probability"][1:5]]
    row_px = float(np.clip(700 / len(layers), 15, ROW_PX))
    lines = row_px >= TWO_LINES_PX
    letters = _letters(figure_px(view.room) / (ticks[-1] - first + 1.1), lines)
    data = []
    for x, cells in blocks:
        filled = lens.used[cells] if reading == "state" else np.ones(cells.shape, bool)
        top = lens.top_probs[cells, 0]
        data.append(
            {
                "type": "heatmap", "x": x[0], "y": layers, "z": np.where(filled, top, np.nan), "xgap": 3, "ygap": 3,
                "colorscale": ramp(shades), "zmin": 0, "zmax": 1, "showscale": False,
                "customdata": [[[lens.token, int(layer)]] * cells.shape[1] for layer in layers],
                "hovertext": [[_card(lens, int(i)) for i in row] for row in cells],
                "hovertemplate": "%{hovertext}<extra></extra>", "hoverongaps": True,
            }
        )  # fmt: skip
        fills = np.array([colour_at(shades, float(p)) for p in top.ravel()]).reshape(top.shape)
        ink = np.where(filled, np.vectorize(text_on)(fills), c["muted"])
        texts = np.array(
            [[_word(lens, int(i), letters=letters, lines=lines) for i in row] for row in cells], dtype=object
        )
        data += _words(x.ravel(), np.repeat(layers, cells.shape[1]), texts.ravel(), ink.ravel(), min(12, row_px - 4))
    looping = "depth" in trace.parts
    ran = trace.loops[layers, lens.token] if looping else np.array([], int)
    outlines = [
        {"type": "rect", "x0": n - 0.48, "x1": n + 0.48, "y0": layer - 0.46, "y1": layer + 0.46}
        | {"line": {"width": 3 if layer == view.layer else 1.6, "color": c["ink"]}}
        for layer, n in zip(layers.tolist(), ran.tolist(), strict=looping)
    ]
    names = ["before" if loop == 0 else f"loop {loop}" for loop in columns.tolist()]
    names += ["layer output"] if reading == "state" else []
    rest = "not filled: not used" if reading == "state" else "other cells: had it exited there"
    heading = f"after {quoted(trace, lens.token)}: likeliest next token and its probability"
    heading += f"   □ exited here   {rest}" if looping else ""
    return figure(
        view,
        data,
        height=max(round(row_px * len(layers)) + 34 + 44, 160),
        margin={"t": 34, "b": 44, "l": 52, "r": 12},
        xaxis={"tickvals": ticks, "ticktext": names, "range": [first - 0.55, ticks[-1] + 0.55]},
        yaxis=layer_axis(trace, view),
        shapes=outlines,
        annotations=[note(heading)],
    )


def lens_layer_figure(lens: LensTrace, view: View = DEFAULT_VIEW, *, reading: Reading = "state") -> go.Figure:
    """The selected layer, loop by loop: likeliest tokens, rank and probability of the target, entropy and KL."""
    c, trace, kind = THEMES[view.theme], lens.routing, KINDS[reading]
    row = int(np.flatnonzero(lens.layers_of(kind) == view.layer)[0])
    reads = grid(lens, kind, np.arange(len(lens.kind)))[row]
    if not (looping := "depth" in trace.parts):
        reads = np.append(reads, lens.of(OUTPUT)[row])
    ran, count = int(trace.loops[view.layer, lens.token]), len(reads)
    narrow = figure_px(view.room) < NARROW_PX
    left, shown, what = (NARROW_TABLE, NARROW_TOPS, "") if narrow else (TABLE, None, ": likeliest next tokens")
    what += ", had it exited there" if reading == "exit" else ""
    y, tops = np.arange(count), lens.top_probs[reads][:, :shown]
    filled = lens.used[reads] if reading == "state" else np.ones(count, bool)
    shades = [c["bg"], *c["probability"][1:5]]
    place = np.arange(tops.shape[1])
    data = [
        {
            "type": "heatmap", "x": place, "y": y, "z": np.where(filled[:, None], tops, np.nan), "xgap": 2, "ygap": 3,
            "colorscale": ramp(shades), "zmin": 0, "zmax": 1, "showscale": False, "hoverinfo": "skip",
        }
    ]  # fmt: skip
    fills = np.array([colour_at(shades, float(p)) for p in tops.ravel()]).reshape(tops.shape)
    ink = np.where(filled[:, None], np.vectorize(text_on)(fills), c["muted"])
    letters = _letters(figure_px(view.room) * left / len(place), lines=True)
    texts = np.array([[_word(lens, int(i), k, letters=letters) for k in place] for i in reads], dtype=object)
    data += _words(np.tile(place, count), np.repeat(y, len(place)), texts.ravel(), ink.ravel(), 12)
    marks, table = _measures(lens, reads, left, np.where(filled, c["ink"], c["muted"]).tolist())
    labels = [_row_name(int(loop), ran, reading) for loop in lens.loop[reads]]
    if not looping:
        labels = ["before the layer", "after the layer"]
    if narrow:
        labels = [label.replace(", ", "<br>").replace(" (not", "<br>(not") for label in labels]
    exit_row = int(np.flatnonzero(lens.loop[reads] == ran)[0])
    outline = {"type": "rect", "x0": -0.5, "x1": len(place) - 0.5, "y0": exit_row - 0.47, "y1": exit_row + 0.47}
    outline |= {"line": {"width": 2, "color": c["ink"]}}
    return figure(
        view,
        data + table_cells(table),
        clickable=False,
        height=max(ROW_PX * count + 30 + 16, 160),
        margin={"t": 30, "b": 16, "l": 92 if narrow else 158, "r": 8},
        xaxis={"domain": [0, left - 0.015], "range": [-0.5, len(place) - 0.5], "visible": False},
        xaxis2=table_axis(left),
        yaxis={
            "range": [count - 0.5, -0.5], "tickvals": y, "ticktext": labels, "tickfont": {"color": c["ink"], "size": 12}
        },
        shapes=[outline] if looping else [],
        annotations=[
            note(f"layer {view.layer}, after {quoted(trace, lens.token)}{what}"),
            *marks,
        ],
    )  # fmt: skip


def lens_path_figure(lens: LensTrace, view: View = DEFAULT_VIEW, *, measure: Measure = "kl") -> go.Figure:
    """A measure of the readings along layers and loops: states as a line, exits as marks."""
    c, trace = THEMES[view.theme], lens.routing
    values = getattr(lens, measure)
    layers, step = lens.layer[lens.of(OUTPUT)], 1 / (trace.max_loops + 2)

    def place(reads: np.ndarray) -> np.ndarray:
        return lens.layer[reads] + (lens.loop[reads] - trace.max_loops / 2) * step

    states, exits = lens.of(STATE), lens.of(EXIT)
    if not (looping := "depth" in trace.parts):
        states = np.append(states, lens.of(OUTPUT)[-1])  # the stream after a layer is that before the next one
    used, ghosts, others = states[lens.used[states]], states[~lens.used[states]], exits[~lens.used[exits]]
    colours = loop_colours(trace.max_loops, view.theme)

    hover = partial(_hover, lens)
    data = [
        {
            "type": "scatter", "mode": "lines+markers", "x": place(used), "y": values[used], "name": "states used",
            "line": {"width": 1.4, "color": c["ink"]},
            "marker": {"size": 6, "color": c["ink"], "opacity": 1}, **hover(used, "state"),
        },
        {
            "type": "scatter", "mode": "markers", "x": place(ghosts), "y": values[ghosts], "name": "states not used",
            "marker": {"size": 6, "color": c["bg"], "opacity": 1, "line": {"width": 1.2, "color": c["line"]}},
            **hover(ghosts, "state, not used"),
        },
        {
            "type": "scatter", "mode": "markers", "x": place(others), "y": values[others], "name": "had it exited here",
            "cliponaxis": False,
            "marker": {
                "symbol": "diamond", "size": 8, "opacity": 1, "line": {"width": 1, "color": c["depth"]},
                "color": [colours[lens.loop[i] - 1] for i in others],
            },
            **hover(others, "had it exited here"),
        },
    ]  # fmt: skip
    legend = swatch(c["ink"], "the stream before each layer, and after the last", "●")
    if looping:
        legend = (
            f"{swatch(c['ink'], 'states used', '●')}   {swatch(c['line'], 'states not used', '○')}   "
            f"{swatch(mix(c['loops'][2], c['depth'], 0.2), 'final prediction, had the token exited here', '◆')}"
        )
    axis = layer_axis(trace, view) | {"range": [layers[0] - 0.6, layers[-1] + 0.6], "showgrid": True}
    target = f", {named(lens.target)}" if measure == "probability" else ""
    return figure(
        view,
        data,
        height=330,
        margin={"t": 30, "b": 44, "l": 56, "r": 12},
        xaxis=axis,
        yaxis={"showgrid": True, "rangemode": "tozero", "title": {"text": AXIS[measure] + target}},
        annotations=[note(legend)],
    )


def _measures(lens: LensTrace, reads: np.ndarray, left: float, inks: list[str]) -> tuple[list[dict], list[tuple]]:
    """The table beside the likeliest tokens, from `left` on: its headings, and its cells with the ink of each row."""
    headings = {
        f"rank of<br>{named(lens.target)}": [str(rank) for rank in lens.rank[reads]],
        "its<br>prob.": [percent(p, 1) if p >= 0.0005 else "&lt;0.1%" for p in lens.probability[reads]],
        "entropy": [number(value) for value in lens.entropy[reads]],
        "KL": [number(value) for value in lens.kl[reads]],
    }
    marks, table = [], []
    for column, (heading, cells) in enumerate(headings.items()):
        x = left + (1 - left) * (column + 0.5) / len(headings)
        marks.append(note(heading, x=x, anchor="center"))
        table += [(cell, x, i, inks[i]) for i, cell in enumerate(cells)]
    return marks, table


def _hover(lens: LensTrace, reads: np.ndarray, heading: str) -> dict:
    return {
        "customdata": [[lens.token, int(lens.layer[i])] for i in reads],
        "hovertext": [_card(lens, int(i)) for i in reads],
        "hovertemplate": f"{heading}<br>%{{hovertext}}<extra></extra>",
    }


def _words(x: np.ndarray, y: np.ndarray, texts: np.ndarray, colours: np.ndarray, size: float) -> list[dict]:
    """Words on cells, in this font size."""
    return [label | {"textfont": label["textfont"] | {"size": size}} for label in numbers(x, y, texts, colours)]


def _row_name(loop: int, ran: int, reading: Reading) -> str:
    name = "before (H)" if loop == 0 else f"after loop {loop}"
    if loop == ran:
        return f"<b>{name}</b>, exited here"
    return f"{name} (not used)" if reading == "state" and loop > ran else name


def _letters(cell_px: float, lines: bool) -> int:
    """Letters of a token that fit into a cell of this width, with its probability below it or beside it."""
    return int(np.clip(cell_px / LETTER_PX - (3 if lines else 8), 2, 11))


def _word(lens: LensTrace, read: int, k: int = 0, *, letters: int = 11, lines: bool = True) -> str:
    """A token in quotes, cut to `letters`, and its probability in a line of its own or well apart."""
    token = lens.top_tokens[read][k]
    token = token if len(token) <= letters else token[: letters - 1] + "…"
    return f"{named(token)}{'<br>' if lines else APART}{percent(lens.top_probs[read, k])}"


def _card(lens: LensTrace, read: int) -> str:
    loop = int(lens.loop[read])
    at = {STATE: "before" if loop == 0 else f"after loop {loop}", EXIT: f"exited after loop {loop}", OUTPUT: "output"}
    likeliest = "<br>".join(_word(lens, read, k, lines=False) for k in range(lens.top_probs.shape[1]))
    return (
        f"layer {lens.layer[read]}, {at[int(lens.kind[read])]}<br>{likeliest}<br>"
        f"{named(lens.target)}: rank {lens.rank[read]}, probability {percent(lens.probability[read], 1)}<br>"
        f"entropy {number(lens.entropy[read])}, KL {number(lens.kl[read])} nats"
    )


READING = Choice(
    "reading", {"state": "Read the state", "exit": "Exit here"}, "How the loops are read", needs={"exit": "depth"}
)

FIGURES = (
    FigureSpec(
        name="lens_grid",
        title="The prediction, layer by layer and loop by loop",
        title_of_others="The prediction, layer by layer",
        how_to_read=(
            "Each cell is the likeliest next token there, stronger with its probability. A logit lens reads it: the "
            "final norm and the unembedding are applied to the stream as it is."
        ),
        of_versatile=(
            "That is “Read the state”. “Exit here” lets the token leave the layer after this loop instead, with the λ "
            "that belongs to so many loops, and runs the rest of the network. A loop is one pass through the layer's "
            "FFN, and the outline marks the last one that ran."
        ),
        figure=lens_grid_figure,
        table=lens_table,
        choice=READING,
        of=LensTrace,
    ),
    FigureSpec(
        name="lens_layer",
        title="The selected layer, loop by loop",
        title_of_others="Before and after the selected layer",
        how_to_read=(
            "Each row is a prediction in the selected layer. Rank and probability are those of the target token that "
            "you chose. KL is the distance from the model's own prediction in nats, 0 if they are the same."
        ),
        of_versatile=(
            "A row is one loop, and the outline marks the last one that ran. Later loops did not run in the model and "
            "were computed for this figure only."
        ),
        figure=lens_layer_figure,
        table=lens_table,
        choice=replace(READING, set_at="lens_grid"),
        of=LensTrace,
    ),
    FigureSpec(
        name="lens_path",
        title="How the prediction forms",
        how_to_read=(
            "Each dot is one state, read with the final norm and the unembedding (logit lens). The line follows the "
            "states that the model used."
        ),
        of_versatile=(
            "Every layer holds its loops from left to right, beginning before the first; hollow dots are loops that "
            "did not run. A diamond is the final prediction if the token had exited that layer after that loop."
        ),
        figure=lens_path_figure,
        table=lens_table,
        choice=Choice(
            "measure", {"kl": "KL", "probability": "Probability", "entropy": "Entropy"}, "Measure of the prediction"
        ),
        of=LensTrace,
    ),
)
