"""Orders: which token's value comes to stand at each token when texts exchange, turn or rotate their values.

`analysis.texts.chance` says what each keeps and parts. Of many texts an order is as long as all their tokens, so orders
come in blocks of at most AT_ONCE numbers, or one at a time. The size of the blocks changes none of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from jaxtyping import Bool, Int

AT_ONCE = 2**20
"""Numbers in a block of orders; a single order may have more."""
DRAWS = 400
"""Exchanges and rotations of so many texts that not all can be counted."""
ALL_EXCHANGES = 6
"""Of up to so many texts every exchange is counted: 720 of them."""
ALL_REVERSALS = 9
"""Of up to so many texts every reversal is counted: 512 of them. Of more texts, a group of as many, or of fewer where
fewer `draws` are asked for."""
LEAST_COINS = 4

Orders = Iterator[Int[np.ndarray, "order token"]]
"""Blocks of orders."""


def lengths_to_text(lengths: Sequence[int]) -> Int[np.ndarray, " token"]:
    """Index of the text of every token of texts that stand one behind the other."""
    return np.repeat(np.arange(len(lengths)), lengths)


def places(lengths: Sequence[int]) -> Int[np.ndarray, " token"]:
    """Position of every token in its text, from 0, where no token of a text is left out."""
    lengths = np.asarray(lengths, int)
    return np.arange(lengths.sum()) - (np.cumsum(lengths) - lengths)[lengths_to_text(lengths)]


def alone(lengths: Sequence[int], positions: Int[np.ndarray, " token"]) -> Bool[np.ndarray, " token"]:
    """Tokens at a position where no other text has one: `exchanges` has nothing to put there."""
    return np.bincount(positions)[positions] == 1 if len(positions) else np.zeros(0, bool)


def exchanges(
    lengths: Sequence[int], positions: Int[np.ndarray, " token"], draws: int = DRAWS, *, seed: int = 0
) -> Orders:
    """Which token's value comes to stand at each token, when texts exchange their values at equal positions.

    First everything as it is; then every other exchange of up to ALL_EXCHANGES texts, or `draws` of more.

    In each order every text is given a text (itself, too), each text once. It takes the values of that one; where that
    has no token, those of the text that this one was given, and so on. So every value is used once, at its own
    position, and neighbours stay together except where the text that gives them changes. What is `alone` stays.

    `positions`: of every token in its text, rising within it; gaps are tokens that do not count.
    """
    texts, filled = len(lengths), np.flatnonzero(lengths)
    taken, as_it_is = _Taken(lengths, positions), np.arange(texts)[None]
    if len(filled) <= ALL_EXCHANGES:
        every = np.array(list(permutations(filled)), int)
        for rows in _blocks(len(every), len(positions)):
            given = as_it_is.repeat(rows.stop - rows.start, axis=0)
            given[:, filled] = every[rows]
            yield taken(given)
        return
    rng = np.random.default_rng(seed)
    for rows in _blocks(1 + draws, len(positions)):
        given = as_it_is.repeat(rows.stop - rows.start, axis=0)
        first = int(rows.start == 0)
        given[first:] = rng.permuted(given[first:], axis=1)
        yield taken(given)


def parted(
    lengths: Sequence[int], positions: Int[np.ndarray, " token"], draws: int = DRAWS, *, seed: int = 0
) -> Orders:
    """`draws` exchanges in which no text is given itself, for a mean over what is surely parted.

    The tokens of a text that are alone at their positions are rotated among themselves.
    """
    texts, taken, rng = len(lengths), _Taken(lengths, positions), np.random.default_rng(seed)
    lone = np.flatnonzero(alone(lengths, positions))
    number, turning = np.bincount(lengths_to_text(lengths)[lone], minlength=texts), np.random.default_rng(seed)
    for rows in _blocks(draws, len(positions)):
        count = rows.stop - rows.start
        ring = rng.permuted(np.tile(np.arange(texts), (count, 1)), axis=1)
        given = np.empty_like(ring)  # in the ring, each text is given the next one
        np.put_along_axis(given, ring, np.roll(ring, -1, axis=1), axis=1)
        found = taken(given)
        if lone.size:
            found[:, lone] = lone[_rotated(number, count, turning)]
        yield found


def rotations(lengths: Sequence[int], draws: int = DRAWS, *, seed: int = 0) -> Orders:
    """Which token's value comes to stand at each token, when every text is rotated by a random offset of its own."""
    lengths, rng = np.asarray(lengths, int), np.random.default_rng(seed)
    for rows in _blocks(draws, int(lengths.sum())):
        yield _rotated(lengths, rows.stop - rows.start, rng)


@dataclass(frozen=True, eq=False)
class Turns:
    """Which texts are read backwards in which order. Texts of equal code are turned together."""

    turned: Bool[np.ndarray, "order code"]
    code: Int[np.ndarray, " text"]

    def summed(self, as_read: np.ndarray, backwards: np.ndarray) -> np.ndarray:
        """Sums over texts in every order, [order, ...], of what they are as read and backwards, [code, ...]."""
        shape = as_read.shape[1:]
        change = (backwards - as_read).reshape(len(as_read), -1).astype(float)
        return as_read.sum(axis=0) + (self.turned.astype(float) @ change).reshape(-1, *shape)


