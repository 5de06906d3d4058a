"""Averages over ordinary tokens: all but those that the tokenizer added (`trace.special`)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from hooks.trace import RoutingTrace


def ordinary(trace: RoutingTrace) -> Bool[np.ndarray, " token"]:
    """True for the tokens of the text itself."""
    return ~trace.special


def ordinary_places(trace: RoutingTrace) -> Int[np.ndarray, " token"]:
    """Position of every token in the text itself, from 0, not counting the tokens that the tokenizer added."""
    return np.maximum(np.cumsum(ordinary(trace)) - 1, 0)


def mean_over_tokens(trace: RoutingTrace, values: np.ndarray) -> Float[np.ndarray, " layer"]:
    """Mean of `values` [layer, token] over ordinary tokens; NaN when there are none."""
    counted = values[:, ordinary(trace)]
    return counted.mean(axis=1) if counted.shape[1] else np.full(len(values), np.nan)


def percentiles_over_tokens(
    trace: RoutingTrace, values: np.ndarray, low: float = 10, high: float = 90
) -> tuple[np.ndarray, np.ndarray]:
    """Two percentiles of `values` [layer, token] over ordinary tokens, each [layer]; NaN when there are none.

    Percentiles are values that some token has, not interpolated: loops are whole numbers. They are a range over the
    tokens of one text, not a confidence interval, because these tokens depend on each other.
    """
    counted = values[:, ordinary(trace)]
    if not counted.shape[1]:
        return np.full(len(values), np.nan), np.full(len(values), np.nan)
    bottom, top = np.percentile(counted, [low, high], axis=1, method="inverted_cdf")
    return bottom, top


def level_shares(
    trace: RoutingTrace, name: str, levels: Sequence[float], at_level: Bool[np.ndarray, "level layer token"]
) -> pd.DataFrame:
    """One row per layer x level (column `name`): the ordinary tokens at this level, and their share of the layer's."""
    counted = at_level[:, :, ordinary(trace)]
    counts = counted.sum(axis=2).T  # [layer, level]
    return pd.DataFrame(
        {
            "layer": np.repeat(np.arange(trace.num_layers), len(levels)),
            name: np.tile(levels, trace.num_layers),
            "tokens": counts.ravel(),
            "share": share(counts, np.full(counts.shape, counted.shape[2])).ravel(),
        }
    )


def share(count: np.ndarray, of: np.ndarray) -> np.ndarray:
    """count / of, NaN where there was nothing to count."""
    return np.divide(count, of, out=np.full(np.shape(count), np.nan), where=np.asarray(of) > 0)


__all__ = ["level_shares", "mean_over_tokens", "ordinary", "ordinary_places", "percentiles_over_tokens", "share"]
