"""Chance and uncertainty over several texts.

The tokens of one text depend on each other, so a text is the unit. Intervals draw whole texts anew. For p, every text
is read backwards or left as it is, by the toss of a coin. Were there nothing between two series, that would change
nothing: each keeps its own values and neighbours, and only what stands at the same token is parted. How large a number
is on average where there is nothing (`chance`) comes from rotations, each text by an offset of its own. They would not
do for p: the seam where the end of a text meets its beginning cuts runs of alike values short, and chance looks small.
`python -m benchmarks.chance` counts how often p falls to 0.05 for series that are unrelated.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int
from scipy.stats import false_discovery_control

from analysis.aggregate import share

DRAWS = 400
"""Reversals, rotations and resamplings: the smallest p that can come out is 1 / (DRAWS + 1)."""
FEWEST_TEXTS = 5
"""With fewer texts there is neither interval nor p: their spread says too little about other texts."""


def lengths_to_text(lengths: Sequence[int]) -> Int[np.ndarray, " token"]:
    """Index of the text of every token of texts that stand one behind the other."""
    return np.repeat(np.arange(len(lengths)), lengths)


def reversals(lengths: Sequence[int], draws: int = DRAWS, *, seed: int = 0) -> Int[np.ndarray, "draw token"]:
    """Which token's value comes to stand at each token, when every text is read backwards with probability 1/2."""
    lengths = np.asarray(lengths)
    text, here = lengths_to_text(lengths), np.arange(lengths.sum())
    backwards = (2 * np.cumsum(lengths) - lengths - 1)[text] - here
    return np.where(coins(draws, len(lengths), seed=seed)[:, text], backwards, here)


def coins(draws: int, texts: int, *, seed: int = 0) -> Bool[np.ndarray, "draw text"]:
    """Which texts are read backwards in each draw."""
    return np.random.default_rng(seed).random((draws, texts)) < 0.5


def rotations(lengths: Sequence[int], draws: int = DRAWS, *, seed: int = 0) -> Int[np.ndarray, "draw token"]:
    """Which token's value comes to stand at each token, when every text is rotated by a random offset of its own."""
    lengths = np.asarray(lengths)
    text = lengths_to_text(lengths)
    first = (np.cumsum(lengths) - lengths)[text]
    offset = np.random.default_rng(seed).integers(0, np.maximum(lengths, 1), size=(draws, len(lengths)))
    return first + (np.arange(len(text)) - first + offset[:, text]) % lengths[text]


def p_value(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """(1 + draws of chance that reach what was observed) / (1 + draws); `null` is [draw, ...]. NaN stays NaN."""
    reached = (null >= np.asarray(observed) - 1e-12).sum(axis=0)
    return np.where(np.isnan(observed), np.nan, (1 + reached) / (1 + len(null)))


def corrected(p: np.ndarray) -> np.ndarray:
    """p after Benjamini and Hochberg: among those below x, at most a share x is expected to be chance. NaN stay out."""
    p = np.asarray(p, float)
    found = np.full(p.shape, np.nan)
    known = ~np.isnan(p)
    if known.any():
        found[known] = false_discovery_control(p[known], method="bh")
    return found


def text_interval(
    parts: np.ndarray, weights: np.ndarray, *, draws: int = DRAWS, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of sum(parts) / sum(weights) over texts that are drawn anew with replacement (percentiles).

    `parts` and `weights` are [text, ...], summed over texts. NaN with fewer than FEWEST_TEXTS texts that have any
    weight. With few texts such intervals are rather too narrow.
    """
    parts, weights = np.asarray(parts, float), np.asarray(weights, float)
    texts = len(parts)
    rng = np.random.default_rng(seed)
    times = rng.multinomial(texts, np.full(texts, 1 / texts), size=draws).astype(float)  # [draw, text]
    total, of = np.tensordot(times, parts, 1), np.tensordot(times, weights, 1)
    enough = (weights > 0).sum(axis=0) >= FEWEST_TEXTS
    ratio = np.where(enough, share(total, of), 0)
    low, high = (np.where(enough, each, np.nan) for each in np.nanquantile(ratio, [0.025, 0.975], axis=0))
    return low, high


__all__ = [
    "DRAWS", "FEWEST_TEXTS", "coins", "corrected", "lengths_to_text", "p_value", "reversals", "rotations",
    "text_interval",
]  # fmt: skip
