"""Counts of what tokens chose in every layer, asked in one go as far as memory allows."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.runs.choices import ChoiceColumn, choice_columns
from analysis.runs.run import Run

MOST_TABLES = 64
"""Tables of counts that DuckDB builds at once, over all its threads: each takes 2 MB or more from the beginning."""


def counts_by_choice(
    run: Run, keys: Mapping[str, str], source: str, values: Sequence[Any], columns: Sequence[ChoiceColumn] | None = None
) -> pd.DataFrame:
    """Counts of tokens by `keys` and by each of the `columns` (None: all that the model has).

    `keys` are names with what they are in SQL; `source` is what follows FROM, with its `values`. One row per keys x
    column x value that occurs, with kind, layer and rank of the column, value and tokens.
    """
    columns = choice_columns(run.sizes) if columns is None else columns
    threads = int(run.ask("SELECT current_setting('threads') AS threads")["threads"].iloc[0])
    at_once = max(MOST_TABLES // threads, 1)
    given, tables = ", ".join(keys), []
    for first in range(0, len(columns), at_once):
        part = {f"choice_{place}": each.sql for place, each in enumerate(columns[first : first + at_once], start=first)}
        asked = ", ".join(f"{sql} AS {name}" for name, sql in {**keys, **part}.items())
        found = run.ask(
            f"SELECT {given}, {', '.join(part)}, count(*) AS tokens FROM (SELECT {asked} FROM {source}) "
            f"GROUP BY GROUPING SETS ({', '.join(f'({given}, {name})' for name in part)})",
            values,
        )
        tables.append(found.melt([*keys, "tokens"], var_name="column").dropna(subset="value"))
    if not tables:
        return pd.DataFrame(columns=[*keys, "tokens", "value", "kind", "layer", "rank"])
    found = pd.concat(tables, ignore_index=True)
    place = found.pop("column").str.removeprefix("choice_").astype(int).to_numpy()
    of = pd.DataFrame(columns, columns=ChoiceColumn._fields).drop(columns="sql").iloc[place].reset_index(drop=True)
    return found.assign(value=found["value"].astype(int), **of)


__all__ = ["MOST_TABLES", "counts_by_choice"]
