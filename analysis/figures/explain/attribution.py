"""Logit attribution: what every write at one token adds to a logit, and the measured effect of removing it."""

from typing import Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.explain.attribution import Attribution, attribution_table
from analysis.figures.explain.stream import stream_axis, stream_bars, stream_legend, stream_sum
from analysis.figures.figure_spec import Choice, FigureSpec
from analysis.figures.template import figure, note, quoted, sentence_figure, swatch, table_axis, table_cells
from analysis.palette import THEMES
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import named
from analysis.words.numbers import number, significant

Writes = Literal["layer", "largest"]
ROW_PX, HEIGHT = 30, 330
TABLE = 0.56
"""The table beside the bars begins at this share of the width."""


def logit_attribution_figure(
    attribution: Attribution, view: View = DEFAULT_VIEW, *, writes: Writes = "layer"
) -> go.Figure:
    """Contributions of the selected layer's writes, or of the largest of all; diamond = effect of removing a write."""
    if problem := _imbalance(attribution):
        return sentence_figure(view, problem, HEIGHT)
    c = THEMES[view.theme]
    table = _with_missing(attribution, view.layer) if writes == "layer" else attribution.largest()
    names = table["write"] if writes == "layer" else table.apply(_full_name, axis=1)
    value, removed = table["contribution"].to_numpy(float), table["removed"].to_numpy(float)
    row, trace = np.arange(len(table)), attribution.routing
    # A layer takes the room of all its writes: nothing below moves when a token is selected that did not route.
    rows = len(row) if writes == "largest" else 1 + trace.max_loops + trace.expert_ids.shape[2]
    ran = np.isfinite(value)
    more, less = c["change"][4], c["change"][0]
    reach = np.nan_to_num(np.concatenate([value, removed, [0.0]]))
    room = max(float(reach.max() - reach.min()), 1e-9)
    data = [
        {
            "type": "bar", "orientation": "h", "x": value[ran], "y": row[ran], "width": 0.6, "name": "adds",
            "marker": {"color": [more if v >= 0 else less for v in value[ran]]},
            "customdata": [
                [view.token, layer if layer >= 0 else None, name]
                for layer, name in zip(table["layer"][ran].tolist(), names[ran].tolist(), strict=True)
            ],
            "hovertemplate": "%{customdata[2]}<br>adds %{x:+.3f} logits<extra></extra>",
        },
        {
            "type": "scatter", "mode": "markers", "x": removed, "y": row, "name": "removal",
            "marker": {"symbol": "diamond", "size": 9, "color": c["bg"], "opacity": 1,
                       "line": {"width": 1.6, "color": c["ink"]}},
            "hoverinfo": "skip",
        },
    ]  # fmt: skip
    cells, headings = _effects_table(value, removed if attribution.measured else None, view)
    return figure(
        view,
        data + table_cells(cells),
        height=max(rows * ROW_PX + 50 + 44, 200),
        margin={"t": 50, "b": 44, "l": 112 if writes == "largest" else 72, "r": 8},
        xaxis={
            "domain": [0, TABLE - 0.02], "range": [reach.min() - 0.05 * room, reach.max() + 0.05 * room],
            "showgrid": True, "zeroline": True, "zerolinecolor": c["line"], "zerolinewidth": 1,
            "title": {"text": f"logits, for {_target_names(attribution)}"},
        },
        xaxis2=table_axis(TABLE),
        yaxis={
            "range": [rows - 0.5, -0.5], "tickvals": row, "ticktext": names.tolist(),
            "tickfont": {"color": c["ink"], "size": 12},
        },
        annotations=[*headings, note(_sum_note(attribution)) | {"yshift": 22}],
    )  # fmt: skip


def _effects_table(
    value: np.ndarray, removed: np.ndarray | None, view: View
) -> tuple[list[tuple[str, float, float, str]], list[dict]]:
    """Cells for `table_cells` beside the bars, and the headings of their columns as annotations.

    `value` [row] is NaN for a write that did not run; `removed` [row] is None if removal was not measured.
    """
    c, ran = THEMES[view.theme], np.isfinite(value)
    columns = {"adds": value}
    if removed is not None:
        columns |= {"removal": removed, "answer": removed - value}
    cells, headings, width = [], [], (1 - TABLE) / 3
    for place, (heading, effects) in enumerate(columns.items()):
        x = TABLE + width * (place + 0.5)
        headings.append(note(heading, x=x, anchor="center"))
        cells += [(number(effect, signed=True), x, y, c["ink"]) for y, effect in enumerate(effects) if ran[y]]
    cells += [("did not run", TABLE + width / 2, y, c["muted"]) for y in np.flatnonzero(~ran).tolist()]
    if removed is None:
        headings.append(note("removal: not measured", x=1, anchor="right"))
    return cells, headings


