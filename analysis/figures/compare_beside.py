"""Compare: B minus A of any figure of one trace, as a grid of the numbers behind it."""

import numpy as np
import plotly.graph_objects as go

from analysis.figures.cells import numbers
from analysis.figures.compare import compare_experts_figure, crosses
from analysis.figures.figure_pair import (
    EXPERT_MAP,
    VALUE,
    FigurePair,
    Grid,
    aligned_columns,
    difference_grid,
    difference_table,
)
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.selection import row_and_column
from analysis.figures.template import (
    drawn_part,
    figure,
    layer_axis,
    names_fit,
    note,
    numbers_fit,
    sentence_figure,
    swatch,
    token_axis,
)
from analysis.palette import THEMES, colour_at, ramp, text_on
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import plotly_text, token_labels
from analysis.words.numbers import MINUS, number

SENTENCE_PX, TALLEST_PX, ROW_PX, LEAST_ROW_PX, LEAST_ROWS_PX = 200, 460, 28, 9, 90
MOST_NAMED, MOST_NUMBERED = 16, 12
"""Rows or columns that have a name each, and columns whose cells have a number each."""
FEWEST = 0.05
"""Of the largest difference: a smaller one has no sign on its cell."""
NAMES = {
    "loops": "loops",
    "expert": "expert",
    "first": "expert",
    "second": "expert",
    "gate": "λ",
    "other": "layer",
    "account": "counted as",
}
"""Column of a table -> title of its axis; the others have none."""
FROM_ABOVE = (VALUE, "design")
"""Rows that are words, the first of which stands at the top."""
ACCOUNTS = {"nominal": "on paper", "released": "released code", "ours": "this project"}


def beside_difference_figure(both: FigurePair, view: View = DEFAULT_VIEW) -> go.Figure:
    """B minus A of a figure: its numbers in B minus those in A, at the same layer, token, expert or number of loops."""
    if both.why_not:
        return sentence_figure(view, both.why_not, SENTENCE_PX)
    if both.figure == EXPERT_MAP:
        return compare_experts_figure(both.pair, view)
    if "token" in both.subtracted.at and not aligned_columns(both)[min(view.token, both.pair.a.num_tokens - 1)]:
        why = "The selected token of A is not aligned with one token of B; select another one."
        return sentence_figure(view, why, SENTENCE_PX)
    grid = difference_grid(both, view)
    if not np.isfinite(grid.difference).any():
        return sentence_figure(
            view, "A and B have no number at the same place, so there is no difference.", SENTENCE_PX
        )
    return _drawn(both, view, grid)


