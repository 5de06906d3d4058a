"""Whether a text's routing depends on what stands beside it in a batch: choices that differ, and how sure they were."""

from typing import NamedTuple

import numpy as np

from analysis.explain.near_miss import expert_margin
from analysis.recursion import depth_margin
from hooks.trace import RoutingTrace

TOLERANCE = 1e-4
"""Margin in logits below which rounding may flip a choice: float32 rounds logits of this size by some 1e-6, and a few
layers add to that."""


class Flips(NamedTuple):
    """The choices of one text in two runs."""

    choices: int
    """Choices compared: of loops, and of experts where the token routed in both runs, in every layer."""
    close: int
    """Those whose margin in the first run is at most the tolerance."""
    flipped: int
    """Those that differ."""
    unexplained: list[tuple[int, int]]
    """(layer, token) of each that differs though its margin was larger and no choice below and before it differed."""


def flips(first: RoutingTrace, second: RoutingTrace, *, tolerance: float = TOLERANCE) -> Flips:
    """Compare the choices of two runs of one text.

    A flipped choice changes the layers above it, at its token and those after; what differs there is its consequence.
    Raises ValueError for different texts.
    """
    if first.loops.shape != second.loops.shape or not np.array_equal(first.token_ids, second.token_ids):
        raise ValueError("both runs must be of the same tokens")
    loops = first.loops != second.loops
    routed = first.width_ran & second.width_ran
    experts = (np.sort(first.expert_ids) != np.sort(second.expert_ids)).any(axis=-1) & routed
    margins = depth_margin(first), expert_margin(first)
    close = [~(margin > tolerance) & here for margin, here in zip(margins, (np.ones_like(routed), routed), strict=True)]
    either = loops | experts
    before = np.logical_or.accumulate(np.logical_or.accumulate(either, axis=0), axis=1)
    below = np.concatenate([np.zeros_like(before[:1]), before[:-1]])
    unexplained = ((loops & ~close[0]) | (experts & ~close[1])) & ~below
    return Flips(
        choices=int(loops.size + routed.sum()),
        close=int(sum(each.sum() for each in close)),
        flipped=int(loops.sum() + experts.sum()),
        unexplained=[(int(layer), int(token)) for layer, token in np.argwhere(unexplained)],
    )


__all__ = ["TOLERANCE", "Flips", "flips"]
