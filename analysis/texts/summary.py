"""One row per text: what a whole prompt looks like beside others."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from analysis.aggregate import mean_over_tokens, ordinary
from analysis.difficulty import difficulty, surprisal
from analysis.overview import overview_numbers
from hooks.trace import RoutingTrace

MOST_GROUPS = 12
"""Values of a column by which prompts are grouped; a column of more is a name or a measure."""


@dataclass(frozen=True)
class PromptSummary:
    """Means over one text. Tokens that the tokenizer added count nowhere."""

    tokens: int
    """Tokens of the text itself."""
    difficulty: float
    """Soft difficulty, mean over all pairs of token and layer, 0..1. NaN, as are the next two, if the model does not
    decide what it is of."""
    gate: float
    """lambda, the width share, mean over all pairs of token and layer, 0..1."""
    did_not_route: float
    """Share of the pairs of token and layer whose width path did not run, 0..1."""
    loss: float
    """Mean surprisal of the tokens read, nats; the first has none. NaN for a text of one token."""


@dataclass(frozen=True, eq=False)
class PromptTable:
    """A list of prompts as its figure takes it."""

    name: str
    table: pd.DataFrame
    """The table of `summary_table`."""
    column: str | None
    """Its column by which the prompts are grouped; None: all together."""
    meta: dict[str, Any]
    """Model and weights, as in a trace."""


def prompt_summary(trace: RoutingTrace) -> PromptSummary:
    """The summary of one text; NaN where there is nothing to count."""
    numbers = overview_numbers(trace)
    read = surprisal(trace)
    read = read[np.isfinite(read)]
    none = float("nan")
    return PromptSummary(
        tokens=int(ordinary(trace).sum()),
        difficulty=float(mean_over_tokens(trace, difficulty(trace)).mean()) if "depth" in trace.parts else none,
        gate=numbers.mean_gate if "gate" in trace.parts else none,
        did_not_route=numbers.did_not_route if "width" in trace.parts else none,
        loss=float(read.mean()) if len(read) else float("nan"),
    )


def summary_table(
    rows: Iterable[tuple[str, str, PromptSummary | str | None]], others: Mapping[str, Sequence[str]] | None = None
) -> pd.DataFrame:
    """One row per prompt: its name, its numbers, the start of its text, why it could not be traced, its other columns.

    `rows` are (name, start of the text, summary). Numbers are missing where the prompt was not traced yet (None) or
    could not be (a sentence). `others` are the columns of the reader's file: name (`column_names` keeps them apart from
    the table's own) -> its cell for every row; a column of numbers alone becomes numbers.
    """
    names = [field.name for field in fields(PromptSummary)]
    made = [
        {
            "name": name,
            **(asdict(found) if isinstance(found, PromptSummary) else dict.fromkeys(names)),
            "text": start,
            "problem": found if isinstance(found, str) else None,
        }
        for name, start, found in rows
    ]
    table = pd.DataFrame(made, columns=["name", *names, "text", "problem"])
    table = table.astype({"tokens": "Int64", **dict.fromkeys(names[1:], float)})
    for column, cells in (others or {}).items():
        table[column] = as_numbers(cells)
    return table


def column_names(columns: Iterable[str]) -> list[str]:
    """The names of a file's columns as `summary_table` takes them: none is that of a column of its own."""
    own = {"name", *(field.name for field in fields(PromptSummary)), "text", "problem"}
    names: list[str] = []
    for column in columns:
        while column in own or column in names:
            column += " (file)"
        names.append(column)
    return names


def as_numbers(cells: Sequence[str]) -> pd.Series:
    """The cells as numbers if all that are not empty are numbers, else as they are; empty ones are missing.

    Digits that begin with a needless 0 are codes, not numbers: 0042 is not 42.
    """
    written = pd.Series(list(cells), dtype=object)
    there = written[written != ""]
    numbers = pd.to_numeric(there, errors="coerce")
    if len(there) and np.isfinite(numbers).all() and not there.str.match(r"-?0\d").any():
        return numbers.reindex(written.index)
    return written.where(written != "", None)


def grouping_columns(table: pd.DataFrame, columns: Iterable[str]) -> list[str]:
    """The columns whose values sort the prompts into groups: 2 to MOST_GROUPS of them, with several prompts each."""
    counts = {column: table[column].nunique() for column in columns}
    return [each for each, count in counts.items() if 2 <= count <= min(MOST_GROUPS, len(table) // 2)]


__all__ = [
    "MOST_GROUPS", "PromptSummary", "PromptTable", "as_numbers", "column_names", "grouping_columns", "prompt_summary",
    "summary_table",
]  # fmt: skip
