"""What the tokens of a run chose in one layer, counted once for the cards of all of the layer's choices.

DuckDB hands the rows over in the order of the run, some thousands at a time, and numpy counts them: a question for each
choice would read and group the run again and again. Memory does not grow with the run.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from analysis.runs import units
from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.runs.layer_columns import ChosenRows, LayerColumns
from analysis.runs.run import Run
from analysis.runs.schema import Sizes
from analysis.texts.tokens import CLASSES, class_numbers

INSIDE, WORD = CLASSES.index("inside a word"), CLASSES.index("word")


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerCounts:
    """Counts of tokens that count, of one layer. `choice` is the layer's experts and then its numbers of loops, and
    `cell` the same of all layers, layer by layer. Tokens *routed* where an expert ran."""

    layer: int
    prompts: int
    counted: Int[np.ndarray, "unit class"]
    routed: Int[np.ndarray, "unit class"]
    made: Int[np.ndarray, "unit class choice"]
    first: Int[np.ndarray, " expert"]
    """Tokens whose first choice the expert was."""
    cells: Float[np.ndarray, "choice+2 cell"]
    """Tokens that made the choice of the row and chose the cell; in the last rows, all tokens, and all that routed."""
    together: Int[np.ndarray, "unit expert expert"]
    """Tokens served by both experts; on the diagonal, by the expert."""
    token_id: Int[np.ndarray, " item"]
    """Tokens that occur, by their ids, in order."""
    text: list[str]
    """Display string of each."""
    of_token: Int[np.ndarray, "item choice+2"]
    """Occurrences in which each token made the choice; in the last columns, all, and those that routed."""

    @property
    def nbytes(self) -> int:
        arrays = [value for each in fields(self) if isinstance(value := getattr(self, each.name), np.ndarray)]
        return sum(each.nbytes for each in arrays) + 60 * len(self.text)


@dataclass(frozen=True)
class _Rows:
    """Some rows that count."""

    unit: np.ndarray
    kind: np.ndarray
    """Class of the token."""
    token_id: np.ndarray
    text: pa.Array
    chosen: ChosenRows


def layer_counts(run: Run, layer: int, chosen: TokenFilter = ALL_TOKENS) -> LayerCounts:
    """Count a layer. Raises ValueError for a filter that does not fit the run."""
    reader, counter = _Reader(run, layer, chosen), _Counter(run.sizes, layer)
    for rows in reader.rows():
        counter.add(rows)
    return counter.found(reader.prompts)


class _Reader:
    """Reads the rows of a run that count, with the class of each token, which depends on the one before."""

    def __init__(self, run: Run, layer: int, chosen: TokenFilter):
        self.run, self.layer, self.chosen, self.prompts = run, layer, chosen, 0
        self.columns = LayerColumns(run.sizes)
        self._known: dict[str, tuple[int, bool, bool]] = {}
        self._ended_with_letter, self._last_prompt = False, None

    def rows(self) -> Iterator[_Rows]:
        where, values = self.chosen.where(self.run.sizes)
        columns = ["prompt", f"{units.unit_of_prompt(self.run.counts.records)}::SMALLINT AS unit", "token", "token_id"]
        columns += ["text", f"coalesce(({where}), false) AS counts"]
        columns += self.columns.names
        for batch in self.run.ask_batches(f"SELECT {', '.join(columns)} FROM tokens", values, self.columns.at_once):
            if not len(batch):
                continue
            kind, counts = self._classes(batch), batch["counts"].to_numpy(zero_copy_only=False).astype(bool)
            kept = batch if counts.all() else batch.filter(pa.array(counts))
            if len(kept):
                yield self._rows(kept, kind[counts])

    def _rows(self, kept: pa.RecordBatch, kind: np.ndarray) -> _Rows:
        prompt = kept["prompt"].to_numpy()
        self.prompts += int((np.diff(prompt) != 0).sum()) + (prompt[0] != self._last_prompt)
        self._last_prompt = prompt[-1]
        return _Rows(
            kept["unit"].to_numpy(), kind, kept["token_id"].to_numpy(), kept["text"], self.columns.rows(kept)
        )  # fmt: skip

    def _classes(self, batch: pa.RecordBatch) -> np.ndarray:
        """The class of every token, as `analysis.texts.tokens.class_numbers` has it for each prompt."""
        coded = batch["text"].dictionary_encode()
        of_text = np.array([self._of_text(text) for text in coded.dictionary.to_pylist()]).reshape(-1, 3)
        kind, begins, ends = of_text[coded.indices.to_numpy()].T
        before = np.concatenate([[self._ended_with_letter], ends[:-1]])
        self._ended_with_letter = bool(ends[-1])
        inside = (kind == WORD) & (begins == 1) & (before == 1) & (batch["token"].to_numpy() > 0)
        return np.where(inside, INSIDE, kind)

    def _of_text(self, text: str) -> tuple[int, bool, bool]:
        """The class of a token by its own text, and whether it begins with a letter and ends with one."""
        if text not in self._known:
            (kind,) = class_numbers([text])
            self._known[text] = kind, text[:1].isalpha(), kind == WORD and text[-1:].isalpha()
        return self._known[text]


class _Counter:
    """Adds rows up."""

    def __init__(self, sizes: Sizes, layer: int):
        self.sizes, self.layer, self.columns = sizes, layer, LayerColumns(sizes)
        choices, experts = self.columns.choices, self.columns.experts
        self.by_class = np.zeros((units.UNITS * len(CLASSES), choices + 2), int)
        self.of_token, self.texts = np.zeros((0, choices + 2), np.int32), np.zeros(0, object)
        self.first = np.zeros(experts + 1, int)
        self.pairs = np.zeros((units.UNITS, experts + 1, experts + 1), int)
        sizes_of_groups = [self.columns.size(group) for group in self.columns.groups]
        self.against = {
            (layer, own, other): np.zeros((sizes_of_groups[own], sizes_of_groups[other]), int)
            for layer in range(sizes.num_layers)
            for own in range(len(sizes_of_groups))
            for other in range(len(sizes_of_groups))
        }
        """Tokens by the values of a group of this layer and of a group of another, by that layer and both groups."""

    def add(self, rows: _Rows) -> None:
        own = self.columns.values(rows.chosen, self.layer)
        self._make_room(rows)
        self._add_by(self.by_class, rows.unit.astype(np.int64) * len(CLASSES) + rows.kind, own)
        self._add_by(self.of_token, rows.token_id.astype(np.int64), own)
        if self.columns.experts:
            self._add_pairs(rows, own)
        of_groups = self.columns.grouped(own)
        for layer in range(self.sizes.num_layers):
            for other, values in enumerate(self.columns.grouped(self.columns.values(rows.chosen, layer))):
                for group, number in enumerate(of_groups):
                    counts = self.against[layer, group, other]
                    found = np.bincount(number * counts.shape[1] + values, minlength=counts.size)
                    counts += found.reshape(counts.shape)

    def _add_by(self, counts: np.ndarray, place: np.ndarray, own: list[np.ndarray]) -> None:
        """Add rows to counts [place, choice+2]: of each choice, of all, and of those that routed."""
        width, choices = counts.shape[1], self.columns.choices
        for values, choice in zip(own, self.columns.columns, strict=True):
            found = np.bincount(place * width + choice[values], minlength=counts.size).reshape(counts.shape)
            counts[:, :choices] += found[:, :choices]
            if values is own[0] and self.columns.experts:
                counts[:, choices + 1] += found[:, : self.columns.experts].sum(axis=1)
        counts[:, choices] += np.bincount(place, minlength=len(counts))

    def _add_pairs(self, rows: _Rows, own: list[np.ndarray]) -> None:
        """Experts of the layer: first choices, and which two served a token."""
        count = self.columns.experts + 1
        self.first += np.bincount(own[0], minlength=count)
        for rank in range(self.sizes.k):
            for other in range(rank, self.sizes.k):
                pair = (rows.unit.astype(np.int64) * count + own[rank]) * count + own[other]
                found = np.bincount(pair, minlength=self.pairs.size).reshape(self.pairs.shape)
                self.pairs += found if other == rank else found + found.swapaxes(1, 2)

    def found(self, prompts: int) -> LayerCounts:
        choices, experts = self.columns.choices, self.columns.experts
        occur = np.flatnonzero(self.of_token[:, choices])
        by_class = self.by_class.reshape(units.UNITS, len(CLASSES), choices + 2)
        return LayerCounts(
            layer=self.layer, prompts=prompts, counted=by_class[..., choices], routed=by_class[..., choices + 1],
            made=by_class[..., :choices], first=self.first[:experts],
            cells=self._cells(), together=self.pairs[:, :experts, :experts], token_id=occur,
            text=self.texts[occur].tolist(), of_token=self.of_token[occur],
        )  # fmt: skip

    def _cells(self) -> np.ndarray:
        """[choice+2, layer x choice], from the counts of groups against groups."""
        columns = self.columns
        found = np.zeros((columns.choices + 2, self.sizes.num_layers, columns.choices))
        for (layer, own, other), counts in self.against.items():
            group = columns.groups[own]
            rows = columns.chosen(group)
            found[: columns.choices, layer] += rows.T @ counts @ columns.chosen(columns.groups[other])
            if own == 0:  # whose first column is the first rank, if there are experts
                routed = rows[:, : columns.experts].any(axis=1)
                which = np.stack([np.ones(len(rows)), routed])
                found[columns.choices :, layer] += which @ counts @ columns.chosen(columns.groups[other])
        return found.reshape(columns.choices + 2, -1)

    def _make_room(self, rows: _Rows) -> None:
        """Room for tokens of larger ids, and texts of those that are new."""
        if (more := int(rows.token_id.max()) + 1 - len(self.of_token)) > 0:
            self.of_token = np.concatenate([self.of_token, np.zeros((more, self.of_token.shape[1]), np.int32)])
            self.texts = np.concatenate([self.texts, np.zeros(more, object)])
        new = np.flatnonzero(self.of_token[rows.token_id, self.columns.choices] == 0)
        new = new[np.unique(rows.token_id[new], return_index=True)[1]]
        self.texts[rows.token_id[new]] = rows.text.take(pa.array(new)).to_pylist()


__all__ = ["LayerCounts", "layer_counts"]
