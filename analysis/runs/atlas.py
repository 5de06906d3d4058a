"""Atlas: what the tokens of a run under a filter say about its model, as tables, each of one question in SQL."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.runs.run import Run
from analysis.runs.schema import Sizes


@dataclass(frozen=True, eq=False)
class Atlas:
    """A run under a filter, as answers and figures take it. Its tables are asked for when they are needed."""

    name: str
    """Of the run."""
    meta: dict[str, Any]
    """Model and weights, as in a trace."""
    sizes: Sizes
    chosen: TokenFilter
    table: Callable[[str], pd.DataFrame]
    """Name of a table of `TABLES` -> the table. The app gives them from a cache."""


def atlas_of(run: Run, chosen: TokenFilter = ALL_TOKENS) -> Atlas:
    """The atlas of a run; each table is asked for once, when it is first needed."""
    known: dict[str, pd.DataFrame] = {}

    def table(name: str) -> pd.DataFrame:
        if name not in known:
            known[name] = TABLES[name](run, chosen)
        return known[name]

    return Atlas(run.name, run.meta, run.sizes, chosen, table)


def counts(run: Run, chosen: TokenFilter = ALL_TOKENS) -> pd.DataFrame:
    """One row: `tokens` that count and their `prompts`, and `all_tokens` of the texts themselves in the whole run."""
    where, values = chosen.where(run.sizes)
    return run.ask(
        f"SELECT count(*) FILTER ({where}) AS tokens, count(DISTINCT prompt) FILTER ({where}) AS prompts, "
        "count(*) FILTER (NOT special) AS all_tokens FROM tokens",
        [*values, *values],
    )


TABLES: dict[str, Callable[[Run, TokenFilter], pd.DataFrame]] = {"counts": counts}
"""Name -> what asks a run for the table."""

__all__ = ["TABLES", "Atlas", "atlas_of", "counts"]