def attribution_by_layer_figure(attribution: Attribution, view: View = DEFAULT_VIEW) -> go.Figure:
    """Contributions of all writes, stacked by layer, and the line of their sum up to the model's own logit."""
    if problem := _imbalance(attribution):
        return sentence_figure(view, problem, HEIGHT)
    c, trace = THEMES[view.theme], attribution.routing
    return figure(
        view,
        [
            *stream_bars(attribution.table, "contribution", trace, view),
            stream_sum(attribution.table, "contribution", view),
        ],
        height=HEIGHT,
        margin={"t": 50, "b": 44, "l": 56, "r": 12},
        barmode="relative",
        xaxis=stream_axis(trace, view),
        yaxis={"showgrid": True, "title": {"text": "logits"}}
        | {"zeroline": True, "zerolinecolor": c["line"], "zerolinewidth": 1},
        annotations=[
            note(f"{stream_legend(view)}   {swatch(c['ink'], 'sum so far', '○')}"),
            note(f"{quoted(trace, attribution.direction.token)}: {_target_names(attribution)}") | {"yshift": 22},
        ],
    )


def _target_names(attribution: Attribution) -> str:
    """Which logit is explained, safe inside a figure."""
    target = named(attribution.direction.target)
    distractor = attribution.direction.distractor
    return target if distractor is None else f"{target} against {named(distractor)}"


def _sum_note(attribution: Attribution) -> str:
    total = number(attribution.total, signed=True)
    return (
        f"all {len(attribution.table)} writes of the stream sum to {total}, the model's own value, "
        f"within {significant(attribution.gap, 1)}"
    )


def _imbalance(attribution: Attribution) -> str | None:
    """One sentence if the contributions do not sum to the model's own value, None if they do."""
    if attribution.gap <= attribution.allowed:
        return None
    return (
        f"Not drawn: the contributions miss the model's own logit by {significant(attribution.gap, 2)}, more than "
        f"{significant(attribution.allowed, 1)}."
    )


def _with_missing(attribution: Attribution, layer: int) -> pd.DataFrame:
    """The writes of a layer, with rows without numbers for the loops that did not run, and for experts if none ran."""
    table, trace = attribution.of_layer(layer), attribution.routing
    loops, ran = int(trace.loops[layer, attribution.direction.token]), bool((table["kind"] == "expert").any())
    rows = [{"layer": layer, "write": f"loop {loop}"} for loop in range(loops + 1, trace.max_loops + 1)]
    rows += [] if ran else [{"layer": layer, "write": "experts"}]
    missing = pd.DataFrame(rows, columns=["layer", "write"])
    before, after = table[table["kind"] != "expert"], table[table["kind"] == "expert"]
    parts = [part for part in (before, missing, after) if len(part)]
    return pd.concat(parts, ignore_index=True)


def _full_name(row: pd.Series) -> str:
    return row["write"] if row["layer"] < 0 else f"layer {row['layer']}, {row['write']}"


FIGURES = (
    FigureSpec(
        name="logit_attribution",
        title="What each write adds to the prediction",
        how_to_read=(
            "Each bar is what one write adds to the logit (green) or takes from it (magenta): direct logit "
            "attribution with the final norm frozen, so the parts sum exactly. A diamond is an intervention: how "
            "far the logit falls when this write alone is set to zero, at this token alone, and later layers and "
            "the norm respond."
        ),
        details=(
            "The intervention reaches no further: the later loops of the same layer keep states that had read the "
            "write, and predictions at later tokens are not looked at."
        ),
        figure=logit_attribution_figure,
        table=attribution_table,
        choice=Choice("writes", {"layer": "This layer", "largest": "Largest of all"}, "Which writes"),
        of=Attribution,
    ),
    FigureSpec(
        name="attribution_by_layer",
        title="Where the logit comes from",
        how_to_read=(
            "Each bar is what one write adds to the logit, or to the difference of two logits, in direct logit "
            "attribution; all layers are shown. The line is the running sum and ends at the model's own value."
        ),
        figure=attribution_by_layer_figure,
        table=attribution_table,
        of=Attribution,
    ),
)
