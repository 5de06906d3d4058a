"""Chance within one text: how large a number may be that means nothing, to stand beside the one that was seen.

Neither is a test: the tokens of one text depend on each other. Over several texts, see `resampling` and `validity`.
"""

import numpy as np
import pandas as pd
from scipy.stats import binom

from analysis.aggregate import ordinary
from analysis.difficulty import Surprise, surprisal, token_difficulty
from analysis.experts import expert_pairs
from analysis.validity import rotated_correlations
from hooks.trace import RoutingTrace

FEWEST_ROTATIONS = 20
"""A text with fewer tokens has too few rotations for their middle 95 %."""


def rho_by_chance(trace: RoutingTrace, of: Surprise = "read") -> tuple[float, float]:
    """Middle 95 % of `rank_correlation` when the surprisals are rotated along the text by 1, 2, .. tokens.

    A rotation keeps both series as they are, neighbours included, and parts only what stands at the same token. NaN
    for fewer than FEWEST_ROTATIONS rotations, or where one side is constant.
    """
    difficulty, surprise = token_difficulty(trace), surprisal(trace, of)
    kept = ordinary(trace) & np.isfinite(surprise)
    if kept.sum() <= FEWEST_ROTATIONS:
        return float("nan"), float("nan")
    turned = rotated_correlations(difficulty[None, kept], surprise[kept])[0, 1:]
    low, high = np.quantile(turned, [0.025, 0.975])
    return float(low), float(high)


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


__all__ = ["FEWEST_ROTATIONS", "all_pairs_against_chance", "pairs_against_chance", "rho_by_chance"]
