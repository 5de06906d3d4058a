"""Figures of a whole run: domain against domain, what the layers specialise in, and saturation over checkpoints."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.figures.cells import numbers
from analysis.figures.figure_spec import Choice, FigureSpec
from analysis.figures.template import figure, height_of_rows, note, sentence_figure, swatch
from analysis.figures.texts.evidence import filled_beyond_chance, whiskers
from analysis.palette import THEMES, colour_at, ramp, text_on
from analysis.runs.about import DomainContrast, Saturated, Specialised
from analysis.runs.specialisation import LABELS
from analysis.texts.chance import BEYOND
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import plotly_text
from analysis.words.numbers import number

HEIGHT = 280
KINDS = {"expert": "Experts", "loops": "Loops"}
MOST_NAMED = 16
GAP = 0.105
"""Share of the width between plots beside each other: room for the numbers of an axis in a window of 420 pixels."""
LONGEST = 18
"""Letters of a domain's name in a figure."""


def domain_map_figure(drawn: DomainContrast, view: View = DEFAULT_VIEW, *, kind: str = "expert") -> go.Figure:
    """Difference of shares of every expert, or number of loops, in every layer; bold: beyond chance."""
    table, c = drawn.table[drawn.table["kind"] == kind], THEMES[view.theme]
    if not table["difference"].notna().any():
        return sentence_figure(view, f"No token of one of the two had {KINDS[kind].lower()} to choose.", HEIGHT)
    layers, values = table["layer"].nunique(), np.sort(table["value"].unique())
    points = 100 * table["difference"].to_numpy()
    most = max(float(np.nanmax(np.abs(points))), 1e-9)
    grid = points.reshape(layers, len(values))
    fields = table[["first", "second", "low", "high", "p_corrected"]].to_numpy(float)
    fields = np.where(np.arange(5) < 4, 100 * fields, fields)
    word = "expert" if kind == "expert" else "loops"
    data = [
        {
            "type": "heatmap", "x": values, "y": np.arange(layers), "z": grid, "xgap": 1, "ygap": 1,
            "colorscale": ramp(c["change"]), "zmin": -most, "zmax": most, "showscale": False, "hoverongaps": False,
            "customdata": fields.reshape(layers, len(values), 5),
            "hovertemplate": f"layer %{{y}}, {word} %{{x}}<br>%{{customdata[0]:.1f}}% against %{{customdata[1]:.1f}}%: "
            "%{z:+.1f} points<br>95% %{customdata[2]:+.1f} to %{customdata[3]:+.1f}, p %{customdata[4]:.3f}"
            "<extra></extra>",
        }
    ]  # fmt: skip
    if len(values) <= MOST_NAMED:
        known = np.isfinite(points)
        on = np.array([text_on(colour_at(c["change"], (value / most + 1) / 2)) for value in points[known]])
        texts = [number(value, 1, signed=True) for value in points[known]]
        beyond = (table["p_corrected"] < BEYOND).to_numpy()[known]
        texts = [f"<b>{text}</b>" if far else text for text, far in zip(texts, beyond, strict=True)]
        data += numbers(table["value"].to_numpy()[known], table["layer"].to_numpy()[known], texts, on)
    first, second = (plotly_text(_short(name)) for name in (drawn.first, drawn.second))
    return figure(
        view,
        data,
        clickable=False,
        height=height_of_rows(layers, HEIGHT),
        xaxis={"range": [values[0] - 0.5, values[-1] + 0.5], "dtick": 1, "title": {"text": word}},
        yaxis={"range": [-0.5, layers - 0.5], "dtick": 1, "title": {"text": "layer of the model"}},
        annotations=[
            note(
                f"points: {swatch(c['change'][-1], f'more in {first}')}   {swatch(c['change'][0], f'more in {second}')}"
                "   <b>bold</b>: beyond chance"
            )
        ],
    )


