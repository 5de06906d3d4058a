"""Write ledger: what a layer's FFN wrote into the stream, token by token, and write by write for one token."""

from dataclasses import replace
from typing import Literal

import numpy as np
import plotly.graph_objects as go

from analysis.explain.ledger import LayerLedger, imbalance, layer_ledger, ledger_table
from analysis.figures.cells import numbers
from analysis.figures.figure_spec import Choice, FigureSpec
from analysis.figures.fitting import figure_px
from analysis.figures.selection import band
from analysis.figures.template import (
    drawn_part,
    figure,
    names_fit,
    note,
    numbers_fit,
    quoted,
    sentence_figure,
    swatch,
    table_axis,
    table_cells,
    token_axis,
)
from analysis.palette import THEMES, loop_colours, mix, text_on
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import plotly_text, token_labels
from analysis.words.numbers import column, number, significant
from hooks.path_trace import PathTrace
from hooks.trace import RoutingTrace

Measure = Literal["projection", "norm", "share"]
STACK_PX, ROW_PX = 250, 34
TABLE = 0.52
"""The table beside the waterfall begins at this share of the width."""
COLUMN_PX = 480
"""In a narrower figure, such as in a column of a paper, the headings of that table are shortened."""
AXIS = {
    "projection": "projection on the layer's update",
    "norm": "norm of the writes",
    "share": "share of the layer's update",
}


def write_stack_figure(paths: PathTrace, view: View = DEFAULT_VIEW, *, measure: Measure = "projection") -> go.Figure:
    """Stack of every captured token's writes in the selected layer: loops, then experts; ink tick = whole update.

    Projections and shares below zero hang below the line. If the writes do not sum to the update, draws a sentence.
    """
    ledger, trace = layer_ledger(paths, view.layer), paths.routing
    if problem := imbalance(paths, ledger.residual, ledger.allowed):
        return sentence_figure(view, problem, STACK_PX)
    view = replace(view, window=(paths.first_token, paths.end_token))
    token = np.arange(paths.first_token, paths.end_token)
    whole = np.ones(len(token)) if measure == "share" else ledger.update_norm
    up, down = _piece_ends(getattr(ledger, measure))
    extent = float(max(up[:, -1].max(), whole.max())) * 1.04, float(min(down[:, -1].min(), 0.0)) * 1.04
    data = _write_bars(paths, ledger, view, measure)
    if numbers_fit(view, len(token)):
        data += _expert_numbers(paths, ledger, view, measure, tall=12 * (extent[0] - extent[1]) / STACK_PX)
    data.append(_ticks(token, whole, view))
    x_axis, bottom = token_axis(trace, view)
    where = f"layer {view.layer}{drawn_part(paths.first_token, paths.end_token, trace.num_tokens)}"
    return figure(
        view,
        data,
        height=STACK_PX + 44 + bottom,
        margin={"t": 44, "b": bottom, "l": 56, "r": 12},
        barmode="relative",
        bargap=0,
        xaxis=x_axis,
        yaxis={"range": [extent[1], extent[0]], "showgrid": True, "title": {"text": AXIS[measure]}}
        | {"zeroline": True, "zerolinecolor": THEMES[view.theme]["line"], "zerolinewidth": 1},
        shapes=[band(view, x="token")],
        annotations=[
            note(write_legend(trace, view)) | {"yshift": 22},
            note(f"{where}: the writes sum to the model's own update within {significant(ledger.residual.max(), 2)}"),
        ],
    )


