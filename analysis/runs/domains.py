"""Domain against domain: which experts and loops prompts of one kind choose more often than those of another."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.runs.choices import DID_NOT_ROUTE, Choice, choices_of
from analysis.runs.counting import counts_by_choice
from analysis.runs.filters import ALL_TOKENS, TokenFilter, quoted
from analysis.runs.run import Run
from analysis.runs.units import by_unit, differences, shares_of, unit_of_prompt
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
    counts = _counts(run, column, (first, second), chosen)
    choices = choices_of(run.sizes)
    both = [_made_and_had(counts[counts["domain"] == each], choices) for each in (first, second)]
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


def _counts(run: Run, column: str, domains: Sequence[str], chosen: TokenFilter) -> pd.DataFrame:
    """`counts_by_choice` by domain and unit."""
    where, values = chosen.where(run.sizes)
    source = (
        f"tokens JOIN (SELECT prompt, {quoted(column)} AS domain FROM prompts "
        f"WHERE list_contains(?, {quoted(column)})) USING (prompt) WHERE {where}"
    )
    keys = {"domain": "domain", "unit": unit_of_prompt(run.counts.records)}
    return counts_by_choice(run, keys, source, [list(domains), *values])


def _made_and_had(counts: pd.DataFrame, choices: Sequence[Choice]) -> tuple[np.ndarray, np.ndarray]:
    """Counts of tokens that made each choice and of those that had it, both [unit, choice]."""
    rows = counts[counts["value"] != DID_NOT_ROUTE]
    made_at = {(each.kind, each.layer, each.value): place for place, each in enumerate(choices)}
    places = [made_at[each] for each in zip(rows["kind"], rows["layer"], rows["value"], strict=True)]
    made = by_unit(rows["unit"], np.array(places, int), rows["tokens"], len(choices))
    groups = {group: place for place, group in enumerate(dict.fromkeys((each.kind, each.layer) for each in choices))}
    # A token that routed has a first expert. Rows of later ones stay, with no tokens, so that both have the same units.
    of = [groups[each] for each in zip(rows["kind"], rows["layer"], strict=True)]
    had = by_unit(rows["unit"], np.array(of, int), rows["tokens"] * (rows["rank"] == 0), len(groups))
    return made, had[:, [groups[each.kind, each.layer] for each in choices]]


__all__ = ["MOST_DOMAINS", "SOURCE", "domain_columns", "domain_difference"]