def domain_intervals_figure(drawn: DomainContrast, view: View = DEFAULT_VIEW) -> go.Figure:
    """Differences of shares in one layer with their intervals over prompts; filled: beyond chance."""
    table, c = drawn.table[drawn.table["layer"] == drawn.layer], THEMES[view.theme]
    table = table[table["difference"].notna()]
    if table.empty:
        return sentence_figure(view, "No token of one of the two had a choice in this layer.", HEIGHT)
    names = [f"expert {row.value}" if row.kind == "expert" else f"loops {row.value}" for row in table.itertuples()]
    data = []
    for kind, colour in (("expert", c["width"]), ("loops", c["depth"])):
        rows = table[table["kind"] == kind]
        points = rows.assign(**{name: 100 * rows[name] for name in ("difference", "low", "high", "first", "second")})
        data.append(
            {
                "type": "scatter", "mode": "markers", "y": points["difference"].to_numpy(), "cliponaxis": False,
                "x": np.flatnonzero((table["kind"] == kind).to_numpy()),
                "error_y": whiskers(points, "difference", c["line"]),
                "marker": filled_beyond_chance(points, "circle", colour, c["bg"]),
                "hovertext": [name for name, each in zip(names, table["kind"], strict=True) if each == kind],
                "customdata": points[["first", "second", "low", "high", "p_corrected"]].to_numpy(float),
                "hovertemplate": "%{hovertext}<br>%{customdata[0]:.1f}% against %{customdata[1]:.1f}%: %{y:+.1f} points"
                "<br>95% %{customdata[2]:+.1f} to %{customdata[3]:+.1f}, p %{customdata[4]:.3f}<extra></extra>",
            }
        )  # fmt: skip
    least = table[["first_units", "second_units"]].to_numpy().min()
    few = "; fewer than five prompts in one: no interval, no p" if least < 5 else ""
    return figure(
        view,
        data,
        clickable=False,
        height=HEIGHT,
        margin={"b": 70},
        xaxis={
            "range": [-0.6, len(names) - 0.4], "tickvals": list(range(len(names))), "ticktext": names,
            "tickangle": -45,
        },
        yaxis={
            "title": {"text": "difference, points"}, "zeroline": True, "zerolinecolor": c["line"], "showgrid": True,
        },
        annotations=[note(f"layer {drawn.layer}, 95% over prompts, ● beyond chance{few}")],
    )  # fmt: skip


