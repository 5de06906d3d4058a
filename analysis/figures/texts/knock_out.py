"""Knock-outs over several texts: which experts cost more than random ones, with intervals over texts."""

import numpy as np
import plotly.graph_objects as go

from analysis.explain.knock_out import IN_PATH
from analysis.figures.cells import numbers
from analysis.figures.explain.knock_out import IN_MAP, MILLI, NUMBERED
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.template import figure, height_of_rows, layer_names, note, sentence_figure, swatch
from analysis.figures.texts.evidence import evidence, whiskers
from analysis.palette import THEMES, colour_at, mix, ramp, text_on
from analysis.texts.chance import BEYOND
from analysis.texts.knock_out import KnockOutStudy, effects_table
from analysis.view import DEFAULT_VIEW, View
from analysis.words.numbers import number
from hooks.knock_out_trace import Path

HEIGHT = 320


def knock_out_texts_figure(study: KnockOutStudy, view: View = DEFAULT_VIEW, *, path: Path = "width") -> go.Figure:
    """Change of the loss without each expert minus that of random experts, over texts; bold beyond chance."""
    c = THEMES[view.theme]
    if path not in study.paths:
        return sentence_figure(view, _not_measured(path), HEIGHT)
    table = study.table[study.table["path"] == path]
    shape = (study.num_layers, study.num_experts)
    beyond, p = (table[name].to_numpy(float).reshape(shape) for name in ("beyond", "p_corrected"))
    columns = ["change", "control", "beyond_low", "beyond_high"]
    fields = np.concatenate([MILLI * table[columns].to_numpy(float), table[["p_corrected", "texts"]]], axis=1)
    most = max(float(np.nanmax(np.abs(MILLI * beyond), initial=0.0)), 1e-3)
    z = MILLI * beyond
    row, column = np.nonzero(np.isfinite(z))
    texts = [number(value, 1, signed=True) for value in z[row, column]]
    texts = [f"<b>{text}</b>" if p[i, j] < BEYOND else text for text, i, j in zip(texts, row, column, strict=True)]
    on = np.array([text_on(colour_at(c["change"], (value / most + 1) / 2)) for value in z[row, column]], dtype=object)
    data = [
        {
            "type": "heatmap", "x": np.arange(shape[1]), "y": np.arange(shape[0]), "z": z, "zmin": -most, "zmax": most,
            "colorscale": ramp(c["change"]), "showscale": False, "xgap": 1, "ygap": 1,
            "customdata": fields.reshape(*shape, -1),
            "hovertemplate": "layer %{y}, expert %{x}<br>beyond random experts %{z:+.2f} thousandths of a nat, 95% "
            "%{customdata[2]:+.2f} to %{customdata[3]:+.2f}<br>it %{customdata[0]:+.2f}, random experts "
            "%{customdata[1]:+.2f}<br>p %{customdata[4]:.3f}, %{customdata[5]:.0f} texts<extra></extra>",
        },
        *(numbers(column, row, texts, on) if shape[1] <= NUMBERED and len(row) else []),
    ]  # fmt: skip
    legend = f"{swatch(c['change'][-1], 'costs more')}   {swatch(c['change'][0], 'costs less')} than random experts"
    return figure(
        view,
        data,
        clickable=False,
        height=height_of_rows(shape[0], HEIGHT),
        margin={"t": 44, "b": 40, "l": 52, "r": 16},
        xaxis={"range": [-0.5, shape[1] - 0.5], "dtick": -(-shape[1] // NUMBERED), "title": {"text": "expert"}},
        yaxis={
            "range": [-0.5, shape[0] - 0.5],
            **layer_names(shape[0], view.layer),
            "title": {"text": "layer"},
        },
        annotations=[
            note(f"{legend}, {IN_PATH[path]}, nats × 1000; bold: p below {BEYOND:g}") | {"yshift": 18},
            evidence(study),
        ],
    )


def knock_out_intervals_figure(study: KnockOutStudy, view: View = DEFAULT_VIEW, *, path: Path = "width") -> go.Figure:
    """Change without each expert of the selected layer with its interval over texts, beside random experts."""
    c = THEMES[view.theme]
    if path not in study.paths:
        return sentence_figure(view, _not_measured(path), HEIGHT)
    of_layer = (study.table["path"] == path) & (study.table["layer"] == view.layer)
    columns = ["change", "low", "high", "control"]
    rows = study.table.loc[of_layer, columns] * MILLI
    texts, expert = study.table.loc[of_layer, "texts"].to_numpy(), np.arange(study.num_experts)
    colour = mix(c["bg"], c["ink"], 0.75)
    data = [
        {
            "type": "scatter", "mode": "markers", "name": "without it", "x": expert - 0.12,
            "y": rows["change"].to_numpy(),
            "error_y": whiskers(rows, "change", c["line"]), "marker": {"size": 10, "color": colour, "opacity": 1},
            "customdata": np.column_stack([expert, rows[["low", "high"]].to_numpy(), texts]),
            "hovertemplate": "expert %{customdata[0]:.0f}<br>%{y:+.2f} thousandths of a nat, 95% %{customdata[1]:+.2f} "
            "to %{customdata[2]:+.2f}<br>%{customdata[3]:.0f} texts<extra></extra>",
        },
        {
            "type": "scatter", "mode": "markers", "name": "random experts", "x": expert + 0.12,
            "y": rows["control"].to_numpy(), "customdata": expert,
            "marker": {"size": 10, "symbol": "circle-open", "color": colour, "opacity": 1, "line": {"width": 1.5}},
            "hovertemplate": "random experts, as often as expert %{customdata}<br>%{y:+.2f} thousandths of a nat"
            "<extra></extra>",
        },
    ]  # fmt: skip
    legend = f"{swatch(colour, 'without the expert', '●')}   {swatch(colour, 'without random experts', '○')}"
    return figure(
        view,
        data,
        clickable=False,
        height=HEIGHT,
        margin={"t": 44, "b": 40, "l": 60, "r": 16},
        xaxis={
            "range": [-0.6, study.num_experts - 0.4],
            "dtick": -(-study.num_experts // NUMBERED),
            "title": {"text": "expert"},
        },
        yaxis={"showgrid": True, "zeroline": True, "zerolinecolor": c["line"], "title": {"text": "nats × 1000"}},
        annotations=[
            note(f"layer {view.layer}, {IN_PATH[path]}: change of the loss   {legend}") | {"yshift": 18},
            evidence(study),
        ],
    )


def _not_measured(path: Path) -> str:
    return f"The {IN_PATH[path]} was not measured to the end in these texts. Press Continue above."


FIGURES = (
    FigureSpec(
        name="knock_out_texts",
        title="Which experts cost more than random ones?",
        how_to_read=(
            "Each cell is the change of the loss without one expert minus that without as many random ones, in "
            "thousandths of a nat per token, over all texts. Bold means beyond chance: p below 0.05, two-sided, "
            "corrected over all cells of the map."
        ),
        details=(
            "For p, the signs of the texts' differences are flipped in all possible ways (4,999 random ones for more "
            "than 12 texts). The correction is Benjamini-Hochberg. A text counts where some token chose the expert. "
            "Intervals in the hover cards come from leaving out one text at a time."
        ),
        figure=knock_out_texts_figure,
        table=effects_table,
        choice=IN_MAP,
        of=KnockOutStudy,
        follows=(),
    ),
    FigureSpec(
        name="knock_out_intervals",
        title="How much does each expert of the layer carry?",
        how_to_read=(
            "Each filled dot is the change of the loss without one expert of the selected layer, with a 95% interval "
            "for other texts of this kind. An open dot drops as many random experts instead. If the interval "
            "contains 0, it is open whether the expert helps at all."
        ),
        details="The intervals come from leaving out one text at a time (jackknife, Student's t).",
        figure=knock_out_intervals_figure,
        table=effects_table,
        choice=IN_MAP,
        of=KnockOutStudy,
        follows=("layer",),
    ),
)
