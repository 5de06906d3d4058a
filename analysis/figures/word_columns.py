"""Maps at word level: the columns of a word's tokens merged into one column, which is as wide as these together.

The axis still counts tokens, so window, selection and clicks work as at token level.
"""

from dataclasses import dataclass

import numpy as np

from analysis.figures.cells import numbers
from analysis.figures.template import names_fit
from analysis.palette import text_on
from analysis.view import View
from analysis.words.labels import plotly_text, short_label
from analysis.words.numbers import number
from analysis.words.words import piece_counts, spread_over_pieces, word_displays, word_means, word_starts
from hooks.trace import RoutingTrace

NOTE = "columns: words, mean over their pieces"


@dataclass(frozen=True, eq=False)
class WordColumns:
    """The words of a text that are in the window, whole or in part."""

    trace: RoutingTrace
    view: View
    starts: np.ndarray
    """First token of every word of the text."""

    @property
    def shown(self) -> np.ndarray:
        """Indices of the words that are in the window, whole or in part."""
        first, end = self.view.span(self.trace.num_tokens)
        ends = np.append(self.starts[1:], self.trace.num_tokens)
        return np.flatnonzero((ends > first) & (self.starts < end))

    @property
    def edges(self) -> np.ndarray:
        """Left ends of the shown columns, and the right end of the last one, on the token axis."""
        first, end = self.view.span(self.trace.num_tokens)
        return np.append(np.maximum(self.starts[self.shown], first), end) - 0.5

    @property
    def middles(self) -> np.ndarray:
        return (self.edges[1:] + self.edges[:-1]) / 2

    def selected(self) -> tuple[float, float]:
        """Left and right end of the column that holds the selected token."""
        at = int(np.searchsorted(self.edges, self.view.token, side="right")) - 1
        at = min(max(at, 0), len(self.edges) - 2)
        return float(self.edges[at]), float(self.edges[at + 1])

    def averaged(self, values: np.ndarray) -> np.ndarray:
        """Values [.., token] of the whole text, each replaced by the mean over its word."""
        return spread_over_pieces(word_means(values, self.starts), self.starts, self.trace.num_tokens)

    def names(self, longest: int) -> list[str]:
        """Labels of the shown words, safe inside a figure."""
        displays = word_displays(self.trace)
        return [plotly_text(short_label(displays[word], longest)) for word in self.shown]

    def axis(self, axis: dict) -> dict:
        """The token axis with the names of words; unchanged if there are too many tokens for names."""
        first, end = self.view.span(self.trace.num_tokens)
        if not names_fit(self.view, end - first):
            return axis
        return axis | {"tickvals": self.middles, "ticktext": self.names(12)}

    def heatmap(self, cells: dict, value: str) -> dict:
        """Heat map of averaged values with one cell per word; `value` formats %{z}. A click selects its first token."""
        first, _ = self.view.span(self.trace.num_tokens)
        columns = (self.edges[:-1] + 0.5).astype(int)
        z = np.asarray(cells["z"])[:, columns - first]
        counts = piece_counts(self.starts, self.trace.num_tokens)[self.shown]
        rests = [f"<br>mean over {n} pieces" if n > 1 else "" for n in counts.tolist()]
        names = [f"{name}</b>{rest}" for name, rest in zip(self.names(40), rests, strict=True)]
        where = "token %{customdata[0]}, layer %{customdata[1]}"
        layer, column = np.indices(z.shape)
        return {name: field for name, field in cells.items() if name != "text"} | {
            "x": self.edges, "z": z, "customdata": np.stack([columns[column], layer], axis=-1),
            "hovertext": np.broadcast_to(np.array(names, dtype=object), z.shape),
            "hovertemplate": f"<b>%{{hovertext}}<br>{where}<br>{value}<extra></extra>",
        }  # fmt: skip

    def numbers(self, drawn: np.ndarray, low: float, high: float, fills: list[str]) -> list[dict]:
        """Averaged values [layer, drawn token] as numbers on cells, whose colours are `fills` from `low` to `high`."""
        first, _ = self.view.span(self.trace.num_tokens)
        values = drawn[:, (self.edges[:-1] + 0.5).astype(int) - first]
        place = ((values - low) / max(high - low, 1e-9) * (len(fills) - 1)).round().astype(int).ravel()
        on = np.array([text_on(fill) for fill in fills])[place]
        layer, column = (axis.ravel() for axis in np.indices(values.shape))
        several = piece_counts(self.starts, self.trace.num_tokens)[self.shown][column] > 1
        texts = [number(v, 1) if mean else f"{v:g}" for v, mean in zip(values.ravel(), several, strict=True)]
        return numbers(self.middles[column], layer, texts, on)

    def bars(self, bars: dict) -> dict:
        """Bars of averaged values with one bar per word; the outline of many tokens stays as it is."""
        if bars["type"] != "bar":
            return bars
        first, _ = self.view.span(self.trace.num_tokens)
        columns = (self.edges[:-1] + 0.5).astype(int)
        return bars | {
            "x": self.middles, "width": np.diff(self.edges) - 0.14, "y": np.asarray(bars["y"])[columns - first],
            "customdata": [[token, None] for token in columns.tolist()], "hovertext": self.names(40),
        }  # fmt: skip


def word_columns(trace: RoutingTrace, view: View) -> WordColumns | None:
    """The columns of a map at word level; None at token level."""
    return WordColumns(trace, view, word_starts(trace)) if view.level == "word" else None
