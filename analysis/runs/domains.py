"""Domain against domain: which experts and loops prompts of one kind choose more often than those of another."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.runs import units
from analysis.runs.choices import choices_of
from analysis.runs.filters import ALL_TOKENS, TokenFilter, quoted
from analysis.runs.layer_columns import LayerColumns
from analysis.runs.run import Run
from analysis.runs.units import differences, shares_of
from analysis.texts.chance import corrected

SOURCE = "source"
MOST_DOMAINS = 50
"""A column with more values names prompts rather than domains."""


def domain_columns(run: Run) -> dict[str, list[str]]:
    """Column of `prompts` -> its values, those with the most prompts first: each column that has 2 to MOST_DOMAINS."""
    found = {}
    for column in (SOURCE, *run.manifest.others):
        name = quoted(column)
        values = run.ask(
            f"SELECT {name} AS domain, count(*) AS prompts FROM prompts WHERE problem IS NULL AND {name} IS NOT NULL "
            f"GROUP BY domain ORDER BY prompts DESC, domain LIMIT {MOST_DOMAINS + 1}"
        )
        if 2 <= len(values) <= MOST_DOMAINS:
            found[column] = values["domain"].tolist()
    return found


def domain_difference(run: Run, column: str, first: str, second: str, chosen: TokenFilter = ALL_TOKENS) -> pd.DataFrame:
    """One row per choice of the model: its share in prompts of the `first` domain and of the `second`, and the
    difference.

    `column` is `source` or another column of `prompts`, and the domains are two of its values. Columns: layer, kind
    (expert or loops), value, first and second (shares of the tokens that had the choice), first_had and second_had
    (these tokens), first_units and second_units (prompts, or groups of them), difference (first - second), low and high
    (95% over prompts), p, and p_corrected over all rows. Raises ValueError for a column that the run has not.
    """
    if column != SOURCE and column not in run.manifest.others:
        raise ValueError(f"the run has no column {column!r}; it has {', '.join((SOURCE, *run.manifest.others))}")
    choices, both = choices_of(run.sizes), _made_and_had(run, column, (first, second), chosen)
    shares, had = [shares_of(*each) for each in both], [each[1].sum(axis=0) for each in both]
    found = differences(*shares)
    return pd.DataFrame(
        {
            "layer": [each.layer for each in choices],
            "kind": [each.kind for each in choices],
            "value": [each.value for each in choices],
            "first": shares[0].share, "second": shares[1].share,
            "first_had": had[0].astype(int), "second_had": had[1].astype(int),
            "first_units": shares[0].units, "second_units": shares[1].units,
            **found._asdict(), "p_corrected": corrected(found.p),
        }
    )  # fmt: skip


def _made_and_had(
    run: Run, column: str, domains: Sequence[str], chosen: TokenFilter
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each domain, counts of tokens that made each choice and of those that had it, both [unit, choice]."""
    columns, (where, values) = LayerColumns(run.sizes), chosen.where(run.sizes)
    layers, count, width = run.sizes.num_layers, len(domains) * units.UNITS, columns.choices + 1
    made, had = (np.zeros((count, layers, columns.choices), int) for _ in range(2))
    asked = run.ask_batches(
        f"SELECT {', '.join(['domain', 'unit', *columns.names])} FROM (SELECT *, "
        f"{units.unit_of_prompt(run.counts.records)} AS unit FROM tokens WHERE {where}) JOIN (SELECT prompt, "
        f"list_position(?, {quoted(column)}) - 1 AS domain FROM prompts WHERE list_contains(?, {quoted(column)})) "
        "USING (prompt)",
        [*values, list(domains), list(domains)],
        columns.at_once,
    )
    for batch in asked:
        place = batch["domain"].to_numpy().astype(np.int64) * units.UNITS + batch["unit"].to_numpy()
        rows, tokens = columns.rows(batch), np.bincount(place, minlength=count)
        for layer in range(layers):
            for number, read in enumerate(zip(columns.values(rows, layer), columns.columns, strict=True)):
                found = np.bincount(place * width + read[1][read[0]], minlength=count * width).reshape(count, width)
                made[:, layer] += found[:, : columns.choices]
                if number == 0:  # whoever has a first expert routed
                    had[:, layer, : columns.experts] += found[:, : columns.experts].sum(axis=1, keepdims=True)
        had[:, :, columns.experts :] += tokens[:, None, None]
    return [
        tuple(each.reshape(len(domains), units.UNITS, -1)[number] for each in (made, had))
        for number in range(len(domains))
    ]


__all__ = ["MOST_DOMAINS", "SOURCE", "domain_columns", "domain_difference"]
