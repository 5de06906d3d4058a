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
class Group:
    """A group of prompts."""

    name: str
    mean: float
    prompts: int


@dataclass(frozen=True)
class Leader:
    """The group of prompts with the highest mean of a number, the next one, and the one with the lowest."""

    first: Group
    second: Group
    last: Group
    p_high: float
    """Share of deals of the group names in which some group has a mean as high."""
    p_lead: float
    """Share of deals of the names of the first two groups to their prompts in which their means lie as far apart."""


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

    Tested against chance from FEWEST_TEXTS prompts on; with fewer, p is NaN.
    """
    groups = [
        Group(row.group, float(row.mean), int(row.prompts))
        for row in prompt_groups(table, measure, column).itertuples()
    ]
    if len(groups) < 2:
        return None
    points = grouped_prompts(table, measure, column)
    of_two = points[points["group"].isin([groups[0].name, groups[1].name])]
    p_high, p_lead = (
        deal_p(tuple(each["value"]), tuple(each["group"]), lead=each is of_two)
        if len(each) >= FEWEST_TEXTS
        else float("nan")
        for each in (points, of_two)
    )
    return Leader(groups[0], groups[1], groups[-1], p_high, p_lead)


@lru_cache(maxsize=64)
def deal_p(values: tuple[float, ...], groups: tuple[str, ...], *, lead: bool = False) -> float:
    """Share of deals of the group names to the prompts in which the highest mean of a group is as high as the one read.

    The highest of all groups is taken in every deal, so a leader that was picked because it leads is not favoured. With
    `lead`, its distance to the lowest mean is taken instead. The order that was read is one of the deals. p is never
    below what the exact number of different deals allows.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    size, rng, numbers = np.bincount(codes), np.random.default_rng(0), np.array(values)
    deals = max(min(DEALS, MOST_DEALT // len(values)), 99)

    def found(dealt: np.ndarray) -> float:
        means = np.bincount(codes, dealt) / size
        return np.ptp(means) if lead else means.max()

    read = found(numbers)
    reached = sum(found(rng.permutation(numbers)) >= read - 1e-12 for _ in range(deals))
    return float(max((1 + reached) / (1 + deals), 1 / _different_deals(tuple(size.tolist()))))


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
    "ALL", "NO_VALUE", "Group", "Leader", "deal_p", "grouped_prompts", "leading_group", "prompt_groups",
]  # fmt: skip
