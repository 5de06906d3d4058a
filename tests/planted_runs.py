"""Traces whose choices are drawn, for runs in which it is known what the experts follow, and in which they follow
nothing."""

import numpy as np

from hooks.trace import RoutingTrace
from tests.traces import make_trace

WORDS = ("␣fox", "␣ran", "␣to", "␣the", "␣sea", "ward", ".", ",", "␣7", "␣12", "␣=", "↵")
DIGITS = {WORDS.index("␣7"), WORDS.index("␣12")}
LAYER, EXPERT = 1, 3
"""Where the planted structure is: this expert of this layer serves the digits."""


def drawn_traces(
    count: int, *, seed: int, layers: int = 3, tokens: int = 14, planted: bool = False, by_prompt: float = 0.7
) -> list[RoutingTrace]:
    """Traces whose experts and loops are drawn by tastes of each prompt, so that its tokens choose alike.

    Nothing follows the tokens, nor whether the number of a prompt is odd. With `planted`, digits choose EXPERT first in
    LAYER, with the chance of nine in ten.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        ids = rng.integers(0, len(WORDS), tokens)
        taste, depth = (by_prompt * rng.normal(size=(layers, 1, size)) for size in (8, 4))
        router = taste + rng.gumbel(size=(layers, tokens, 8))
        if planted:
            router[LAYER, :, EXPERT] += 9.0 * (np.isin(ids, list(DIGITS)) & (rng.random(tokens) < 0.9))
        chosen = np.argsort(-router, axis=-1)[..., :2]
        loops = (depth + rng.gumbel(size=(layers, tokens, 4))).argmax(axis=-1) + 1
        found.append(
            make_trace(
                loops=loops, tokens=[WORDS[each] for each in ids], token_ids=ids, num_experts=8, expert_ids=chosen,
                expert_logits=router.astype(np.float32),
            )
        )  # fmt: skip
    return found
