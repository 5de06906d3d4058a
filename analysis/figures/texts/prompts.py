"""A list of prompts in one picture: a dot per prompt, in rows by a column of the reader's file if there is one."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.figures.figure_spec import Choice, FigureSpec
from analysis.figures.template import figure, note, sentence_figure
from analysis.palette import THEMES
from analysis.texts.groups import grouped_prompts, prompt_groups
from analysis.texts.summary import PromptTable
from analysis.view import View
from analysis.words.labels import how_many, plotly_text
from analysis.words.numbers import number

ROW_PX, ONE_ROW_PX = 34, 90
PLACES = 90
"""Places along the axis; the prompts of one place stand above each other."""
LONGEST = 24
"""Letters of a group's name on the axis."""


@dataclass(frozen=True)
class Measure:
    """A number of a prompt, as the picture shows it."""

    column: str
    """Its column of `summary_table`."""
    label: str
    axis: str
    hue: str
    """Key of the palette; of a scale its fourth colour is taken."""


_ALL = (
    Measure("difficulty", "Difficulty", "soft difficulty, mean over tokens and layers", "difficulty"),
    Measure("gate", "Width share", "width share λ, mean over tokens and layers", "width"),
    Measure("did_not_route", "Did not route", "share of pairs of token and layer that did not route", "depth"),
    Measure("loss", "Loss", "loss: mean surprisal of the tokens read (nats)", "muted"),
)
MEASURES = {measure.column: measure for measure in _ALL}
"""Column of `summary_table` -> what the picture can show."""


def prompt_picture(
    table: pd.DataFrame, view: View, measure: Measure, column: str | None = None, opened: str | None = None
) -> go.Figure:
    """A dot per prompt at its number, in a row per group, with the mean of each; a ring round the `opened` prompt.

    The axis shows the range of the prompts, not all that is possible. The rows that the table has decide the height,
    not those that were traced: nothing moves while the list is traced.
    """
    rows = 1 if column is None else table[column].nunique(dropna=False)
    height = 76 + (ONE_ROW_PX if rows == 1 else ROW_PX * rows)
    groups = prompt_groups(table, measure.column, column)
    if groups.empty:
        return sentence_figure(view, "The picture is drawn while the prompts are traced.", height)
    c = THEMES[view.theme]
    colour = c[measure.hue] if isinstance(c[measure.hue], str) else c[measure.hue][3]
    places = {group: len(groups) - 1 - at for at, group in enumerate(groups["group"])}
    points = grouped_prompts(table, measure.column, column)
    low, high = _range(points["value"])
    points["y"] = points["group"].map(places) + _heights(points, low, high)
    hover = "<b>%{text}</b><br>" + measure.label.lower() + " %{x:.3f}<extra></extra>"
    dots = {
        "type": "scatter", "mode": "markers", "x": points["value"], "y": points["y"],
        "text": [plotly_text(name) for name in points["name"]], "hovertemplate": hover, "cliponaxis": False,
        "marker": {"size": 7, "color": colour, "opacity": 0.55, "line": {"width": 0}},
    }  # fmt: skip
    at = np.array([places[group] for group in groups["group"]])
    means = {
        "type": "scatter", "mode": "markers", "x": groups["mean"], "y": at, "cliponaxis": False,
        "text": [plotly_text(group) for group in groups["group"]], "customdata": groups["prompts"],
        "hovertemplate": "<b>%{text}</b><br>mean of %{customdata} prompts: %{x:.3f}<extra></extra>",
        "marker": {"symbol": "line-ns", "size": 20, "line": {"width": 2.5, "color": c["ink"]}},
    }  # fmt: skip
    ring = points[points["name"] == opened]
    rings = {
        "type": "scatter", "mode": "markers", "x": ring["value"], "y": ring["y"], "hoverinfo": "skip",
        "cliponaxis": False, "marker": {"symbol": "circle-open", "size": 12, "color": c["ink"], "line": {"width": 2}},
    }  # fmt: skip
    return figure(
        view,
        [dots, means, rings],
        clickable=False,
        height=height,
        margin={"l": _left(groups["group"]) if column else 24, "r": 104, "t": 26, "b": 44},
        xaxis={"title": {"text": measure.axis}, "range": [low, high], "showgrid": True},
        yaxis={
            "tickvals": at, "ticktext": [plotly_text(_short(group)) for group in groups["group"]],
            "range": [-0.55, rows - 0.45], "showticklabels": column is not None,
        },
        annotations=[
            note(f"{how_many(len(points), 'prompt')} · dot: one prompt · stroke: the mean of its row"),
            *_means_told(groups, at, c["ink"]),
        ],
    )  # fmt: skip


def _means_told(groups: pd.DataFrame, at: np.ndarray, colour: str) -> list[dict]:
    """The mean and the number of prompts of every row, at its right end."""
    return [
        {
            "text": f"{number(row.mean)}, n = {row.prompts:,}", "xref": "paper", "x": 1, "xanchor": "left",
            "xshift": 10, "y": y, "showarrow": False, "font": {"size": 11, "color": colour},
        }
        for y, row in zip(at.tolist(), groups.itertuples(), strict=True)
    ]  # fmt: skip


def _left(names: pd.Series) -> int:
    """Left margin with room for the names of the groups, in pixels."""
    return 22 + round(6.2 * max(len(_short(name)) for name in names))


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _range(values: pd.Series) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = 0.04 * (high - low) or 0.05
    return low - room, high + room


def _heights(points: pd.DataFrame, low: float, high: float) -> np.ndarray:
    """Height of every dot over the middle of its row, -0.38..0.38: those of one place spread to both sides."""
    place = ((points["value"] - low) / (high - low) * PLACES).round()
    order = points.groupby([points["group"], place]).cumcount().to_numpy()
    most = max(int(order.max()), 1)
    side = np.where(order % 2, 1, -1) * ((order + 1) // 2)
    return side * min(0.14, 0.76 / (most + 1))


def picture_of_list(drawn: PromptTable, view: View, *, quantity: str = "difficulty") -> go.Figure:
    """`prompt_picture` of a list on its own: of its loss if the model decides nothing that the quantity is of."""
    if drawn.table[quantity].isna().all() and drawn.table["loss"].notna().any():
        quantity = "loss"
    return prompt_picture(drawn.table, view, MEASURES[quantity], drawn.column)


PICTURE = FigureSpec(
    name="prompts",
    title="The list in one picture",
    how_to_read=(
        "Each dot is one prompt at its number, a mean over its tokens and, except for loss, over layers. The stroke is "
        "the mean of the prompts of a row, and n is how many they are. The axis shows the range of this list. Means of "
        "short texts scatter more."
    ),
    figure=picture_of_list,
    table=lambda drawn: drawn.table,
    choice=Choice("quantity", {name: measure.label for name, measure in MEASURES.items()}, "Shown"),
    of=PromptTable,
    follows=(),
)
"""The picture on the page of a list. It is not in the catalogue, whose figures are about a text, a study or a model."""

__all__ = ["MEASURES", "PICTURE", "Measure", "picture_of_list", "prompt_picture"]
