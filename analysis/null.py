"""Chance within one text: how large a number may be that means nothing, to stand beside the one that was seen.

One text proves nothing about others. Nor can it hold the position fixed: to part two series at equal positions takes
other texts. Over several texts, see `resampling` and `validity`.
"""

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import binom, rankdata

from analysis.aggregate import ordinary
from analysis.difficulty import Surprise, surprisal, token_difficulty
from analysis.experts import expert_pairs
from hooks.trace import RoutingTrace

FEWEST_TOKENS = 20
"""A text with fewer tokens has too few shifts to say what chance gives."""
SHIFTS = 200
"""Either way."""


def rho_by_chance(trace: RoutingTrace, of: Surprise = "read") -> float:
    """How far `rank_correlation` may lie from 0 by chance: see `reach_of_chance`."""
    difficulty, surprise = token_difficulty(trace), surprisal(trace, of)
    kept = ordinary(trace) & np.isfinite(surprise)
    return reach_of_chance(difficulty[kept], surprise[kept])


def reach_of_chance(first: np.ndarray, second: np.ndarray) -> float:
    """How far Spearman's rho of two series [token] may lie from 0 when there is nothing between them.

    Beyond it, (1 + shifts that reach as far) / (1 + shifts) is at most 0.05. A shift moves one series along the other,
    by up to half a text either way, and drops what hangs over: order and neighbours stay, only what stands at the same
    token is parted. Shifted series have fewer tokens in common, so this is rather too far than too near. But positions
    change: series with nothing between them but a trend along the text may lie beyond. NaN for fewer than FEWEST_TOKENS
    tokens, or where one side is constant.
    """
    count = len(first)
    if count < FEWEST_TOKENS or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    shifted = np.sort(np.abs(shifted_correlations(first, second)))
    return float(shifted[-((1 + len(shifted)) // 20)])


def shifted_correlations(first: np.ndarray, second: np.ndarray) -> Float[np.ndarray, " shift"]:
    """Correlation of the ranks of two series [token], one moved along the other by up to half a text either way.

    At most 2 x SHIFTS, evenly spread in long texts. 0 where what they have in common of one side is constant.
    """
    one, other, found = rankdata(first), rankdata(second), []
    for shift in np.unique(np.linspace(1, len(one) // 2, SHIFTS).astype(int)):
        for a, b in ((one[shift:], other[:-shift]), (one[:-shift], other[shift:])):
            a, b = a - a.mean(), b - b.mean()
            length = np.sqrt((a @ a) * (b @ b))
            found.append(a @ b / length if length > 1e-9 else 0.0)
    return np.array(found)


def pairs_against_chance(trace: RoutingTrace, layer: int) -> pd.DataFrame:
    """`expert_pairs` of a layer with `chance_low` and `chance_high`: the middle 95 % of the lift that loads alone give.

    Every routed token draws its pair independently, in proportion to `expected`: the count of a pair is then binomial.
    `outside` says that the lift lies beyond; chance alone does that to at most one pair in twenty. NaN and false where
    a pair is expected too rarely.
    """
    pairs = expert_pairs(trace, layer)
    expected, known = pairs["expected"].to_numpy(), pairs["lift_log2"].notna().to_numpy()
    bounds = np.full((2, len(pairs)), np.nan)
    if known.any():
        middle = binom.ppf([[0.025], [0.975]], pairs["together"].sum(), expected / expected.sum())
        bounds = np.where(known, np.log2((middle + 0.5) / (expected + 0.5)), np.nan)
    outside = (pairs["lift_log2"] < bounds[0]) | (pairs["lift_log2"] > bounds[1])
    return pairs.assign(chance_low=bounds[0], chance_high=bounds[1], outside=outside)


def all_pairs_against_chance(trace: RoutingTrace) -> pd.DataFrame:
    """`pairs_against_chance` of every layer, one below the other."""
    return pd.concat([pairs_against_chance(trace, layer) for layer in range(trace.num_layers)], ignore_index=True)


__all__ = ["FEWEST_TOKENS", "all_pairs_against_chance", "pairs_against_chance", "reach_of_chance", "rho_by_chance"]