def _piece_ends(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each write's piece of a token's bar ends, [token, write], above and below zero: these stack apart."""
    sizes = np.nan_to_num(values)
    return np.cumsum(np.maximum(sizes, 0), axis=1), np.cumsum(np.minimum(sizes, 0), axis=1)


def _write_bars(paths: PathTrace, ledger: LayerLedger, view: View, measure: Measure) -> list[dict]:
    """One bar trace per loop and per rank of the chosen experts."""
    trace, values = paths.routing, getattr(ledger, measure)
    token = np.arange(paths.first_token, paths.end_token)
    colours = write_colours(trace, view)
    outline = mix(THEMES[view.theme]["bg"], THEMES[view.theme]["depth"], 0.6)
    named = names_fit(view, len(token))
    labels = np.array([plotly_text(label) for label in token_labels(trace, 40)], dtype=object)[paths.tokens]
    names = np.array([ledger.names(index) for index in range(len(token))], dtype=object)
    data = []
    for write in range(values.shape[1]):
        loop, ran = write < ledger.loops, ledger.ran[:, write]
        data.append(  # only where it ran: Plotly would begin a new stack after a gap
            {
                "type": "bar", "x": token[ran], "y": values[ran, write], "name": "loop" if loop else "expert",
                "width": 0.86 if named else 1,
                "marker": {
                    "color": colours[write],
                    "line": {"width": 0.7 if loop and named else 0, "color": outline},
                },
                "customdata": [[int(t), view.layer, names[t - paths.first_token, write]] for t in token[ran]],
                "hovertext": labels[ran],
                "hovertemplate": f"<b>%{{hovertext}}</b>, token %{{customdata[0]}}<br>%{{customdata[2]}}: "
                f"{measure} %{{y:.3g}}<extra></extra>",
            }
        )  # fmt: skip
    return data


def _expert_numbers(paths: PathTrace, ledger: LayerLedger, view: View, measure: Measure, *, tall: float) -> list[dict]:
    """Numbers of the chosen experts on their pieces, where these are at least as tall as `tall`."""
    values, colours = getattr(ledger, measure), write_colours(paths.routing, view)
    token, (up, down) = np.arange(paths.first_token, paths.end_token), _piece_ends(values)
    data = []
    for write in range(ledger.loops, values.shape[1]):
        size = np.nan_to_num(values[:, write])
        middle = np.where(size > 0, up[:, write], down[:, write]) - size / 2
        fits = ledger.ran[:, write] & (np.abs(size) >= tall)
        on = np.full(fits.sum(), text_on(colours[write]))
        data += numbers(token[fits], middle[fits], ledger.expert_ids[fits, write - ledger.loops].astype(str), on)
    return data


def write_waterfall_figure(paths: PathTrace, view: View = DEFAULT_VIEW) -> go.Figure:
    """The selected token's writes in the selected layer: cumulative projection, and a table of weight, norm, cosine."""
    ledger, trace, index = layer_ledger(paths, view.layer), paths.routing, paths.index(view.token)
    names = ledger.names(index)
    height = (len(names) + 1) * ROW_PX + 50 + 44
    if problem := imbalance(paths, ledger.residual[index], ledger.allowed[index]):
        return sentence_figure(view, problem, height)
    ends = np.cumsum(np.nan_to_num(ledger.projection[index]))
    reach = np.concatenate([ends, [0.0, float(ledger.update_norm[index])]])
    low, high = float(reach.min()), float(max(reach.max(), 1e-12))
    within = f"the writes sum to the update within {significant(ledger.residual[index], 2)}"
    title = note(f"{quoted(trace, view.token)}, layer {view.layer}: {within}") | {"yshift": 22}
    cells, headings = _waterfall_table(ledger, index, view)
    return figure(
        view,
        [*_waterfall_bars(ledger, index, write_colours(trace, view), view, high - low), *table_cells(cells)],
        clickable=False,
        height=height,
        margin={"t": 50, "b": 44, "l": 72, "r": 8},
        barmode="overlay",
        xaxis={
            "domain": [0, TABLE - 0.02], "range": [low - 0.02 * (high - low), high + 0.04 * (high - low)],
            "showgrid": True, "title": {"text": "cumulative projection on the update"},
        },
        xaxis2=table_axis(TABLE),
        yaxis={
            "range": [len(names) + 0.5, -0.5], "tickvals": list(range(len(names) + 1)),
            "ticktext": [*names, "<b>update</b>"], "tickfont": {"color": THEMES[view.theme]["ink"], "size": 12},
        },
        annotations=[*headings, title],
    )  # fmt: skip


def _waterfall_bars(ledger: LayerLedger, index: int, colours: list[str], view: View, width: float) -> list[dict]:
    """One token's writes, each from where the one before ended, and the whole update; `width` is that of the plot."""
    c, names = THEMES[view.theme], ledger.names(index)
    ran, size = ledger.ran[index], np.nan_to_num(ledger.projection[index])
    start, row = np.cumsum(size) - size, np.arange(len(names))
    outline = [mix(c["bg"], c["depth"], 0.6) if i < ledger.loops else c["width"] for i in row]
    drops = np.full((len(names), 3, 2), np.nan)
    drops[:, 0], drops[:, 1] = np.stack([start + size, row], 1), np.stack([start + size, row + 1.0], 1)
    return [
        {
            "type": "bar", "orientation": "h", "y": row[ran], "x": size[ran], "base": start[ran], "width": 0.62,
            "marker": {
                "color": [colours[i] for i in row[ran]],
                "line": {"width": 1, "color": [outline[i] for i in row[ran]]},
            },
            "hovertext": [names[i] for i in row[ran]],
            "hovertemplate": "%{hovertext}<br>projection on the update %{x:.3g}<extra></extra>",
        },
        {
            "type": "bar", "orientation": "h", "y": [len(names)], "x": [float(ledger.update_norm[index])],
            "width": 0.62, "marker": {"color": c["ink"]}, "hovertemplate": "whole update: norm %{x:.3g}<extra></extra>",
        },
        _strokes(start[~ran], row[~ran], 0.03 * width, view),
        {
            "type": "scatter", "mode": "lines", "x": drops[..., 0].ravel(), "y": drops[..., 1].ravel(),
            "line": {"width": 0.8, "color": c["line"]}, "hoverinfo": "skip",
        },
    ]  # fmt: skip


def _waterfall_table(
    ledger: LayerLedger, index: int, view: View
) -> tuple[list[tuple[str, float, float, str]], list[dict]]:
    """Cells for `table_cells` beside one token's waterfall, and the headings of their columns as annotations."""
    c, ran, size = THEMES[view.theme], ledger.ran[index], np.nan_to_num(ledger.projection[index])
    whole, last = float(ledger.update_norm[index]), len(ran)
    columns = {
        "weight": [*map(number, ledger.weight[index]), ""],
        "norm": column([*ledger.norm[index], whole]),
        "projection": column([*size, whole]),
        "cosine": [*map(number, ledger.cosine[index]), number(1)],
    }
    cells, headings, narrow = [], [], figure_px(view.room) < COLUMN_PX
    for place, (heading, texts) in enumerate(columns.items()):
        x = TABLE + (1 - TABLE) * (place + 0.5) / len(columns)
        headings.append(note("proj." if narrow and heading == "projection" else heading, x=x, anchor="center"))
        texts[last] = f"<b>{texts[last]}</b>" if texts[last] else ""
        cells += [(text, x, y, c["ink"]) for y, text in enumerate(texts) if text and (y == last or ran[y])]
    cells += [("did not run", (1 + TABLE) / 2, y, c["muted"]) for y in np.flatnonzero(~ran).tolist()]
    return cells, headings


def write_colours(trace: RoutingTrace, view: View) -> list[str]:
    """Colour of every write of a layer: loops in steps of orange, experts in blue, paler with every rank."""
    c, count = THEMES[view.theme], trace.expert_ids.shape[2]
    experts = [mix(c["bg"], c["width"], 1 - 0.55 * rank / max(count - 1, 1)) for rank in range(count)]
    return [*loop_colours(trace.max_loops, view.theme), *experts]


def write_legend(trace: RoutingTrace, view: View) -> str:
    """Swatches of the writes of a layer and of its whole update."""
    c, colours, loops = THEMES[view.theme], write_colours(trace, view), trace.max_loops
    visible = [mix(colour, c["depth"], 0.2) for colour in colours[:loops]] + colours[loops:]
    ranks = ("first expert", "second expert", *(f"expert choice {k}" for k in range(3, len(colours) - loops + 1)))
    names = [*(f"loop {loop}" for loop in range(1, loops + 1)), *ranks[: len(colours) - loops]]
    marks = [swatch(colour, name) for colour, name in zip(visible, names, strict=True)]
    return "   ".join([*marks, swatch(c["ink"], "whole update", "━")])


def _ticks(token: np.ndarray, height: np.ndarray, view: View) -> dict:
    """A short ink line across each token's bar."""
    gap = np.full(len(token), np.nan)
    return {
        "type": "scatter", "mode": "lines", "name": "whole update", "hoverinfo": "skip",
        "line": {"width": 2, "color": THEMES[view.theme]["ink"]},
        "x": np.stack([token - 0.5, token + 0.5, gap], axis=1).ravel(),
        "y": np.stack([height, height, gap], axis=1).ravel(),
    }  # fmt: skip


def _strokes(x: np.ndarray, y: np.ndarray, width: float, view: View) -> dict:
    """A diagonal stroke where a write did not run, from `x` to the right."""
    gap = np.full(len(x), np.nan)
    return {
        "type": "scatter", "mode": "lines", "name": "did not run", "hoverinfo": "skip",
        "line": {"width": 1, "color": THEMES[view.theme]["line"]},
        "x": np.stack([x, x + width, gap], axis=1).ravel(),
        "y": np.stack([y + 0.22, y - 0.22, gap], axis=1).ravel(),
    }  # fmt: skip


FIGURES = (
    FigureSpec(
        name="write_stack",
        title="What the selected layer wrote, token by token",
        how_to_read=(
            "Each bar is one token, split exactly into what the selected layer's FFN wrote for it: the step of "
            "each loop that ran, weighted by 1 − λ (orange, later loops stronger), and the output of each chosen "
            "expert, weighted by the width share λ (blue, numbered). “Projection” is how far a part points in the "
            "direction of the whole update (the tick), below zero if against it; “Share” is the same in per cent, "
            "and “Norm” each part's own length."
        ),
        of_versatile="Without blue, the token did not route: it took all loops, so λ was 0 and no expert ran.",
        of_intervened=(
            "Without blue, the token did not route: λ was 0, or an intervention dropped its width path, so no expert "
            "ran."
        ),
        figure=write_stack_figure,
        table=ledger_table,
        choice=Choice(
            "measure", {"projection": "Projection", "norm": "Norm", "share": "Share"}, "Measure of the writes"
        ),
        of=PathTrace,
        follows=("layer",),
        by_token=True,
    ),
    FigureSpec(
        name="write_waterfall",
        title="The selected token, write by write",
        how_to_read=(
            "Each bar is one write of the selected layer; it starts where the one before ended, and the last bar "
            "is the whole update. A loop has the weight 1 − λ, an expert λ times the router's weight; the norm "
            "includes it. The cosine compares the write with the whole update."
        ),
        figure=write_waterfall_figure,
        table=ledger_table,
        of=PathTrace,
    ),
)
