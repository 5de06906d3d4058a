"""The gate lambda: the weight of the width path when a layer mixes its two paths; that of the depth path is 1 - lambda.

A mixing share, not a part of the output: both paths contain the residual H.

lambda = (max_loops - loops) / max_loops, so it takes max_loops levels and never reaches 1.
"""

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis.aggregate import level_shares, ordinary, share
from hooks.trace import RoutingTrace


def gate_levels(trace: RoutingTrace) -> list[float]:
    """The values that lambda can take, largest first: (max_loops - l) / max_loops for l = 1..max_loops."""
    return [(trace.max_loops - loops) / trace.max_loops for loops in range(1, trace.max_loops + 1)]


def gate_level_shares(trace: RoutingTrace) -> pd.DataFrame:
    """One row per layer x level: share of ordinary tokens at this level; the shares of a layer sum to 1.

    A lambda that was set from outside may lie between the levels. Such tokens are counted in rows whose `gate` is
    NaN, which exist only when there are any.
    """
    levels = gate_levels(trace)
    at_level = [np.isclose(trace.gate, level, atol=1e-4) for level in levels]
    elsewhere = ~np.any(at_level, axis=0)
    if elsewhere[:, ordinary(trace)].any():
        levels, at_level = [*levels, np.nan], [*at_level, elsewhere]
    return level_shares(trace, "gate", levels, np.stack(at_level))


def gate_along_text(trace: RoutingTrace, smooth: int = 7) -> Float[np.ndarray, " token"]:
    """Mean lambda over layers, then a centred running mean over `smooth` tokens (fewer at the ends).

    Special tokens do not enter the running mean; NaN where it holds no other token.
    """
    kept = ordinary(trace).astype(float)
    kernel = np.ones(smooth)
    middle = slice(smooth // 2, smooth // 2 + trace.num_tokens)
    total = np.convolve(trace.gate.mean(axis=0) * kept, kernel)[middle]
    return share(total, np.convolve(kept, kernel)[middle])


def gate_table(trace: RoutingTrace) -> pd.DataFrame:
    """One row per layer x token: lambda (width share) and its complement, the depth share."""
    table = trace.to_frame()[["layer", "token", "text", "special", "gate"]]
    return table.assign(depth_share=1 - table["gate"])


__all__ = ["gate_along_text", "gate_level_shares", "gate_levels", "gate_table"]
