"""Is difficulty difficulty? What it goes together with, by layer and with intervals over texts."""

from dataclasses import replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.difficulty import Kind
from analysis.figures.cells import numbers
from analysis.figures.figure_spec import Choice, FigureSpec
from analysis.figures.fitting import row_names
from analysis.figures.template import figure, note, sentence_figure, swatch
from analysis.figures.texts.evidence import counted, evidence, whiskers
from analysis.palette import THEMES, colour_at, ramp, text_on
from analysis.texts.chance import BEYOND
from analysis.texts.study import Study, class_table, validity_table
from analysis.texts.validity import MEASURES
from analysis.view import DEFAULT_VIEW, View
from analysis.words.numbers import number

HEIGHT = 360
MOST_LAYERS_NUMBERED = 20
"""Where there are more, the cells of a map are too narrow for numbers."""


def validity_by_layer_figure(study: Study, view: View = DEFAULT_VIEW, *, kind: Kind = "soft") -> go.Figure:
    """Spearman's rho of difficulty with each measure, per layer and as mean over layers; bold or ●: beyond chance."""
    c = THEMES[view.theme]
    table = study.difficulty_validity[kind]
    columns = study.num_layers + 1
    shape = (len(MEASURES), columns)
    rho, p = (table[column].to_numpy(float).reshape(shape) for column in ("rho", "p_corrected"))
    fields = table[["low", "high", "p_corrected", "p_least", "texts", "tokens"]].to_numpy(float).reshape(*shape, 6)
    where = [f"layer {layer}" for layer in range(study.num_layers)] + ["mean over layers"]
    row, column = (axis.ravel() for axis in np.indices(shape))
    x = np.where(column == study.num_layers, study.num_layers + 0.3, column)
    numbered, beyond = study.num_layers <= MOST_LAYERS_NUMBERED, p.ravel() < BEYOND
    texts = [number(value, signed=True) if numbered else "" for value in rho.ravel()]
    texts = [(f"<b>{text}</b>" if numbered else "●") if far else text for text, far in zip(texts, beyond, strict=True)]
    fills = [c["bg"] if np.isnan(v) else colour_at(c["change"], (v + 1) / 2) for v in rho.ravel()]
    on = np.array([text_on(fill) for fill in fills], dtype=object)
    every = range(0, study.num_layers, -(-study.num_layers // 16))
    names = [name + out_of_reach(table, each) for name, each in zip(_names(table), MEASURES, strict=True)]
    names, names_px, height = row_names(names, view.room, 190, 345)
    sign = "bold" if numbered else "●"
    data = [
        {
            "type": "heatmap", "x": [*range(study.num_layers), study.num_layers + 0.3], "y": list(range(shape[0])),
            "z": rho, "zmin": -1, "zmax": 1, "colorscale": ramp(c["change"]), "showscale": False, "xgap": 1, "ygap": 1,
            "customdata": fields, "hovertext": [[f"{name}, {place}" for place in where] for name in MEASURES.values()],
            "hovertemplate": "%{hovertext}<br>ρ %{z:+.2f}, 95% %{customdata[0]:+.2f} to %{customdata[1]:+.2f}<br>"
            "p %{customdata[2]:.3f} (%{customdata[3]:.3f} or more), %{customdata[4]} texts, %{customdata[5]} tokens"
            "<extra></extra>",
        },
        *numbers(x, row, texts, on),
    ]  # fmt: skip
    return figure(
        view,
        data,
        clickable=False,
        height=height,
        margin={"t": 30, "b": 44, "l": names_px, "r": 16},
        xaxis={
            "range": [-0.5, study.num_layers + 0.8],
            "tickvals": [*every, study.num_layers + 0.3],
            "ticktext": [*(f"<b>{i}</b>" if i == view.layer else str(i) for i in every), "mean"],
            "title": {"text": "layer"},
        },
        yaxis={
            "range": [shape[0] - 0.5, -0.5],
            "tickvals": list(range(shape[0])),
            "ticktext": names,
            "tickfont": {"size": 12, "color": c["ink"]},
        },
        annotations=[
            note(
                f"{swatch(c['change'][-1], 'difficulty rises with it')}   "
                f"{swatch(c['change'][0], 'difficulty falls with it')}   {sign}: p below {BEYOND:g}"
            ),
            evidence(study, x=1, anchor="right"),
        ],
    )


def validity_intervals_figure(study: Study, view: View = DEFAULT_VIEW, *, kind: Kind = "soft") -> go.Figure:
    """Rho of each measure with its interval over texts: mean over layers (filled) and the selected layer (hollow)."""
    c = THEMES[view.theme]
    table = study.difficulty_validity[kind]
    place = {name: i for i, name in enumerate(MEASURES)}
    sets = [
        (table[table["layer"].isna()], -0.14, "mean over layers", "circle"),
        (table[table["layer"].eq(view.layer).fillna(False)], 0.14, f"layer {view.layer}", "circle-open"),
    ]
    data = [
        {
            "type": "scatter", "mode": "markers", "name": name, "x": rows["rho"].to_numpy(),
            "y": rows["measure"].map(place).to_numpy() + shift, "error_x": whiskers(rows, "rho", c["line"]),
            "marker": {"size": 9, "symbol": symbol, "color": c["difficulty"][3], "opacity": 1, "line": {"width": 1.5}},
            "customdata": rows[["low", "high", "texts"]].to_numpy(float),
            "hovertemplate": f"{name}<br>ρ %{{x:+.2f}}, 95% %{{customdata[0]:+.2f}} to %{{customdata[1]:+.2f}}<br>"
            "%{customdata[2]} texts<extra></extra>",
        }
        for rows, shift, name, symbol in sets
    ]  # fmt: skip
    legend = f"{swatch(c['difficulty'][3], 'mean over layers', '●')}   "
    legend += swatch(c["difficulty"][3], f"layer {view.layer}", "○")
    axis = {"range": [-1, 1], "dtick": 0.5, "zeroline": True, "zerolinecolor": c["line"]}
    return _rows_of_dots(study, view, data, _names(table), axis | {"title": {"text": "Spearman ρ"}}, legend)


def class_difficulty_figure(study: Study, view: View = DEFAULT_VIEW, *, kind: Kind = "soft") -> go.Figure:
    """Mean difficulty (over layers) of each class of token with its interval over texts."""
    c = THEMES[view.theme]
    table = study.difficulty_by_class[kind]
    if table.empty:
        return sentence_figure(view, "This text has only tokens that the tokenizer added.", HEIGHT)
    names = [f"{each} ({count:,})" for each, count in zip(table["class"], table["tokens"], strict=True)]
    data = [
        {
            "type": "scatter", "mode": "markers", "x": table["difficulty"].to_numpy(), "y": np.arange(len(table)),
            "error_x": whiskers(table, "difficulty", c["line"]), "cliponaxis": False,
            "marker": {"size": 10, "color": c["difficulty"][3], "opacity": 1},
            "customdata": table[["low", "high", "texts"]].to_numpy(float),
            "hovertemplate": "%{x:.2f}, 95% %{customdata[0]:.2f} to %{customdata[1]:.2f}<br>in %{customdata[2]} texts"
            "<extra></extra>",
        }
    ]  # fmt: skip
    axis = {"range": [0, 1], "dtick": 0.25, "title": {"text": f"{kind} difficulty, mean over layers"}}
    return _rows_of_dots(study, view, data, names, axis, "class of token (how many)")


def _names(table: pd.DataFrame) -> list[str]:
    """The measures in words, each with the tokens that have it: a surprisal lacks the first or the last."""
    return [f"{words}<br>{counted(table[table['measure'] == name])}" for name, words in MEASURES.items()]


def out_of_reach(table: pd.DataFrame, measure: str) -> str:
    """What follows the name of a measure of which no p below BEYOND can come out."""
    least = table.loc[table["measure"] == measure, "p_least"].min()
    return f"; p ≥ {number(least)}: never beyond chance" if least >= BEYOND else ""


def _rows_of_dots(study: Study, view: View, data: list[dict], names: list[str], axis: dict, legend: str) -> go.Figure:
    """One row of dots per name, on a fixed value axis."""
    names, names_px, height = row_names(names, view.room, 180, HEIGHT)
    return figure(
        view,
        data,
        clickable=False,
        height=height,
        margin={"t": 30, "b": 44, "l": names_px, "r": 16},
        xaxis={"showgrid": True, **axis},
        yaxis={
            "range": [len(names) - 0.5, -0.5],
            "tickvals": list(range(len(names))),
            "ticktext": names,
            "tickfont": {"size": 12, "color": THEMES[view.theme]["ink"]},
        },
        annotations=[note(legend), evidence(study, x=1, anchor="right")],
    )


KIND = Choice("kind", {"soft": "Soft", "hard": "Hard"}, "Kind of difficulty studied")

FIGURES = (
    FigureSpec(
        name="validity_by_layer",
        title="What difficulty correlates with",
        how_to_read=(
            "Each cell is Spearman's ρ between difficulty and a measure in one layer: the mean of the texts' own ρ, in "
            "which a text counts by its number of tokens. Bold, or a dot where many layers leave no room for numbers, "
            "means beyond chance: p below 0.05, two-sided, corrected over layers. “Given frequency” compares equally "
            "frequent tokens, since rare tokens are surprising anyway. None of this shows a cause."
        ),
        details=(
            "The correction is Benjamini-Hochberg over layers (for the means: over measures). Chance is what remains "
            "when the measure is reversed within texts or swapped between texts at equal positions (for position "
            "itself, only reversed), so a trend that all texts share does not count. Frequency is how often the "
            "token occurs in all of these texts; “given frequency” is a partial ρ, with the ranks of frequency "
            "regressed out of both. Position counts from the start of the text, also where it is read in windows. n "
            "counts the tokens that have the measure. The surprisal of the next token is a single draw of how badly "
            "the model predicts from there, and the loops have already changed it: a loop that helps lowers it."
        ),
        figure=validity_by_layer_figure,
        table=validity_table,
        choice=KIND,
        of=Study,
        follows=(),
    ),
    FigureSpec(
        name="validity_intervals",
        title="Would other texts agree?",
        how_to_read=(
            "Each dot is ρ between difficulty and a measure, with a 95% interval for other texts of this kind. If it "
            "contains 0, not even the direction is known."
        ),
        details=(
            "The intervals come from leaving out one text at a time (jackknife, Student's t). n counts the tokens "
            "that have the measure."
        ),
        figure=validity_intervals_figure,
        table=validity_table,
        choice=replace(KIND, set_at="validity_by_layer"),
        of=Study,
        follows=("layer",),
    ),
    FigureSpec(
        name="class_difficulty",
        title="Which kinds of token get more depth?",
        how_to_read=(
            "Each dot is the mean difficulty of one class of token, over tokens and layers. The 95% interval is "
            "over the texts that hold such tokens; there is none where fewer than five do. “Inside a word” means "
            "letters that continue the token before."
        ),
        figure=class_difficulty_figure,
        table=class_table,
        choice=replace(KIND, set_at="validity_by_layer"),
        of=Study,
        follows=(),
    ),
)
