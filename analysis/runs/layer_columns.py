"""The columns of a run in which a token's choices in a layer stand, as numpy counts them."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.runs.choices import choices_of
from analysis.runs.schema import Sizes

MOST_ROWS, MOST_ENTRIES = 2**18, 2**24
"""Rows that are counted at a time, and entries of their lists."""
MOST_VALUES = 512
"""Of the choices of a layer that are counted as one number."""


@dataclass(frozen=True)
class ChosenRows:
    """What some tokens chose."""

    loops: np.ndarray | None
    """[row, layer], from 0; None for a model that chooses none."""
    experts: np.ndarray | None
    """[row, layer, k]; the number of experts where none ran."""


class LayerColumns:
    """The columns in which a token's choices in a layer stand, its loops and the expert of each rank, in groups: each
    group is one number, so that two layers are counted against each other in one go for each two of their groups."""

    def __init__(self, sizes: Sizes):
        self.sizes = sizes
        self.experts = sizes.num_experts if "width" in sizes.parts else 0
        self.choices = len(choices_of(sizes, [0]))
        none = self.choices  # in place of a choice: no expert ran
        loops = np.arange(self.experts, none)
        ranks = [np.append(np.arange(self.experts), none)] * (sizes.k if self.experts else 0)
        self.columns: list[np.ndarray] = [*ranks, *([loops] if len(loops) else [])]
        """Of each column, the choice that each of its values is."""
        self.groups: list[list[int]] = []
        for column, values in enumerate(self.columns):
            if self.groups and self.size(self.groups[-1]) * len(values) <= MOST_VALUES:
                self.groups[-1].append(column)
            else:
                self.groups.append([column])

    def size(self, group: list[int]) -> int:
        """How many values a group has."""
        return int(np.prod([len(self.columns[column]) for column in group]))

    @property
    def at_once(self) -> int:
        """How many rows to read at a time."""
        return max(min(MOST_ROWS, MOST_ENTRIES // (self.sizes.num_layers * (self.sizes.k + 1))), 1)

    @property
    def names(self) -> list[str]:
        """What of `tokens` has to be read for `rows`."""
        return [name for name, part in (("loops", "depth"), ("experts", "width")) if part in self.sizes.parts]

    def rows(self, batch: pa.RecordBatch) -> ChosenRows:
        """The choices of rows that have the columns `names`."""
        loops = experts = None
        if "loops" in batch.schema.names:
            loops = _entries(batch["loops"], 1).reshape(-1, self.sizes.num_layers) - np.uint8(1)
        if "experts" in batch.schema.names:
            experts = _entries(batch["experts"], None).reshape(-1, self.sizes.num_layers, self.sizes.k)
            experts = np.minimum(experts, self.experts)
        return ChosenRows(loops, experts)

    def values(self, rows: ChosenRows, layer: int) -> list[np.ndarray]:
        """Values of each column in a layer, each [row]."""
        ranks = [] if rows.experts is None else list(rows.experts[:, layer].T)
        return [each.astype(np.int64) for each in (*ranks, *([] if rows.loops is None else [rows.loops[:, layer]]))]

    def grouped(self, values: list[np.ndarray]) -> list[np.ndarray]:
        """Values of each group, from those of the columns."""
        found = []
        for group in self.groups:
            number = values[group[0]]
            for column in group[1:]:
                number = number * len(self.columns[column]) + values[column]
            found.append(number)
        return found

    def chosen(self, group: list[int]) -> np.ndarray:
        """[value, choice]: whether a value of a group has a choice in it."""
        places = np.indices([len(self.columns[column]) for column in group]).reshape(len(group), -1)
        found = np.zeros((self.size(group), self.choices + 1))
        for column, place in zip(group, places, strict=True):
            found[np.arange(len(found)), self.columns[column][place]] = 1
        return found[:, : self.choices]


def _entries(column: pa.Array, missing: int | None) -> np.ndarray:
    """All entries of a column of lists, after each other; None for `missing` is the largest number of the type."""
    flat = column.flatten()
    if flat.null_count:
        largest = np.iinfo(flat.type.to_pandas_dtype()).max
        flat = pc.fill_null(flat, pa.scalar(largest if missing is None else missing, flat.type))
    return flat.to_numpy(zero_copy_only=False)


__all__ = ["ChosenRows", "LayerColumns"]
