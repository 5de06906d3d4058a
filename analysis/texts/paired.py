"""Paired differences over texts: does something cost more than what stands beside it, in other texts too?

Every text gives a difference. If there is nothing between the two, its sign could as well be the other one: p is the
share of all choices of signs whose sum lies as far from 0 as the one read, which is one of them.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.aggregate import share
from analysis.texts.chance import FEWEST_TEXTS, corrected, p_value, text_interval

ALL_SIGNS = 12
"""Of up to so many texts every choice of signs is counted: 4,096 of them."""
SIGN_DRAWS = 4_999
"""Choices of signs of more texts, beside the one that was read."""


def signs(texts: int, *, seed: int = 0) -> np.ndarray:
    """Choices of signs [choice, text], first those that were read: all of up to ALL_SIGNS texts, or a sample."""
    if texts <= ALL_SIGNS:
        return 1 - 2 * ((np.arange(1 << texts)[:, None] >> np.arange(texts)) & 1)
    drawn = 1 - 2 * np.random.default_rng(seed).integers(0, 2, size=(SIGN_DRAWS, texts))
    return np.vstack([np.ones((1, texts), int), drawn])


def least_sign_p(texts: int) -> float:
    """The smallest p that can come out of so many texts: the sum of the signs read and of the opposite ones are alike.

    In a sample of choices the opposite one may be missing.
    """
    return 2.0 ** (1 - texts) if texts <= ALL_SIGNS else 1 / (1 + SIGN_DRAWS)


def paired_table(values: np.ndarray, beside: np.ndarray, tokens: np.ndarray, *, seed: int = 0) -> pd.DataFrame:
    """One row per cell: what two sums over tokens, `values` and `beside`, are per token, and whether they differ.

    All are [text, cell]; a cell counts in the texts where its `tokens` are above 0. Columns: texts, tokens, change
    (`values` per token), low and high (95%, over texts), control (`beside` per token), beyond (their difference) with
    beyond_low and beyond_high, p (two-sided, by the signs of the texts' differences), p_least, and p_corrected
    (Benjamini-Hochberg over the cells). Interval and p are NaN with fewer than FEWEST_TEXTS texts.
    """
    counts = tokens > 0
    values, beside = (np.where(counts, each, 0.0) for each in (values, beside))
    texts, total = counts.sum(axis=0), tokens.sum(axis=0)
    difference = values - beside
    p, least = np.full((2, len(texts)), np.nan)
    patterns, pattern = np.unique(counts, axis=1, return_inverse=True)
    for number, read in enumerate(patterns.T):
        if (many := int(read.sum())) >= FEWEST_TEXTS:  # cells that count in the same texts share the choices of signs
            cells = np.flatnonzero(pattern == number)
            p[cells] = p_value(np.abs(signs(many, seed=seed).astype(float) @ difference[np.ix_(read, cells)]))
            least[cells] = least_sign_p(many)
    low, high = text_interval(values, tokens)
    beyond_low, beyond_high = text_interval(difference, tokens)
    columns: dict[str, Sequence] = {"texts": texts, "tokens": total, "change": share(values.sum(axis=0), total)}
    columns |= {"low": low, "high": high, "control": share(beside.sum(axis=0), total)}
    columns |= {"beyond": share(difference.sum(axis=0), total), "beyond_low": beyond_low, "beyond_high": beyond_high}
    return pd.DataFrame(columns | {"p": p, "p_least": least, "p_corrected": corrected(p)})


__all__ = ["ALL_SIGNS", "SIGN_DRAWS", "least_sign_p", "paired_table", "signs"]
