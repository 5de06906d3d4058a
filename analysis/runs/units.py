"""Prompts as units: intervals and p of shares whose tokens stand together in prompts, in bounded memory.

The tokens of a prompt depend on each other, so a prompt counts as one. Of more than UNITS prompts, whole prompts are
dealt at random into UNITS groups, and a group counts as one: this costs little precision (the spread comes from 255
differences instead of all), and memory does not grow with the run.

An interval is Wilson's, of as many independent tokens as tell as much as these do (their *effective* number, from the
spread over units, never more than there are), with Student's t. Where every token chose alike there is no spread, and
each unit counts as one token. `tests/test_runs_units.py` counts how often intervals hold the truth and p falls to 0.05.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

from analysis.aggregate import share
from analysis.texts.chance import FEWEST_TEXTS

UNITS = 256
"""Most units; of up to so many prompts each is a unit of its own."""


class Shares(NamedTuple):
    """Shares of several items, each [item]; `low`, `high` and `p` are NaN of fewer than FEWEST_TEXTS units."""

    share: np.ndarray
    """Of all tokens of the item that could, those that did; NaN where none could."""
    low: np.ndarray
    high: np.ndarray
    """95% interval over prompts."""
    effective: np.ndarray
    """Independent tokens that would tell as much."""
    degrees: np.ndarray
    """Degrees of freedom: units that would tell as much as these if all were equally large, less one."""
    units: np.ndarray
    """Units with such a token."""


def unit_of_prompt(prompts: int) -> str:
    """The unit of a row in SQL, from its `prompt`; `prompts` are all records of the run."""
    return "prompt::INTEGER" if prompts <= UNITS else f"(hash(prompt) % {UNITS})::INTEGER"


def by_unit(unit: np.ndarray, item: np.ndarray, count: np.ndarray, items: int) -> np.ndarray:
    """Counts [row] of units and items, added up as [unit, item]; units are numbered as they come."""
    known, at = np.unique(unit, return_inverse=True)
    flat = np.bincount(at * items + item, weights=count, minlength=len(known) * items)
    return flat.reshape(len(known), items)


def shares_of(made: np.ndarray, had: np.ndarray) -> Shares:
    """Shares from counts [unit, item]: tokens that made the choice, of those that had it to make."""
    made, had = np.asarray(made, float), np.asarray(had, float)
    total, units = had.sum(axis=0), (had > 0).sum(axis=0)
    found = share(made.sum(axis=0), total)
    alike = share(np.square(total), np.square(had).sum(axis=0))  # equally large units that tell as much
    spread = np.square(made - found * had).sum(axis=0) * share(units, units - 1.0)
    independent = found * (1 - found)
    effective = share(independent * np.square(total), spread)
    effective = np.where(np.isnan(effective) | (independent <= 0), alike, np.minimum(effective, total))
    enough = units >= FEWEST_TEXTS
    effective = np.where(enough, np.maximum(effective, 1), np.nan)
    degrees = np.where(enough, np.maximum(alike - 1, 1), np.nan)
    low, high = interval(found, effective, degrees)
    return Shares(found, low, high, effective, degrees, units)


def interval(found: np.ndarray, effective: np.ndarray, degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Low and high of Wilson's 95% intervals of shares of so many independent tokens, with Student's t, each [item]."""
    reach = student.ppf(0.975, degrees)
    middle = (found + reach**2 / (2 * effective)) / (1 + reach**2 / effective)
    half = reach / (1 + reach**2 / effective) * np.sqrt(found * (1 - found) / effective + reach**2 / (4 * effective**2))
    return np.clip(middle - half, 0, found), np.clip(middle + half, found, 1)


def p_of(shares: Shares, expected: np.ndarray | float) -> np.ndarray:
    """Two-sided p that a share differs from the `expected` one as much by chance, [item]. It agrees with the interval:
    p is below 0.05 where that does not hold the expected share."""
    away = share(np.abs(shares.share - expected), np.sqrt(expected * (1 - expected) / shares.effective))
    return 2 * student.sf(away, shares.degrees)


class Differences(NamedTuple):
    """Differences of shares, first minus second, each [item], with 95% intervals and two-sided p."""

    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray


def differences(first: Shares, second: Shares) -> Differences:
    """Differences of the shares of two sets of prompts: intervals after Newcombe, p of a common share."""
    found = first.share - second.share
    low = found - np.hypot(first.share - first.low, second.high - second.share)
    high = found + np.hypot(first.high - first.share, second.share - second.low)
    tokens = first.effective + second.effective
    common = (first.share * first.effective + second.share * second.effective) / tokens
    one, other = (common * (1 - common) / each.effective for each in (first, second))
    degrees = share(np.square(one + other), one**2 / first.degrees + other**2 / second.degrees)
    p = 2 * student.sf(share(np.abs(found), np.sqrt(one + other)), degrees)
    p = np.where(common * (1 - common) > 0, p, np.where(np.isnan(common), np.nan, 1.0))  # all alike in both
    return Differences(found, low, high, p)


__all__ = [
    "UNITS",
    "Differences",
    "Shares",
    "by_unit",
    "differences",
    "interval",
    "p_of",
    "shares_of",
    "unit_of_prompt",
]
