"""The gate lambda: the weight of the width path when a layer mixes its two paths; that of the depth path is 1 - lambda.

It is a mixing weight, not the part of the output that width contributes: both paths contain the residual H.

It follows from the loops (`sample_models.lambda_gate`), so it takes max_loops levels and never reaches 1.
"""

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis.aggregate import level_shares, ordinary, share
from hooks.trace import RoutingTrace
from sample_models.lambda_gate import width_share

DRAWS = 200
"""Shuffled orders of a text's tokens."""


def gate_levels(trace: RoutingTrace) -> list[float]:
    """The values that lambda can take, largest first: from that of one loop to that of max_loops, which is 0."""
    return [width_share(loops, trace.max_loops) for loops in range(1, trace.max_loops + 1)]


def gate_level_shares(trace: RoutingTrace) -> pd.DataFrame:
    """One row per layer x level: share of ordinary tokens at this level; the shares of a layer sum to 1.

    A lambda that was edited may lie between the levels. Such tokens are counted in rows whose `gate` is NaN, which
    exist only if there are any.
    """
    levels = gate_levels(trace)
    at_level = [np.isclose(trace.gate, level, atol=1e-4) for level in levels]
    elsewhere = ~np.any(at_level, axis=0)
    if elsewhere[:, ordinary(trace)].any():
        levels, at_level = [*levels, np.nan], [*at_level, elsewhere]
    return level_shares(trace, "gate", levels, np.stack(at_level))


def gate_along_text(trace: RoutingTrace, smooth: int = 7) -> Float[np.ndarray, " token"]:
    """Mean lambda over layers, then a centred running mean over `smooth` tokens (fewer at the ends).

    Special tokens are left out; NaN where a running mean has no other token.
    """
    counted = ordinary(trace).astype(float)
    return share(_running_sum(trace.gate.mean(axis=0) * counted, smooth), _running_sum(counted, smooth))


def gate_by_chance(
    trace: RoutingTrace, smooth: int = 7, *, draws: int = DRAWS, seed: int = 0
) -> Float[np.ndarray, "bound token"]:
    """The middle 95% of `gate_along_text` when the ordinary tokens of the text are shuffled: lower and upper bound.

    The running mean of any order of tokens has waves; these bounds say how high such waves are by chance. With shuffled
    tokens all positions are alike, so all whose mean is over the same number of tokens share their draws and have the
    same bounds. NaN where the running mean is NaN.
    """
    counted = ordinary(trace)
    shuffled = np.zeros((draws, trace.num_tokens))
    values = np.broadcast_to(trace.gate.mean(axis=0, dtype=float)[counted], (draws, int(counted.sum())))
    shuffled[:, counted] = np.random.default_rng(seed).permuted(values, axis=1)
    sums, counts = _running_sum(shuffled, smooth), _running_sum(counted.astype(float), smooth)
    bounds = np.full((2, trace.num_tokens), np.nan)
    for count in np.unique(counts[counts > 0]):
        means = sums[:, counts == count] / count
        bounds[:, counts == count] = np.quantile(means, [0.025, 0.975], method="inverted_cdf")[:, None]
    return bounds


def gate_along_text_table(trace: RoutingTrace) -> pd.DataFrame:
    """`gate_table` with `gate_along_text` as `smoothed` and `gate_by_chance` as `chance_low` and `chance_high`.

    These three are the same in every layer of a token.
    """
    table, (low, high) = gate_table(trace), gate_by_chance(trace)
    token = table["token"]
    return table.assign(smoothed=gate_along_text(trace)[token], chance_low=low[token], chance_high=high[token])


def _running_sum(values: Float[np.ndarray, "*draw token"], smooth: int) -> Float[np.ndarray, "*draw token"]:
    """Centred running sum over `smooth` tokens, over fewer at the ends."""
    token, count = np.arange(values.shape[-1]), values.shape[-1]
    before = np.concatenate([np.zeros((*values.shape[:-1], 1)), np.cumsum(values, axis=-1, dtype=float)], axis=-1)
    first, end = np.maximum(token + smooth // 2 + 1 - smooth, 0), np.minimum(token + smooth // 2 + 1, count)
    return before[..., end] - before[..., first]


def gate_table(trace: RoutingTrace) -> pd.DataFrame:
    """One row per layer x token: lambda (width share) and its complement, the depth share."""
    table = trace.to_frame()[["layer", "token", "text", "special", "gate"]]
    return table.assign(depth_share=1 - table["gate"])


__all__ = [
    "DRAWS", "gate_along_text", "gate_along_text_table", "gate_by_chance", "gate_level_shares", "gate_levels",
    "gate_table",
]  # fmt: skip
