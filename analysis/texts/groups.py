"""Groups of prompts: their means, and whether the group with the highest one leads by more than chance."""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import numpy as np
import pandas as pd

from analysis.texts.chance import FEWEST_TEXTS

NO_VALUE, ALL = "(empty)", "all prompts"
DEALS = 999
"""Random deals of the group names to the prompts; fewer of so many prompts that they would take MOST_DEALT numbers."""
MOST_DEALT = 2_000_000


@dataclass(frozen=True)
class Leader:
    """The group of prompts with the highest mean of a number, and the one with the lowest."""

    group: str
    mean: float
    prompts: int
    last: str
    last_mean: float
    last_prompts: int
    groups: int
    p: float
    """Share of deals of the group names in which some group has a mean as high; NaN where it was not tested."""


def grouped_prompts(table: pd.DataFrame, measure: str, column: str | None) -> pd.DataFrame:
    """name, group and value of every prompt of `summary_table` that has the number in the column `measure`."""
    named = pd.Series(ALL, table.index) if column is None else table[column].map(_group_name)
    points = pd.DataFrame({"name": table["name"], "group": named, "value": table[measure]})
    return points[points["value"].notna()].reset_index(drop=True)


def prompt_groups(table: pd.DataFrame, measure: str, column: str | None) -> pd.DataFrame:
    """One row per group of prompts that have the number: group, prompts, mean; the highest mean first.

    `table` is that of `summary_table`; without a `column` all prompts are one group.
    """
    return (
        grouped_prompts(table, measure, column)
        .groupby("group", sort=False)["value"]
        .agg(prompts="size", mean="mean")
        .sort_values(["mean", "prompts"], ascending=False)
        .reset_index()
    )


def leading_group(table: pd.DataFrame, measure: str, column: str) -> Leader | None:
    """The group that leads in a number; None if fewer than two groups have the number.

    Tested against chance from FEWEST_TEXTS prompts on.
    """
    groups = prompt_groups(table, measure, column)
    if len(groups) < 2:
        return None
    points = grouped_prompts(table, measure, column)
    first, last = groups.iloc[0], groups.iloc[-1]
    tested = len(points) >= FEWEST_TEXTS
    p = leading_p(tuple(points["value"]), tuple(points["group"])) if tested else float("nan")
    return Leader(
        group=first["group"],
        mean=float(first["mean"]),
        prompts=int(first["prompts"]),
        last=last["group"],
        last_mean=float(last["mean"]),
        last_prompts=int(last["prompts"]),
        groups=len(groups),
        p=p,
    )


@lru_cache(maxsize=64)
def leading_p(values: tuple[float, ...], groups: tuple[str, ...]) -> float:
    """Share of deals of the group names to the prompts in which the highest mean of a group is as high as the one read.

    The highest of all groups is taken in every deal, so a leader that was picked because it leads is not favoured. The
    order that was read is one of the deals. p is never below what the exact number of different deals allows.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    size, rng, numbers = np.bincount(codes), np.random.default_rng(0), np.array(values)
    deals = max(min(DEALS, MOST_DEALT // len(values)), 99)
    read = (np.bincount(codes, numbers) / size).max()
    highest = [(np.bincount(codes, rng.permutation(numbers)) / size).max() for _ in range(deals)]
    p = (1 + (np.array(highest) >= read - 1e-12).sum()) / (1 + deals)
    return float(max(p, 1 / _different_deals(tuple(size.tolist()))))


def _different_deals(sizes: tuple[int, ...]) -> int:
    """In how many ways the prompts can be dealt to groups of these sizes."""
    ways, rest = 1, sum(sizes)
    for size in islice(sizes, len(sizes) - 1):
        ways *= math.comb(rest, size)
        rest -= size
    return ways


def _group_name(value: object) -> str:
    if pd.isna(value):
        return NO_VALUE
    return f"{value:g}" if isinstance(value, float) else str(value)


__all__ = [
    "ALL", "NO_VALUE", "Leader", "grouped_prompts", "leading_group", "leading_p", "prompt_groups",
]  # fmt: skip