def specialisation_figure(drawn: Specialised, view: View = DEFAULT_VIEW) -> go.Figure:
    """Normalised mutual information of choices with token, class and domain in every layer, beside chance."""
    c, table = THEMES[view.theme], drawn.table
    if table.empty or not table["nmi"].notna().any():
        return sentence_figure(view, "There are too few tokens to say what the layers follow.", HEIGHT)
    labels = [name for name in LABELS if name in set(table["label"])]
    data, axes, notes = [], {}, []
    marks = (("expert", c["width"], -0.14, "circle"), ("loops", c["depth"], 0.14, "square"))
    for at, label in enumerate(labels):
        number_of = "" if at == 0 else str(at + 1)
        width = (1 + GAP) / len(labels) - GAP
        left = at * (width + GAP)
        rows = table[table["label"] == label]
        for kind, colour, shift, symbol in marks:
            own = rows[rows["choice"] == kind]
            x = own["layer"].to_numpy() + shift
            data += [
                {
                    "type": "scatter", "mode": "markers", "x": x, "y": own["chance"].to_numpy(), "hoverinfo": "skip",
                    "xaxis": f"x{number_of}", "yaxis": f"y{number_of}",
                    "marker": {"symbol": "line-ew", "size": 11, "line": {"width": 2, "color": c["line"]}},
                },
                {
                    "type": "scatter", "mode": "markers", "x": x, "y": own["nmi"].to_numpy(), "name": kind,
                    "xaxis": f"x{number_of}", "yaxis": f"y{number_of}", "cliponaxis": False,
                    "marker": filled_beyond_chance(own, symbol, colour, c["bg"]),
                    "customdata": own[_TOLD].to_numpy(float),
                    "hovertemplate": f"{'first expert' if kind == 'expert' else 'loops'} and {LABELS[label]}, layer "
                    "%{customdata[0]}<br>%{y:.3f}, chance %{customdata[1]:.3f}, p %{customdata[2]:.3f}<br>"
                    "%{customdata[3]:,} tokens of %{customdata[4]:,} prompts, %{customdata[5]:,} labels<extra></extra>",
                },
            ]  # fmt: skip
        top = float(np.nanmax(rows[["nmi", "chance"]].to_numpy())) if rows["nmi"].notna().any() else 1.0
        axes[f"xaxis{number_of}"] = {
            "domain": [left, left + width], "anchor": f"y{number_of}", "title": {"text": "layer of the model"},
            "range": [-0.5, table["layer"].max() + 0.5], "dtick": -(-(table["layer"].max() + 1) // 8),
        }  # fmt: skip
        axes[f"yaxis{number_of}"] = {
            "anchor": f"x{number_of}", "range": [0, 1.12 * max(top, 0.05)], "showgrid": True, "nticks": 5,
        }  # fmt: skip
        told = LABELS[label] if label != "domain" or not drawn.column else f"domain ({_short(drawn.column)})"
        notes.append(note(plotly_text(told), x=left) | {"font": {"size": 12, "color": c["ink"]}})
    legend = "   ".join(
        (swatch(c["width"], "first expert", "●"), swatch(c["depth"], "loops", "■"), swatch(c["line"], "chance", "━"))
    )
    return figure(
        view,
        data,
        clickable=False,
        height=HEIGHT,
        margin={"t": 48, "b": 44, "l": 48, "r": 8},
        annotations=[*notes, note(f"{legend}   filled: beyond chance") | {"yshift": 22}],
        **axes,
    )


_TOLD = ["layer", "chance", "p_corrected", "tokens", "prompts", "labels"]


def saturation_figure(drawn: Saturated, view: View = DEFAULT_VIEW, *, kind: str = "expert") -> go.Figure:
    """Share of tokens that chose as in the last run, at every checkpoint: a line per layer, and chance dotted."""
    if drawn.table is None:
        return sentence_figure(view, "There is no other run of the same texts.", HEIGHT)
    c, table = THEMES[view.theme], drawn.table[drawn.table["choice"] == kind]
    table = table[table["agree"].notna()]
    if table.empty:
        return sentence_figure(view, f"These runs have no {KINDS[kind].lower()} to compare.", HEIGHT)
    names = table.drop_duplicates("order").sort_values("order")["run"].tolist()
    colour = c["width" if kind == "expert" else "depth"]
    layers, last = sorted(table["layer"].unique()), plotly_text(_short(drawn.run))
    data = []
    for layer in layers:
        rows = table[table["layer"] == layer].sort_values("order")
        shade = colour_at([c["line"], colour], (layer + 1) / len(layers))
        data += [
            {
                "type": "scatter", "mode": "lines+markers",
                "x": rows["order"].to_numpy(), "y": rows["agree"].to_numpy(),
                "name": f"layer {layer}", "line": {"color": shade, "width": 1.6}, "marker": {"size": 6, "color": shade},
                "customdata": rows[["low", "high", "tokens", "chance"]].to_numpy(float), "cliponaxis": False,
                "hovertemplate": f"layer {layer}: %{{y:.1%}} as in the last run<br>95% %{{customdata[0]:.1%}} to "
                "%{customdata[1]:.1%}, chance %{customdata[3]:.1%}, %{customdata[2]:,} tokens<extra></extra>",
            },
            {
                "type": "scatter", "mode": "lines", "x": rows["order"].to_numpy(), "y": rows["chance"].to_numpy(),
                "line": {"color": shade, "width": 1, "dash": "dot"}, "hoverinfo": "skip",
            },
        ]  # fmt: skip
    data += _names_at_the_end(table, len(names), c["ink"])
    return figure(
        view,
        data,
        clickable=False,
        height=HEIGHT,
        margin={"b": 64},
        xaxis={
            "range": [-0.2, len(names) - 1 + 0.12 * max(len(names) - 1, 1) + 0.1], "tickvals": list(range(len(names))),
            "ticktext": [plotly_text(_short(name)) for name in names],
        },
        yaxis={"range": [0, 1.06], "tickformat": ".0%", "showgrid": True, "title": {"text": "as in the last run"}},
        annotations=[note(f"a line per layer, named at its end; dotted: chance; last run: {last}")],
    )  # fmt: skip


def _names_at_the_end(table: pd.DataFrame, runs: int, colour: str) -> list[dict]:
    """The layers' numbers beside the ends of their lines, moved apart where they would cover each other."""
    ends = table[table["order"] == table["order"].max()].sort_values("agree", ascending=False)
    heights, taken = [], 2.0
    for agree in ends["agree"]:
        taken = min(agree, taken - 0.055)
        heights.append(taken)
    x = runs - 1 + 0.03 * max(runs - 1, 1)
    return numbers(np.full(len(ends), x), np.array(heights), ends["layer"].astype(str), np.full(len(ends), colour))


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


KIND = Choice("kind", KINDS, "What is compared", needs={"expert": "width", "loops": "depth"})
CONTRAST_FIGURES = (
    FigureSpec(
        name="domain_map",
        title="Which choices differ between the two?",
        how_to_read=(
            "Each cell is the share of the first domain's tokens that made a choice, minus that of the second, in "
            "points. Of experts, tokens that routed in the layer count. Bold means beyond chance: p over prompts below "
            "0.05, corrected over all experts and loops of all layers."
        ),
        details=(
            "Prompts are the unit, because tokens of one prompt depend on each other; more than 256 prompts are put "
            "into 256 random groups. A difference can come from the tokens that the domains consist of. It does not "
            "show that the model recognises domains."
        ),
        figure=domain_map_figure,
        table=lambda drawn: drawn.table,
        choice=KIND,
        of=DomainContrast,
        follows=(),
    ),
    FigureSpec(
        name="domain_intervals",
        title="How sure are the differences in this layer?",
        how_to_read=(
            "Each dot is a difference of the chosen layer with its 95% interval over prompts. Filled dots are beyond "
            "chance (p below 0.05, corrected over all layers)."
        ),
        details=(
            "The intervals are Newcombe's, built from Wilson intervals with the effective number of tokens, which is "
            "smaller than the count because tokens of one prompt depend on each other."
        ),
        figure=domain_intervals_figure,
        table=lambda drawn: drawn.table,
        of=DomainContrast,
        follows=(),
    ),
    FigureSpec(
        name="specialisation",
        title="What does each layer follow?",
        how_to_read=(
            "Each mark is the share of the uncertainty about a layer's choice that knowing the token, its class or "
            "the prompt's domain removes (normalised mutual information). The stroke is what chance alone gives, "
            "which is high where there are many labels. Filled marks are beyond chance (p below 0.05, corrected over "
            "all marks)."
        ),
        details=(
            "Counted over a random sample of whole prompts with at most 10,000 tokens. For tokens and classes, "
            "chance is found in two ways: labels are exchanged between prompts at equal positions, or reversed "
            "within prompts. The larger p counts, and the stroke is the larger mean. Domains are shuffled among "
            "whole prompts. Domains that consist of different tokens differ for that reason alone."
        ),
        figure=specialisation_figure,
        table=lambda drawn: drawn.table,
        of=Specialised,
        follows=(),
    ),
    FigureSpec(
        name="saturation",
        title="How early does the routing become what it is?",
        how_to_read=(
            "Each point is the share of tokens whose first expert, or number of loops, at this checkpoint is that of "
            "the last one. The dotted line is the agreement expected by chance of two routings with the same shares "
            "of choices."
        ),
        details="The runs are of the same texts. For experts, only tokens that routed at both checkpoints count.",
        figure=saturation_figure,
        table=lambda drawn: pd.DataFrame() if drawn.table is None else drawn.table,
        choice=KIND,
        of=Saturated,
        follows=(),
    ),
)

__all__ = [
    "CONTRAST_FIGURES", "domain_intervals_figure", "domain_map_figure", "saturation_figure", "specialisation_figure",
]  # fmt: skip
