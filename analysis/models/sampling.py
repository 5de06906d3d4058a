"""Sampling: the loops that training draws from the depth head, compared with those that eval picks.

Training adds Gumbel noise to the depth logits and takes the largest: a draw from their softmax. The temperature tau
divides both and so changes no draw; it sets how much of the gradient rests on the drawn number of loops.

The logits are those of eval in every layer. In training a draw also changes the logits of the layers above; this is
ignored here.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.special import softmax

from analysis.aggregate import mean_over_tokens
from hooks.trace import RoutingTrace

DRAWS = 32
TAUS = (0.1, 1.0, 5.0)
"""Temperatures shown: the end of the training schedule, 1 (no scaling), and its start."""


def noisy_logits(trace: RoutingTrace, *, draws: int = DRAWS, seed: int = 0) -> Iterator[np.ndarray]:
    """Depth logits plus Gumbel noise, float [layer, token, loop], draw after draw."""
    random = np.random.default_rng(seed)
    for _ in range(draws):
        yield trace.depth_logits + random.gumbel(size=trace.depth_logits.shape)


def drawn_loops(trace: RoutingTrace, *, draws: int = DRAWS, seed: int = 0) -> Int[np.ndarray, "draw layer token"]:
    """Loops drawn from eval's logits as training draws them, 1..max_loops; tau does not matter."""
    return np.stack([noisy.argmax(axis=-1) + 1 for noisy in noisy_logits(trace, draws=draws, seed=seed)])


def draw_agreement(trace: RoutingTrace, *, draws: int = DRAWS, seed: int = 0) -> Float[np.ndarray, "draw layer"]:
    """Share of ordinary tokens whose drawn loops are the likeliest ones, which eval picks; NaN if there are none.

    1 if the depth head is sure of every token, about 1 / max_loops if it is not sure of any.
    """
    picked = trace.depth_logits.argmax(axis=-1) + 1
    drawn = drawn_loops(trace, draws=draws, seed=seed)
    return np.stack([mean_over_tokens(trace, loops == picked) for loops in drawn])


def drawn_weight(
    trace: RoutingTrace, taus: Sequence[float], *, draws: int = DRAWS, seed: int = 0
) -> Float[np.ndarray, "tau draw layer"]:
    """Mean over ordinary tokens of the drawn loops' weight in softmax(noisy logits / tau), from 1 / max_loops to 1.

    The gradient is that of this mixture: with a weight far below 1, much of it comes from loops that did not run.
    """
    by_draw = [
        [mean_over_tokens(trace, softmax(noisy / tau, axis=-1).max(axis=-1)) for tau in taus]
        for noisy in noisy_logits(trace, draws=draws, seed=seed)
    ]
    return np.array(by_draw).swapaxes(0, 1)


def sampling_table(trace: RoutingTrace) -> pd.DataFrame:
    """One row per tau x layer: agreement of draws with the pick, and the drawn loops' weight at this tau.

    Means over `DRAWS` draws, with the 10th and 90th percentile over draws.
    """
    agreement = _columns("agreement", draw_agreement(trace))
    layers = np.arange(trace.num_layers)
    return pd.concat(
        [
            pd.DataFrame({"tau": tau, "layer": layers, "draws": DRAWS, **agreement, **_columns("weight", weight)})
            for tau, weight in zip(TAUS, drawn_weight(trace, TAUS), strict=True)
        ],
        ignore_index=True,
    )


def _columns(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    low, high = np.percentile(values, [10, 90], axis=0)
    return {name: values.mean(axis=0), f"{name}_p10": low, f"{name}_p90": high}


__all__ = ["DRAWS", "TAUS", "draw_agreement", "drawn_loops", "drawn_weight", "noisy_logits", "sampling_table"]
