"""Recursion lens: what the model would predict from each state of one token, as tables."""

import numpy as np
import pandas as pd

from hooks.lens_trace import EXIT, OUTPUT, STATE, LensTrace

NAMES = {STATE: "state", EXIT: "exited here", OUTPUT: "layer output"}


def lens_table(lens: LensTrace) -> pd.DataFrame:
    """One row per reading: how and where it was read, whether it was used, target, likeliest tokens, entropy and KL."""
    count = len(lens.kind)
    return pd.DataFrame(
        {
            "token": lens.token,
            "text": lens.routing.tokens[lens.token],
            "reading": [NAMES[kind] for kind in lens.kind.tolist()],
            "layer": lens.layer,
            "loop": lens.loop,
            "used": lens.used,
            "target": [lens.target] * count,
            "rank": lens.rank,
            "probability": lens.probability,
            "entropy": lens.entropy,
            "kl_to_final": lens.kl,
            "top_tokens": lens.top_tokens,
            "top_probs": [[float(p) for p in row] for row in lens.top_probs],
        }
    )


def grid(lens: LensTrace, kind: int, values: np.ndarray) -> np.ndarray:
    """Values [read, ...] of the readings of a kind, as [layer, loop, ...]: from loop 0 for STATE, from 1 for EXIT.

    Its layers are `lens.layers_of(kind)`.
    """
    return values[lens.of(kind)].reshape(len(lens.layers_of(kind)), -1, *values.shape[1:])


__all__ = ["grid", "lens_table"]
