"""The texts of a run as the columns that studies of several texts count: read part by part, one layer at a time."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from analysis.runs.choices import DID_NOT_ROUTE
from analysis.runs.folder import PartFiles
from analysis.runs.schema import Sizes, entries
from analysis.texts.tokens import LayerColumns, Texts, TokenColumns, class_numbers, first_experts

NO_ENTROPY = "A run keeps no entropy of the predictions, so this study says nothing about it."
BEGINNING = 200
"""Letters of each text that are kept."""
_TOKEN_COLUMNS = ("prompt", "token", "token_id", "text", "special", "logprob")


class RunTexts(Texts):
    """The columns of the prompts of a run, or of some of them.

    In memory are the token columns (about 40 bytes a token) and two layers at a time (about 8 bytes a token each).
    """

    def __init__(
        self,
        parts: Sequence[PartFiles],
        sizes: Sizes,
        prompts: pd.DataFrame,
        *,
        meta: dict[str, Any],
        told: Sequence[str] = (),
        code: str = "",
    ):
        """`prompts`: those that count, with the columns prompt (rising) and text. ValueError if there are none."""
        if prompts.empty:
            raise ValueError("the run has no text to count: let it read at least one")
        self.num_layers, self.max_loops, self.num_experts = sizes.num_layers, sizes.max_loops, sizes.num_experts
        self.meta, self.told, self.code = meta, (*told, NO_ENTROPY), code
        self.read = tuple(prompts["text"])
        self._sizes, self._parts, self._taken = sizes, parts, []
        numbers, columns = prompts["prompt"].to_numpy(), []
        lengths = np.zeros(len(numbers), int)
        for files in parts:
            taken, found, text = _part_columns(files, numbers)
            self._taken.append(taken)
            columns.append(found)
            lengths += np.bincount(text, minlength=len(numbers))
        self.tokens = TokenColumns(
            lengths=lengths,
            entropy=None,
            **{name: np.concatenate([each[name] for each in columns]) for name in columns[0]},
        )
        self.layer = lru_cache(maxsize=2)(self.layer)  # of this run alone

    def layer(self, layer: int) -> LayerColumns:
        each = [self._layer_of_part(*part, layer) for part in zip(self._parts, self._taken, strict=True)]
        return LayerColumns(*(np.concatenate(column) for column in zip(*each, strict=True)))

    def _layer_of_part(
        self, files: PartFiles, taken: np.ndarray, layer: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Loops, first expert and soft difficulty of the tokens that count."""
        table = parquet.read_table(files.tokens, columns=["loops", "experts", "difficulty"])
        layers, k = self._sizes.num_layers, self._sizes.k
        experts = entries(table["experts"], layers * k, pa.int16(), DID_NOT_ROUTE)[taken, layer * k : (layer + 1) * k]
        return (
            entries(table["loops"], layers, pa.uint8(), 1)[taken, layer].astype(np.int16),
            first_experts(experts, experts != DID_NOT_ROUTE).astype(np.int16),
            entries(table["difficulty"], layers, pa.float32(), 0.0)[
                taken, layer
            ],  # null if the model has no difficulty
        )


def _part_columns(files: PartFiles, numbers: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Of the tokens of a part that count: their rows in the file, their columns, and the index of their prompt.

    `numbers`: the prompts that count, rising.
    """
    table = parquet.read_table(files.tokens, columns=list(_TOKEN_COLUMNS))
    prompt, token = (table[name].to_numpy() for name in ("prompt", "token"))
    order = np.lexsort((token, prompt))
    prompt, ids, special = prompt[order], table["token_id"].to_numpy()[order], table["special"].to_numpy()[order]
    surprisal = -table["logprob"].to_numpy().astype(np.float32)[order]
    begins = np.append(True, prompt[1:] != prompt[:-1])[: len(prompt)]
    first = np.flatnonzero(begins)
    start = np.repeat(first, np.diff(np.append(first, len(prompt))))
    ordinary = np.cumsum(~special)
    index = np.minimum(np.searchsorted(numbers, prompt), len(numbers) - 1)
    kept = ~special & (numbers[index] == prompt)
    ends = np.append(begins[1:], True)[: len(prompt)]
    next_surprisal = np.append(surprisal[1:], np.nan)[: len(prompt)]
    next_added = np.append(special[1:], False)[: len(prompt)]
    columns = {
        "ids": ids,
        "before": np.where(begins, -1, np.append(-1, ids)[:-1]).astype(np.int32),
        "positions": (np.arange(len(prompt)) - start).astype(np.int32),
        "places": (ordinary - 1 - (ordinary - ~special)[start]).astype(np.int32),
        "classes": _classes(table["text"].take(order).to_pylist(), first),
        "surprisal_read": np.where(special, np.nan, surprisal).astype(np.float32),
        "surprisal_next": np.where(ends | next_added, np.nan, next_surprisal).astype(np.float32),
    }
    return order[kept].astype(np.int32), {name: each[kept] for name, each in columns.items()}, index[kept]


def _classes(tokens: list[str], first: np.ndarray) -> np.ndarray:
    """Numbers of the classes of tokens; `first` of each text."""
    ends = np.append(first[1:], len(tokens))
    found = [number for at, end in zip(first, ends, strict=True) for number in class_numbers(tokens[at:end])]
    return np.array(found, np.uint8)


__all__ = ["BEGINNING", "NO_ENTROPY", "RunTexts"]
