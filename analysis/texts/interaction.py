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

from analysis.texts.chance import FEWEST_TEXTS, corrected, least_p, p_value
from analysis.texts.orders import (
    DRAWS,
    Orders,
    alone,
    backwards,
    exchanges,
    lengths_to_text,
    parted,
    places,
    rotations,
    turns,
)
from analysis.texts.tokens import Studied, TokenColumns, texts_of

MOST_CELLS = 8
"""Pairs of choices for each token up to which all of them are counted, whether they occur or not."""


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
    pairs = _Pairs(first, second)

    def moved(orders: Orders) -> np.ndarray:
        """The information that is left when the second choice is put in other orders, [order]."""
        return np.concatenate([pairs.information(second[block]) for block in orders])

    observed = pairs.information(second[None])[0]
    chance = max(
        float(moved(orders).mean())
        for orders in (rotations(lengths, draws, seed=seed), parted(lengths, positions, draws, seed=seed))
    )
    exchanged = moved(exchanges(lengths, positions, draws, seed=seed))
    turned = _information(_turned(pairs, second, lengths, draws=draws, seed=seed))
    p = max(float(p_value(each)) for each in (turned, exchanged))
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


def loops_and_experts(studied: Studied, *, draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """One row per layer: information that loops and first expert share, over ordinary tokens that routed.

    `left_out` counts the ordinary tokens that took all loops: they did not route. p_corrected: Benjamini-Hochberg over
    layers. ValueError for no text, or traces of different models.
    """
    texts = texts_of(studied)
    rows = []
    for layer in range(texts.num_layers):
        did = texts.layer(layer)
        found = shared_by(texts.tokens, did.loops - 1, did.expert, did.expert >= 0, draws=draws, seed=seed)
        rows.append({"layer": layer, "left_out": len(did.loops) - found.tokens, **vars(found)})
    table = pd.DataFrame(rows)
    return table.assign(p_corrected=corrected(table["p"].to_numpy()))


def shared_by(
    tokens: TokenColumns,
    first: np.ndarray,
    second: np.ndarray,
    kept: np.ndarray,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Information:
    """`shared_information` of two choices of those tokens that are `kept`, all [token]."""
    lengths = np.bincount(lengths_to_text(tokens.lengths)[kept], minlength=len(tokens.lengths))
    choices = (each[kept].astype(int) for each in (first, second))
    return shared_information(*choices, lengths, tokens.places[kept], draws=draws, seed=seed)


class _Pairs:
    """Counts how often two choices meet."""

    def __init__(self, first: np.ndarray, second: np.ndarray):
        self.shape = (int(first.max()) + 1, int(second.max()) + 1)
        self._first = first * self.shape[1]
        self._many = self.shape[0] * self.shape[1] > MOST_CELLS * len(first)
        self._separate = _entropy(np.bincount(first)) + _entropy(np.bincount(second))

    def information(self, second: np.ndarray) -> np.ndarray:
        """Mutual information with every row of `second` [row, token], each of which holds the same choices; nats."""
        if not self._many:
            return _information(self.counts(second))
        # Of far more cells than tokens only those that occur are counted. Small integers are sorted much faster.
        met = np.sort((self._first + second).astype(np.min_scalar_type(self.shape[0] * self.shape[1])), axis=1)
        begins = np.flatnonzero(np.insert(met[:, 1:] != met[:, :-1], 0, True, axis=1))
        runs = np.diff(begins, append=met.size) / met.shape[1]
        joint = -np.bincount(begins // met.shape[1], runs * np.log(runs), minlength=len(met))
        return self._separate - joint

    def counts(self, second: np.ndarray, group: np.ndarray | None = None, groups: int = 1) -> np.ndarray:
        """[row, first, second] of every row of `second` [row, token], or of every `group` [token] of a single one."""
        if group is None:
            groups, group = len(second), np.arange(len(second))[:, None]
        size = self.shape[0] * self.shape[1]
        return np.bincount((group * size + self._first + second).ravel(), minlength=groups * size).reshape(
            groups, *self.shape
        )


def _turned(pairs: _Pairs, second: np.ndarray, lengths: Sequence[int], *, draws: int, seed: int) -> np.ndarray:
    """The counts of pairs when some texts read their second choice backwards, [order, first, second].

    A text adds the same counts to every order in which it is turned, so the texts of a code are counted once each way.
    """
    orders, text = turns(lengths, draws, seed=seed), lengths_to_text(lengths)
    code, groups = orders.code[text], orders.turned.shape[1]
    return orders.summed(*(pairs.counts(each, code, groups) for each in (second, second[backwards(lengths)])))


def _information(counts: np.ndarray) -> np.ndarray:
    """Mutual information of two choices that meet so often [draw, first, second], nats [draw]."""
    separate = _entropy(counts.sum(axis=2)) + _entropy(counts.sum(axis=1))
    return separate - _entropy(counts.reshape(len(counts), -1))


def _entropy(counts: np.ndarray) -> np.ndarray:
    """Entropy of counts along the last axis, nats."""
    p = counts / counts.sum(axis=-1, keepdims=True)
    return -(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1)


__all__ = ["Information", "loops_and_experts", "shared_by", "shared_information"]
