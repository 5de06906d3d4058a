"""Rank correlations within texts, and what remains of them when texts exchange a measure or read it backwards."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from analysis.texts.chance import FEWEST_TEXTS, least_p, levels, p_value, text_interval
from analysis.texts.orders import DRAWS, alone, backwards, exchanges, lengths_to_text, places, turns

FEWEST_TOKENS = 4
TOKENS_AT_ONCE = 2**16
"""Tokens of texts of one length whose ranks are taken together."""


def within_texts(
    rows: Sequence[np.ndarray],
    measure: Sequence[np.ndarray],
    *,
    given: Sequence[np.ndarray] | None = None,
    keep_position: bool = True,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """One row per row of `rows` (of each text, [row, token]): mean rank correlation with `measure` (of each, [token]).

    With `given` (of each, [token], known where the measure is) the correlation is partial: what follows its ranks is
    taken off the ranks of both, and what is left of the measure is what texts exchange.

    Tokens whose measure is NaN stay out; so do texts with fewer than FEWEST_TOKENS of them, or without any spread.
    p: the larger of two, by reading texts backwards and by exchanging the measure between texts at equal positions;
    without `keep_position` (for position itself, or what runs along the text as it does) by reading backwards alone.
    """
    lengths = np.array([len(each) for each in measure])
    joined = None if given is None else np.concatenate(given)
    asked = Measure(np.concatenate(measure), lengths, places(lengths), given=joined, keep_position=keep_position)
    return rank_correlations(np.concatenate(rows, axis=1), asked, draws=draws, seed=seed)


@dataclass(frozen=True, eq=False)
class Measure:
    """A measure of the tokens of texts that stand one behind the other, `lengths` of each; NaN where it is unknown."""

    values: np.ndarray
    lengths: np.ndarray
    positions: np.ndarray
    """Of the tokens in their texts, rising within them."""
    given: np.ndarray | None = None
    keep_position: bool = True


def rank_correlations(rows: np.ndarray, measure: Measure, *, draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """`within_texts` of `rows` [row, token], whose texts stand one behind the other as those of the measure."""
    known = np.isfinite(measure.values)
    text = lengths_to_text(measure.lengths)
    number = np.bincount(text[known], minlength=len(measure.lengths))
    kept = np.flatnonzero(known & (number >= FEWEST_TOKENS)[text])
    lengths, place = number[number >= FEWEST_TOKENS], measure.positions[kept]
    if not len(lengths):
        empty = np.full(len(rows), np.nan)
        nothing = {"texts": 0, "tokens": 0, "alone": 0}
        return pd.DataFrame(nothing | dict.fromkeys(("rho", "low", "high", "p", "p_least"), empty))
    ranks = _Ranks(rows, kept, lengths, None if measure.given is None else measure.given[kept])
    other = ranks.of_measure(measure.values[kept])
    other = other - levels(other, lengths, place)[lengths_to_text(lengths)]
    as_read = ranks.correlations(other[None])[0]  # [text, row]
    weights = np.where(np.isfinite(as_read), lengths[:, None], 0.0)
    total, texts = weights.sum(axis=0), (weights > 0).sum(axis=0)

    def mean(sums: np.ndarray) -> np.ndarray:
        """[order, row]; what came without spread tells nothing."""
        return np.where(total > 0, sums / np.maximum(total, 1), np.nan)

    turned = turns(lengths, draws, seed=seed)
    parts = np.nan_to_num(as_read) * weights
    both_ways = [parts, np.nan_to_num(ranks.correlations(other[None, backwards(lengths)])[0]) * weights]
    sums = turned.summed(*(_by_code(each, turned.code, turned.turned.shape[1]) for each in both_ways))
    p = p_value(np.abs(mean(sums)))
    if measure.keep_position:
        orders = exchanges(lengths, place, draws, seed=seed)
        sums = np.concatenate([ranks.sums(other[block], weights) for block in orders])
        p = np.maximum(p, p_value(np.abs(mean(sums))))
    low, high = text_interval(parts, weights, least=-1, most=1)
    alone_too = measure.keep_position
    least = least_p(texts, keep_position=alone_too, mirrored=not alone_too, draws=draws)
    p, least = (np.where(texts >= FEWEST_TEXTS, each, np.nan) for each in (p, least))
    counts = {"texts": texts, "tokens": total.astype(int), "alone": int(alone(lengths, place).sum())}
    rho = mean(parts.sum(axis=0))
    return pd.DataFrame(counts | {"rho": rho, "low": low, "high": high, "p": p, "p_least": least})


class _Ranks:
    """The standard ranks of rows within each text, kept for many correlations. Texts of one length go together."""

    def __init__(self, rows: np.ndarray, kept: np.ndarray, lengths: np.ndarray, given: np.ndarray | None):
        self._lengths, self._given, self._num_rows = lengths, given, len(rows)
        self._groups = []
        for texts, at in self._of_one_length():
            own = standard_ranks(rows[:, kept[at]]).swapaxes(0, 1)  # [text, row, token]
            if given is not None:
                own = _without(own, given[at][:, None])
            self._groups.append((texts, at, own))

    def of_measure(self, values: np.ndarray) -> np.ndarray:
        """What texts exchange of a measure [token]: itself, or what is left of its ranks beside those given."""
        if self._given is None:
            return values
        left = np.empty(len(values))
        for _, at, _ in self._groups:  # of equal spread in all texts
            left[at] = np.nan_to_num(_without(standard_ranks(values[at]), self._given[at])) * np.sqrt(at.shape[1])
        return left

    def correlations(self, drawn: np.ndarray) -> np.ndarray:
        """[order, text, row] with the rows of `drawn` [order, token]; NaN without spread."""
        found = np.empty((len(drawn), len(self._lengths), self._num_rows))
        for texts, each in self._by_group(drawn):
            found[:, texts] = each
        return found

    def sums(self, drawn: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """[order, row]: correlations times `weights` [text, row], summed over texts; what is NaN counts nothing."""
        total = np.zeros((len(drawn), self._num_rows))
        for texts, each in self._by_group(drawn):
            total += (np.nan_to_num(each) * weights[texts]).sum(axis=1)
        return total

    def _by_group(self, drawn: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        standard = standard_ranks if self._given is None else _standard
        for texts, at, own in self._groups:
            other = standard(drawn[:, at])  # [order, text, token]
            yield texts, np.matmul(own, other.transpose(1, 2, 0)).transpose(2, 0, 1)

    def _of_one_length(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Texts, and the numbers of their tokens [text, token]."""
        first = np.cumsum(self._lengths) - self._lengths
        for length in np.unique(self._lengths):
            alike = np.flatnonzero(self._lengths == length)
            at_once = max(TOKENS_AT_ONCE // int(length), 1)
            for start in range(0, len(alike), at_once):
                texts = alike[start : start + at_once]
                yield texts, first[texts][:, None] + np.arange(length)


def standard_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks along the last axis, centred and of length 1; NaN for those without spread."""
    return _standard(rankdata(values, axis=-1))


def _standard(values: np.ndarray) -> np.ndarray:
    """Values along the last axis, centred and of length 1; NaN for those without spread."""
    values = values - values.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.where(length > 1e-9, values / np.where(length > 1e-9, length, 1), np.nan)


def _without(ranks: np.ndarray, given: np.ndarray) -> np.ndarray:
    """What is left of standard ranks beside those of `given`, both [..., token], of length 1; NaN for nothing."""
    along = np.nan_to_num(standard_ranks(given))
    return _standard(ranks - (ranks * along).sum(axis=-1, keepdims=True) * along)


def _by_code(values: np.ndarray, code: np.ndarray, codes: int) -> np.ndarray:
    """Sums [code, row] of values [text, row]."""
    return np.stack([np.bincount(code, weights=column, minlength=codes) for column in values.T], axis=1)


__all__ = ["FEWEST_TOKENS", "Measure", "rank_correlations", "standard_ranks", "within_texts"]