def turns(lengths: Sequence[int], draws: int = DRAWS, *, seed: int = 0) -> Turns:
    """First everything as it is. Of up to ALL_REVERSALS texts of two tokens or more, every choice of texts; of more,
    2^coins choices that form a group, in which each text is read backwards in half of them and any two texts are
    independent. In a group no order stands out, so p is exact whichever group `seed` picks."""
    longer = np.flatnonzero(np.asarray(lengths, int) > 1)
    free = int(coins(np.array(len(longer)), draws))
    ones = 1 << np.arange(free)
    sums = np.random.default_rng(seed).permutation(np.setdiff1d(np.arange(1, 1 << free), ones))
    code = np.zeros(len(lengths), int)  # which of the `free` coins turn a text: an odd number of heads does
    code[longer] = np.concatenate([ones, np.resize(sums, len(longer) - free)])
    every = np.arange(1 << free)
    return Turns(np.bitwise_count(every[:, None] & every) % 2 == 1, code)


def coins(texts: np.ndarray, draws: int = DRAWS) -> np.ndarray:
    """Of so many texts [...], how many are turned by a coin of their own: 2^coins reversals are counted."""
    return np.where(texts > ALL_REVERSALS, min(max(draws.bit_length(), LEAST_COINS), ALL_REVERSALS), texts)


def backwards(lengths: Sequence[int]) -> Int[np.ndarray, " token"]:
    """Which token's value comes to stand at each token when every text is read backwards."""
    lengths = np.asarray(lengths, int)
    return (2 * np.cumsum(lengths) - lengths - 1)[lengths_to_text(lengths)] - np.arange(lengths.sum())


def reversals(lengths: Sequence[int], draws: int = DRAWS, *, seed: int = 0) -> Orders:
    """Which token's value comes to stand at each token, when some of the texts are read backwards: see `turns`."""
    chosen, text = turns(lengths, draws, seed=seed), lengths_to_text(lengths)
    turned, here = backwards(lengths), np.arange(len(text))
    for rows in _blocks(len(chosen.turned), len(text)):
        yield np.where(np.take(chosen.turned[rows], chosen.code[text], axis=1), turned, here)


class _Taken:
    """Which token's value comes to stand at each token, for the text that is given to each."""

    def __init__(self, lengths: Sequence[int], positions: np.ndarray):
        lengths = np.asarray(lengths, int)
        self.text, self.positions, ends = lengths_to_text(lengths).astype(np.int32), positions, np.cumsum(lengths)
        self.extent = np.zeros(len(lengths), int)  # of each text: one more than its last position
        self.extent[lengths > 0] = positions[ends[lengths > 0] - 1] + 1
        self.first = np.cumsum(self.extent) - self.extent
        self.token_at = np.full(self.extent.sum(), -1, np.int32)
        self.token_at[self.first[self.text] + positions] = np.arange(len(positions))

    def __call__(self, given: Int[np.ndarray, "order text"]) -> Int[np.ndarray, "order token"]:
        texts, count = given.shape[1], len(self.text)
        found = self._token(np.take(given, self.text, axis=1), self.positions)
        flat, to = found.ravel(), given.ravel()
        missing = np.flatnonzero(flat < 0)
        order, token = np.divmod(missing, max(count, 1))
        first, place = order * texts, self.positions[token]
        giver = to[first + self.text[token]]
        while len(missing):
            giver = to[first + giver]
            flat[missing] = taken = self._token(giver, place)
            still = taken < 0
            missing, first, place, giver = missing[still], first[still], place[still], giver[still]
        return found

    def _token(self, text: np.ndarray, place: np.ndarray) -> np.ndarray:
        """The token of a text at a place; -1 where it has none."""
        inside = place < self.extent[text]
        at = np.where(inside, self.first[text] + place, 0)
        return np.where(inside, self.token_at[at] if len(self.token_at) else at, -1)


def _rotated(lengths: np.ndarray, draws: int, rng: np.random.Generator) -> Int[np.ndarray, "draw token"]:
    text, place = lengths_to_text(lengths), places(lengths)
    offset = rng.integers(0, np.maximum(lengths, 1), size=(draws, len(lengths)))
    return np.arange(len(text)) - place + (place + np.take(offset, text, axis=1)) % lengths[text]


def _blocks(orders: int, tokens: int) -> Iterator[slice]:
    """The numbers of the orders of each block."""
    at_once = max(AT_ONCE // max(tokens, 1), 1)
    for first in range(0, orders, at_once):
        yield slice(first, min(first + at_once, orders))


__all__ = [
    "ALL_EXCHANGES", "ALL_REVERSALS", "AT_ONCE", "DRAWS", "Orders", "Turns", "alone", "backwards", "coins", "exchanges",
    "lengths_to_text", "parted", "places", "reversals", "rotations", "turns",
]  # fmt: skip
