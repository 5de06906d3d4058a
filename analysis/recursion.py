"""Recursion: how often each token passed through the shared FFN, and how sure the depth head was."""

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis.aggregate import level_shares, ordinary
from hooks.trace import RoutingTrace

NEAR_MISS = 0.25
"""A margin below this many logits (odds of 1.3 to 1) is a near miss: a small change would flip the choice.

The bound is the same in every layer, whatever the spread of its logits (`logit_spread`)."""


def loop_shares(trace: RoutingTrace) -> pd.DataFrame:
    """One row per layer x number of loops: share of ordinary tokens; the shares of a layer sum to 1."""
    numbers = np.arange(1, trace.max_loops + 1)
    return level_shares(trace, "loops", numbers, trace.loops == numbers[:, None, None])


def depth_margin(trace: RoutingTrace) -> Float[np.ndarray, "layer token"]:
    """Depth logit of the winner minus that of the runner-up, >= 0; NaN where there is only one choice."""
    return margin_of(trace.depth_logits)


def margin_of(logits: Float[np.ndarray, "*place loop"]) -> Float[np.ndarray, "*place"]:
    """Largest of the logits minus the second largest, >= 0; NaN where there is only one."""
    if logits.shape[-1] == 1:
        return np.full(logits.shape[:-1], np.nan)
    best = np.partition(logits, -2, axis=-1)[..., -2:]
    return best[..., 1] - best[..., 0]


def logit_spread(trace: RoutingTrace) -> Float[np.ndarray, " layer"]:
    """Standard deviation of each layer's depth logits about their mean over loops, over ordinary tokens; NaN of none.

    It is the unit in which the margins of two layers can be compared.
    """
    logits = trace.depth_logits[:, ordinary(trace)].astype(np.float64)
    if not logits.size:
        return np.full(trace.num_layers, np.nan)
    return (logits - logits.mean(axis=-1, keepdims=True)).std(axis=(1, 2))


def depth_table(trace: RoutingTrace) -> pd.DataFrame:
    """One row per layer x token x loops: depth logit, probability, and whether this number of loops ran."""
    layer, token, loop = (axis.ravel() for axis in np.indices(trace.depth_logits.shape))
    return pd.DataFrame(
        {
            "layer": layer,
            "token": token,
            "text": np.array(trace.tokens, dtype=object)[token],
            "loops": loop + 1,
            "logit": trace.depth_logits.ravel(),
            "probability": trace.depth_probs.ravel(),
            "ran": (trace.loops[:, :, None] == np.arange(1, trace.max_loops + 1)).ravel(),
        }
    )


def loop_table(trace: RoutingTrace) -> pd.DataFrame:
    """One row per layer x token: loops that ran and loops expected, E[L]."""
    table = trace.to_frame()[["layer", "token", "text", "special", "loops"]]
    return table.assign(expected_loops=trace.expected_loops.ravel())


def margin_table(trace: RoutingTrace) -> pd.DataFrame:
    """One row per layer x token: loops that ran, margin of the depth choice, whether it was a near miss, and the spread
    of its layer's logits (`logit_spread`)."""
    margin = depth_margin(trace).ravel()
    table = trace.to_frame()[["layer", "token", "text", "special", "loops"]]
    spread = np.repeat(logit_spread(trace), trace.num_tokens)
    return table.assign(margin=margin, near_miss=margin < NEAR_MISS, logit_sd=spread)


__all__ = [
    "NEAR_MISS",
    "depth_margin",
    "depth_table",
    "logit_spread",
    "loop_shares",
    "loop_table",
    "margin_of",
    "margin_table",
]