def _drawn(both: FigurePair, view: View, grid: Grid) -> go.Figure:
    c, what, trace = THEMES[view.theme], both.subtracted, both.pair.a
    first, end = view.span(trace.num_tokens) if grid.column_is_token else (0, len(grid.columns))
    difference = grid.difference[:, first:end]
    shades = difference / _most(both, grid)[:, first:end]
    by_layer = what.rows == "layer"
    row_px = float(np.clip(TALLEST_PX / len(grid.rows), LEAST_ROW_PX, ROW_PX))
    x_axis, bottom = token_axis(trace, view) if grid.column_is_token else (_names(grid.columns, what.columns), 46)
    y_axis = layer_axis(trace, view) if by_layer else _names(grid.rows, what.rows)
    if what.rows in FROM_ABOVE:
        y_axis["range"] = y_axis["range"][::-1]
    gap = 1 if not grid.column_is_token or names_fit(view, end - first) else 0
    cells = {
        "type": "heatmap", "x": np.arange(first, end), "y": np.arange(len(grid.rows)), "z": shades,
        "colorscale": ramp(c["change"]), "zmin": -1, "zmax": 1, "showscale": False, "hoverongaps": False,
        "xgap": gap, "ygap": 1, "customdata": _places(grid, first, end, by_layer),
        "text": _told(both, grid, first, end), "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip
    data = [cells, *_numbers(view, grid, difference, shades, first)]
    legend = f"{swatch(c['change'][-1], 'more in B')}   {swatch(c['change'][0], 'less')}"
    if grid.column_is_token:
        row, column = np.nonzero(np.broadcast_to(~aligned_columns(both)[first:end], difference.shape))
        data.append(crosses(column + first, row, view))
        legend += f"   × not aligned{drawn_part(first, end, trace.num_tokens)}"
    marks = {"shapes": row_and_column(trace, view)} if by_layer and grid.column_is_token else {}
    return figure(
        view,
        data,
        height=max(round(row_px * len(grid.rows)), LEAST_ROWS_PX) + 34 + bottom,
        margin={"t": 34, "b": bottom, "l": 52 if by_layer else 118, "r": 16},
        xaxis=x_axis,
        yaxis=y_axis,
        annotations=[note(f"{what.words}, B − A   {legend}   B: {plotly_text(both.pair.name_of_b)}")],
        **marks,
    )


def _most(both: FigurePair, grid: Grid) -> np.ndarray:
    """The largest difference, whose colour is the strongest, for every cell [row, column]; 1 where all are 0."""
    sizes = np.abs(np.nan_to_num(grid.difference))
    what = both.subtracted
    axis = None if not what.own_scales else 1 if what.rows == VALUE else 0
    most = sizes.max(axis=axis, keepdims=True)
    return np.broadcast_to(np.where(most > 0, most, 1.0), sizes.shape)


def _numbers(view: View, grid: Grid, difference: np.ndarray, shades: np.ndarray, first: int) -> list[dict]:
    """The difference on every cell; of tokens, where there is room, only whole numbers, and of others the sign."""
    c, count = THEMES[view.theme], difference.shape[1]
    whole = bool(np.all(np.nan_to_num(difference) == np.round(np.nan_to_num(difference))))
    if (not grid.column_is_token and count > MOST_NUMBERED) or len(grid.rows) > 2 * MOST_NAMED:
        return []
    if grid.column_is_token and not numbers_fit(view, count):
        return []
    shown = np.isfinite(difference)
    if grid.column_is_token:
        shown &= np.abs(np.nan_to_num(shades)) >= FEWEST
    row, column = np.nonzero(shown)
    texts = [number(value, 0 if whole else 2, signed=True) for value in difference[row, column]]
    if grid.column_is_token and not whole:
        texts = ["+" if value > 0 else MINUS for value in difference[row, column]]
    on = [text_on(colour_at(c["change"], (shade + 1) / 2)) for shade in shades[row, column]]
    return numbers(column + first, row, texts, np.array(on, dtype=object))


def _told(both: FigurePair, grid: Grid, first: int, end: int) -> np.ndarray:
    """What A and B have at every drawn cell, in words that are safe inside a figure."""
    what, labels = both.subtracted, token_labels(both.pair.a, 40)
    told = np.empty((len(grid.rows), end - first), dtype=object)
    rows = [_name(what.rows, value) for value in grid.rows]
    for x, value in enumerate(grid.columns[first:end]):
        at = (
            f"<b>{plotly_text(labels[value])}</b>, token {value}"
            if grid.column_is_token
            else _name(what.columns, value)
        )
        for y, row in enumerate(rows):
            a, b = float(grid.a[y, first + x]), float(grid.b[y, first + x])
            told[y, x] = f"{at}<br>{row}<br>A {number(a)}, B {number(b)}, B − A {number(b - a, signed=True)}"
    return told


def _places(grid: Grid, first: int, end: int, by_layer: bool) -> list:
    """What a click on each cell selects: its token and its layer, or None for what the grid has not."""
    tokens = grid.columns[first:end] if grid.column_is_token else [None] * (end - first)
    return [[[token, row if by_layer else None] for token in tokens] for row in range(len(grid.rows))]


def _names(values: list, of: str) -> dict:
    """An axis of single values, of which 16 are named at most."""
    step = -(-len(values) // MOST_NAMED)
    shown = range(0, len(values), step)
    title = {"title": {"text": NAMES[of]}} if of in NAMES else {}
    texts = [_short(of, values[place]) for place in shown]
    return {"range": [-0.5, len(values) - 0.5], "tickvals": list(shown), "ticktext": texts, "tickangle": 0} | title


def _short(of: str, value: object) -> str:
    if of == "account":
        return ACCOUNTS.get(str(value), str(value))
    return f"{value:g}" if isinstance(value, float) else plotly_text(str(value))


def _name(of: str, value: object) -> str:
    """A value of a key with the name of the key: "layer 3", "4 loops"."""
    if of == "loops":
        return f"{value} loop{'s' * (value != 1)}"
    named = NAMES.get(of, "layer" if of == "layer" else "")
    return f"{named} {_short(of, value)}".strip()


FIGURES = (
    FigureSpec(
        name="beside_difference",
        title="B minus A of this figure",
        how_to_read=(
            "Each cell is a number of the figure above in B minus the same number in A: green with a plus is more in "
            "B, magenta with a minus less, and grey the same. A cell without a colour has no difference, because A or "
            "B has no such number, which is not 0."
        ),
        details=(
            "Tokens have a difference where one token of A stands against one of B; a cross marks the others. A "
            "figure of the selected layer or token is that of this layer, and of this token and the one aligned with "
            "it. The largest difference has the strongest colour; numbers with different units each have their own. "
            "An expert that only one of both chose for a token counts as 0 in the other if the token routed there; of "
            "the map of chosen experts, which are no numbers, cells count the experts that are others in B. "
            "Differences of shares and means of few tokens vary by chance: “Does B change more than rewording would?” "
            "shows by how much choices do."
        ),
        figure=beside_difference_figure,
        table=difference_table,
        of=FigurePair,
    ),
)

__all__ = ["beside_difference_figure"]
