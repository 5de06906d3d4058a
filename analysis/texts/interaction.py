"""Loops x experts: does the number of loops of a token go together with the experts that it chooses?

Mutual information of two choices of the same tokens, in nats. Few tokens show some even where there is none, and so do
choices that both follow the position, so what `texts.chance` finds is taken off: adjusted = (information - chance) /
(least entropy - chance), 0 at chance and 1 where one choice settles the other. It says that they go together, not that
one drives the other: both follow from the token's state.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.aggregate import ordinary, ordinary_places
from analysis.experts import routed
from analysis.texts.chance import (
    DRAWS,
    FEWEST_TEXTS,
    alone,
    corrected,
    exchanges,
    least_p,
    p_value,
    parted,
    places,
    reversals,
    rotations,
)
from analysis.texts.sources import same_model
from hooks.trace import RoutingTrace


@dataclass(frozen=True)
class Information:
    """What two choices of the same tokens tell of each other."""

    tokens: int
    information: float
    """Nats, as counted; NaN without tokens."""
    chance: float
    """What is left of it when texts are rotated, or exchange the second choice: the larger mean, nats."""
    adjusted: float
    """0 at chance, 1 where one choice settles the other; NaN where chance leaves nothing to settle."""
    p: float
    """One-sided, the larger of two: by reading texts backwards, and by exchanging the second choice between texts at
    equal positions. NaN with fewer than FEWEST_TEXTS texts."""
    p_least: float
    """The smallest p that can come out of so many texts; NaN where p is."""
    alone: int
    """Tokens at a position where no other text has one: their choice stays in an exchange."""


def shared_information(
    first: np.ndarray,
    second: np.ndarray,
    lengths: Sequence[int],
    positions: np.ndarray | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Information:
    """Information that two choices (int [token], from 0; texts one behind the other, `lengths` of each) share.

    `positions` int [token] of the tokens in their texts, from 0, if some are left out.
    """
    if not len(first):
        return Information(0, *[float("nan")] * 5, alone=0)
    positions = places(lengths) if positions is None else positions
    observed = _information(first, second[None])[0]
    moved = rotations(lengths, draws, seed=seed), parted(lengths, positions, draws, seed=seed)
    chance = max(float(_information(first, second[order]).mean()) for order in moved)
    orders = reversals(lengths, seed=seed), exchanges(lengths, positions, draws, seed=seed)
    p = max(float(p_value(_information(first, second[order]))) for order in orders)
    room = min(_entropy(np.bincount(first)), _entropy(np.bincount(second))) - chance
    texts = (np.asarray(lengths) > 0).sum()
    enough = texts >= FEWEST_TEXTS
    return Information(
        tokens=len(first),
        information=float(observed),
        chance=chance,
        adjusted=float((observed - chance) / room) if room > 1e-9 else float("nan"),
        p=p if enough else float("nan"),
        p_least=float(least_p(texts, draws=draws)) if enough else float("nan"),
        alone=int(alone(lengths, positions).sum()),
    )


def loops_and_experts(traces: Sequence[RoutingTrace], *, draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """One row per layer: information that loops and first expert share, over ordinary tokens that routed.

    `left_out` counts the ordinary tokens that took all loops: they did not route. p_corrected: Benjamini-Hochberg over
    layers. ValueError for no traces, or traces of different models.
    """
    same_model(traces)
    rows = []
    for layer in range(traces[0].num_layers):
        kept = [routed(trace)[layer] for trace in traces]
        positions = np.concatenate([ordinary_places(trace)[k] for trace, k in zip(traces, kept, strict=True)])
        loops = np.concatenate([trace.loops[layer, k] - 1 for trace, k in zip(traces, kept, strict=True)])
        expert = np.concatenate([trace.expert_ids[layer, k, 0] for trace, k in zip(traces, kept, strict=True)])
        lengths = [int(k.sum()) for k in kept]
        found = shared_information(loops, expert, lengths, positions, draws=draws, seed=seed)
        tokens = sum(int(ordinary(trace).sum()) for trace in traces)
        rows.append({"layer": layer, "left_out": tokens - found.tokens, **vars(found)})
    table = pd.DataFrame(rows)
    return table.assign(p_corrected=corrected(table["p"].to_numpy()))


def _information(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Mutual information of `first` [token] with every row of `second` [draw, token], nats [draw]."""
    draws, rows, columns = len(second), first.max() + 1, second.max() + 1
    joint = (np.arange(draws)[:, None] * rows + first) * columns + second
    counts = np.bincount(joint.ravel(), minlength=draws * rows * columns).reshape(draws, rows, columns)
    separate = _entropy(np.bincount(first)) + np.array([_entropy(each) for each in counts.sum(axis=1)])
    return separate - _entropy(counts.reshape(draws, -1))


def _entropy(counts: np.ndarray) -> np.ndarray:
    """Entropy of counts along the last axis, nats."""
    p = counts / counts.sum(axis=-1, keepdims=True)
    return -(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1)


__all__ = ["Information", "loops_and_experts", "shared_information"]
