"""Averages over tokens. Tokens that the tokenizer added by itself (`trace.special`) never enter one."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from hooks.trace import RoutingTrace


def ordinary(trace: RoutingTrace) -> Bool[np.ndarray, " token"]:
    """True for the tokens of the text itself."""
    return ~trace.special


def ordinary_places(trace: RoutingTrace) -> Int[np.ndarray, " token"]:
    """Position of every token in the text itself, from 0: tokens that the tokenizer added do not count."""
    return np.maximum(np.cumsum(ordinary(trace)) - 1, 0)


def mean_over_tokens(trace: RoutingTrace, values: np.ndarray) -> Float[np.ndarray, " layer"]:
    """Mean of `values` [layer, token] over ordinary tokens; NaN when there are none."""
    kept = values[:, ordinary(trace)]
    return kept.mean(axis=1) if kept.shape[1] else np.full(len(values), np.nan)


def percentiles_over_tokens(
    trace: RoutingTrace, values: np.ndarray, low: float = 10, high: float = 90
) -> tuple[np.ndarray, np.ndarray]:
    """Two percentiles of `values` [layer, token] over ordinary tokens, each [layer]; NaN when there are none.

    Each is a value that some token has: between whole loops there is nothing.

    A range of the tokens of one text, not a confidence interval: its tokens depend on each other.
    """
    kept = values[:, ordinary(trace)]
    if not kept.shape[1]:
        return np.full(len(values), np.nan), np.full(len(values), np.nan)
    bottom, top = np.percentile(kept, [low, high], axis=1, method="inverted_cdf")
    return bottom, top


def level_shares(
    trace: RoutingTrace, name: str, levels: Sequence[float], at_level: Bool[np.ndarray, "level layer token"]
) -> pd.DataFrame:
    """One row per layer x level (column `name`): ordinary tokens at this level, and their share of all in the layer."""
    kept = at_level[:, :, ordinary(trace)]
    counts = kept.sum(axis=2).T  # [layer, level]
    return pd.DataFrame(
        {
            "layer": np.repeat(np.arange(trace.num_layers), len(levels)),
            name: np.tile(levels, trace.num_layers),
            "tokens": counts.ravel(),
            "share": share(counts, np.full(counts.shape, kept.shape[2])).ravel(),
        }
    )


def share(count: np.ndarray, of: np.ndarray) -> np.ndarray:
    """count / of, NaN where there was nothing to count."""
    return np.divide(count, of, out=np.full(np.shape(count), np.nan), where=np.asarray(of) > 0)


__all__ = ["level_shares", "mean_over_tokens", "ordinary", "ordinary_places", "percentiles_over_tokens", "share"]
