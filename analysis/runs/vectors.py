"""What a map of tokens is made of: a vector of numbers per token, which says how the model routed it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from analysis.runs.sampling import TokenSample
from analysis.runs.schema import Sizes

BLOCKS = {
    "loops": "depth",
    "experts": "width",
    "difficulty": "depth",
    "gate": "gate",
}
"""Block of a vector -> the part that a model must decide to have it.

loops: an entry per layer, (loops - 1) / (max loops - 1). experts: an entry per layer and expert, the weight with which
it contributed; 0 for those that did not run. difficulty and gate: an entry per layer, as in the run.
"""
USUAL = ("loops", "experts", "difficulty")
"""Blocks of a map unless others are chosen. The gate is λ, which in a VersatileFFN follows from the loops: they would
count twice."""


def blocks_of(sizes: Sizes) -> list[str]:
    """The blocks that a model's tokens have."""
    return [block for block, part in BLOCKS.items() if part in sizes.parts]


def usual_blocks(sizes: Sizes) -> list[str]:
    """`USUAL`, as far as a model has them; all that it has if it has none of these."""
    had = blocks_of(sizes)
    return [block for block in USUAL if block in had] or had


@dataclass(frozen=True, eq=False)
class Vectors:
    """The vectors of a sample's tokens, made for some rows at a time: all of them may be larger than the sample.

    Every block is divided by the square root of its variance (the sum over its entries, among `fitted` tokens), so that
    each counts the same, however many entries it has. A block that does not vary counts nothing.
    """

    sample: TokenSample
    blocks: tuple[str, ...]
    fitted: int
    """The first tokens of the sample, from which the variances come."""

    @cached_property
    def variances(self) -> dict[str, float]:
        """Block -> the variance by whose root it is divided; 0 for one that does not vary."""
        rows = slice(0, self.fitted)
        return {
            block: float(_entries(self.sample, block, rows).var(axis=0, dtype=np.float64).sum())
            for block in self.blocks
        }

    @property
    def columns(self) -> int:
        """Entries of a vector."""
        return columns_of(self.sample.sizes, self.blocks)

    def rows(self, rows: slice | np.ndarray) -> Float[np.ndarray, "row column"]:
        """The vectors of some tokens, as float32."""
        scaled = [
            _entries(self.sample, block, rows) / np.float32(variance**0.5 or 1.0)
            for block, variance in self.variances.items()
        ]
        return np.concatenate(scaled, axis=1)


def columns_of(sizes: Sizes, blocks: Sequence[str]) -> int:
    """Entries of a vector that has these blocks. Raises ValueError if there are none, or one that the model has not."""
    if not blocks:
        raise ValueError("choose at least one kind of routing for the vectors of a map")
    if wrong := [block for block in blocks if block not in blocks_of(sizes)]:
        raise ValueError(f"the model of this run has no {wrong[0]}: it has {', '.join(blocks_of(sizes))}")
    return sum(sizes.num_layers * (sizes.num_experts if block == "experts" else 1) for block in blocks)


def _entries(sample: TokenSample, block: str, rows: slice | np.ndarray) -> Float[np.ndarray, "row entry"]:
    if block == "loops":
        return (sample.loops[rows].astype(np.float32) - 1) / max(sample.sizes.max_loops - 1, 1)
    if block == "experts":
        return _spread(sample.experts[rows], sample.weights[rows], sample.sizes.num_experts)
    return getattr(sample, block)[rows].astype(np.float32)


def _spread(experts: np.ndarray, weights: np.ndarray, num_experts: int) -> Float[np.ndarray, "row entry"]:
    """Weights at their experts' places, [row, layer x expert]."""
    rows, layers, _ = experts.shape
    spread = np.zeros((rows, layers, num_experts), np.float32)
    row, layer, rank = np.nonzero(experts >= 0)
    spread[row, layer, experts[row, layer, rank]] = weights[row, layer, rank]
    return spread.reshape(rows, -1)


__all__ = ["BLOCKS", "USUAL", "Vectors", "blocks_of", "columns_of", "usual_blocks"]
