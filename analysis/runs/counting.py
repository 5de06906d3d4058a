"""Counts of what tokens chose in every layer, asked in one go as far as memory allows."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.runs.choices import choice_columns
from analysis.runs.run import Run

MOST_TABLES = 64
"""Tables of counts that DuckDB builds at once, over all its threads: each takes 2 MB or more from the beginning."""


def choice_counts(
    run: Run, source: str, values: Sequence[Any], keys: Sequence[str], columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Rows of a question counted by `keys` and by each of the `columns` of `choice_columns` (None: all of them).

    `source` is the question in SQL with its `values`; in it, CHOICES stands for these columns. Long: one row per keys x
    column x value that occurs, with kind (l: loops, x: experts), layer, value and tokens.
    """
    told = choice_columns(run.sizes)
    names = list(told if columns is None else columns)
    threads = int(run.ask("SELECT current_setting('threads') AS threads")["threads"].iloc[0])
    at_once = max(MOST_TABLES // threads, 1)
    given, tables = ", ".join(keys), []
    for first in range(0, len(names), at_once):
        part = names[first : first + at_once]
        asked = run.ask(
            f"SELECT {given}, {', '.join(part)}, count(*) AS tokens FROM "
            f"({source.replace('CHOICES', ', '.join(f'{told[name][0]} AS {name}' for name in part))}) "
            f"GROUP BY GROUPING SETS ({', '.join(f'({given}, {name})' for name in part)})",
            values,
        )
        tables.append(asked.melt([*keys, "tokens"], var_name="column").dropna(subset="value"))
    found = (
        pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*keys, "tokens", "column", "value"])
    )
    layers = {name: layer for name, (_, layer) in told.items()}
    return found.assign(
        kind=found["column"].str[:1], layer=found["column"].map(layers).astype(int), value=found["value"].astype(int)
    )


__all__ = ["MOST_TABLES", "choice_counts"]
