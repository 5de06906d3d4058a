"""Chance and uncertainty: how large a number may be that means nothing, over several texts and within one.

The tokens of one text depend on each other, so a text is the unit. Intervals draw whole texts anew. Chance is what is
left of a number when the values of one series are moved against the other. Each way of moving keeps something, and only
what neither leaves is beyond chance: p is the larger of two.

    exchanges   texts exchange their values at equal positions. Keeps what all texts do at a position (their first
                tokens, a slow rise), parts what a text as a whole does.
    reversals   every text is read backwards or left as it is, by the toss of a coin. Keeps what a text as a whole does
                (verse is not arithmetic), parts what a position does.

Both keep neighbours together: a run of alike values is one thing that happened, not many. Where position itself is
asked about, exchanges would change nothing: reversals alone. Neither keeps at once what all texts do at a position and
what each does as a whole: if both are strong in two choices, a number counted over all texts together may still come
out beyond chance.

How large a number is on average where there is nothing (`chance`) is the larger mean of exchanges in which no text
keeps its own, and of rotations, each text by an offset of its own. Half of all reversals change nothing, so they are
none. Rotations would not do for p: the seam where the end of a text meets its beginning cuts runs of alike values
short, and chance looks small. `python -m benchmarks.chance` counts how often p falls to 0.05 for unrelated series.

Within one text (`reach_of_chance`, `pairs_against_chance`) a number can only stand beside what chance gives there. One
text proves nothing about others. Nor can it hold the position fixed: to part two series at equal positions takes other
texts.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from scipy.stats import binom, false_discovery_control, rankdata

from analysis.aggregate import ordinary, share
from analysis.difficulty import Surprise, surprisal, token_difficulty
from analysis.experts import expert_pairs
from hooks.trace import RoutingTrace

DRAWS = 400
"""Exchanges, reversals, rotations and resamplings: the smallest p that can come out is 1 / (DRAWS + 1)."""
FEWEST_TEXTS = 5
"""With fewer texts there is neither interval nor p: their spread says too little about other texts."""


def lengths_to_text(lengths: Sequence[int]) -> Int[np.ndarray, " token"]:
    """Index of the text of every token of texts that stand one behind the other."""
    return np.repeat(np.arange(len(lengths)), lengths)


def places(lengths: Sequence[int]) -> Int[np.ndarray, " token"]:
    """Position of every token in its text, from 0, where no token of a text is left out."""
    lengths = np.asarray(lengths)
    return np.arange(lengths.sum()) - (np.cumsum(lengths) - lengths)[lengths_to_text(lengths)]


def alone(lengths: Sequence[int], positions: Int[np.ndarray, " token"]) -> Bool[np.ndarray, " token"]:
    """Tokens at a position where no other text has one: `exchanges` has nothing to put there."""
    return np.bincount(positions)[positions] == 1 if len(positions) else np.zeros(0, bool)


def levels(values: np.ndarray, lengths: Sequence[int], positions: Int[np.ndarray, " token"]) -> np.ndarray:
    """How far each text as a whole lies above or below what texts do at its positions, [text].

    Taken off before an exchange, no text's end makes a step in the values that another one takes.
    """
    shared = ~alone(lengths, positions)  # the others say nothing of what is usual there
    text, values, positions = lengths_to_text(lengths)[shared], values[shared], positions[shared]
    level, tokens = np.zeros(len(lengths)), np.bincount(text, minlength=len(lengths))
    for _ in range(20):  # the mean of every position and the level of every text, in turn
        usual = np.bincount(positions, values - level[text]) / np.maximum(np.bincount(positions), 1)
        level = np.bincount(text, values - usual[positions], len(lengths)) / np.maximum(tokens, 1)
    return level


def exchanges(
    lengths: Sequence[int],
    positions: Int[np.ndarray, " token"],
    draws: int = DRAWS,
    *,
    seed: int = 0,
    apart: bool = False,
) -> Int[np.ndarray, "draw token"]:
    """Which token's value comes to stand at each token, when texts exchange their values at equal positions.

    In each draw every text is given a text at random (itself, too), each text once. It takes the values of that one;
    where that has no token, those of the text that this one was given, and so on. So every value is used once, at its
    own position, and neighbours stay together except where the text that gives them changes. What is `alone` stays.

    For a mean over what is surely parted (`apart`), no text is given itself, and the tokens of a text that are alone
    are rotated among themselves.

    `positions`: of every token in its text, rising within it; gaps are tokens that do not count.
    """
    text, rng = lengths_to_text(lengths), np.random.default_rng(seed)
    here, texts = np.arange(len(text)), len(lengths)
    token_at = np.full((texts, positions.max(initial=-1) + 1), -1)
    token_at[text, positions] = here
    order = rng.permuted(np.tile(np.arange(texts), (draws, 1)), axis=1)
    given = order
    if apart:  # in a round, each text is given the next one
        given = np.empty_like(order)
        np.put_along_axis(given, order, np.roll(order, -1, axis=1), axis=1)
    found = token_at[given[:, text], positions]
    draw, token = np.nonzero(found < 0)
    giver = given[draw, text[token]]
    while len(draw):
        giver = given[draw, giver]
        found[draw, token] = token_at[giver, positions[token]]
        missing = found[draw, token] < 0
        draw, token, giver = draw[missing], token[missing], giver[missing]
    if apart and (lone := np.flatnonzero(alone(lengths, positions))).size:
        number = np.bincount(text[lone], minlength=texts)
        found[:, lone] = lone[rotations(number, draws, seed=seed)]
    return found


def reversals(lengths: Sequence[int], draws: int = DRAWS, *, seed: int = 0) -> Int[np.ndarray, "draw token"]:
    """Which token's value comes to stand at each token, when every text is read backwards with probability 1/2."""
    lengths = np.asarray(lengths)
    text, here = lengths_to_text(lengths), np.arange(lengths.sum())
    backwards = (2 * np.cumsum(lengths) - lengths - 1)[text] - here
    coins = np.random.default_rng(seed).random((draws, len(lengths))) < 0.5
    return np.where(coins[:, text], backwards, here)


def rotations(lengths: Sequence[int], draws: int = DRAWS, *, seed: int = 0) -> Int[np.ndarray, "draw token"]:
    """Which token's value comes to stand at each token, when every text is rotated by a random offset of its own."""
    lengths = np.asarray(lengths)
    text, place = lengths_to_text(lengths), places(lengths)
    offset = np.random.default_rng(seed).integers(0, np.maximum(lengths, 1), size=(draws, len(lengths)))
    return np.arange(len(text)) - place + (place + offset[:, text]) % lengths[text]


def p_value(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """(1 + draws of chance that reach what was observed) / (1 + draws); `null` is [draw, ...]. NaN stays NaN."""
    reached = (null >= np.asarray(observed) - 1e-12).sum(axis=0)
    return np.where(np.isnan(observed), np.nan, (1 + reached) / (1 + len(null)))


def corrected(p: np.ndarray) -> np.ndarray:
    """p after Benjamini and Hochberg: among those below x, at most a share x is expected to be chance. NaN stay out."""
    p = np.asarray(p, float)
    found = np.full(p.shape, np.nan)
    known = ~np.isnan(p)
    if known.any():
        found[known] = false_discovery_control(p[known], method="bh")
    return found


def text_interval(
    parts: np.ndarray, weights: np.ndarray, *, draws: int = DRAWS, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of sum(parts) / sum(weights) over texts that are drawn anew with replacement (percentiles).

    `parts` and `weights` are [text, ...], summed over texts. NaN with fewer than FEWEST_TEXTS texts that have any
    weight. With few texts such intervals are rather too narrow.
    """
    parts, weights = np.asarray(parts, float), np.asarray(weights, float)
    texts = len(parts)
    rng = np.random.default_rng(seed)
    times = rng.multinomial(texts, np.full(texts, 1 / texts), size=draws).astype(float)  # [draw, text]
    total, of = np.tensordot(times, parts, 1), np.tensordot(times, weights, 1)
    enough = (weights > 0).sum(axis=0) >= FEWEST_TEXTS
    ratio = np.where(enough, share(total, of), 0)
    low, high = (np.where(enough, each, np.nan) for each in np.nanquantile(ratio, [0.025, 0.975], axis=0))
    return low, high


# Within one text ------------------------------------------------------------------------------------------------------

FEWEST_TOKENS = 20
"""A text with fewer tokens has too few shifts to say what chance gives."""
SHIFTS = 200
"""Either way."""


def rho_by_chance(trace: RoutingTrace, of: Surprise = "read") -> float:
    """How far `rank_correlation` may lie from 0 by chance: see `reach_of_chance`."""
    difficulty, surprise = token_difficulty(trace), surprisal(trace, of)
    kept = ordinary(trace) & np.isfinite(surprise)
    return reach_of_chance(difficulty[kept], surprise[kept])


def reach_of_chance(first: np.ndarray, second: np.ndarray) -> float:
    """How far Spearman's rho of two series [token] may lie from 0 when there is nothing between them.

    Beyond it, (1 + shifts that reach as far) / (1 + shifts) is at most 0.05. A shift moves one series along the other,
    by up to half a text either way, and drops what hangs over: order and neighbours stay, only what stands at the same
    token is parted. Shifted series have fewer tokens in common, so this is rather too far than too near. But positions
    change: series with nothing between them but a trend along the text may lie beyond. NaN for fewer than FEWEST_TOKENS
    tokens, or where one side is constant.
    """
    count = len(first)
    if count < FEWEST_TOKENS or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    shifted = np.sort(np.abs(shifted_correlations(first, second)))
    return float(shifted[-((1 + len(shifted)) // 20)])


def shifted_correlations(first: np.ndarray, second: np.ndarray) -> Float[np.ndarray, " shift"]:
    """Correlation of the ranks of two series [token], one moved along the other by up to half a text either way.

    At most 2 x SHIFTS, evenly spread in long texts. 0 where what they have in common of one side is constant.
    """
    one, other, found = rankdata(first), rankdata(second), []
    for shift in np.unique(np.linspace(1, len(one) // 2, SHIFTS).astype(int)):
        for a, b in ((one[shift:], other[:-shift]), (one[:-shift], other[shift:])):
            a, b = a - a.mean(), b - b.mean()
            length = np.sqrt((a @ a) * (b @ b))
            found.append(a @ b / length if length > 1e-9 else 0.0)
    return np.array(found)


def pairs_against_chance(trace: RoutingTrace, layer: int) -> pd.DataFrame:
    """`expert_pairs` of a layer with `chance_low` and `chance_high`: the middle 95 % of the lift that loads alone give.

    Every routed token draws its pair independently, in proportion to `expected`: the count of a pair is then binomial.
    `outside` says that the lift lies beyond; chance alone does that to at most one pair in twenty. NaN and false where
    a pair is expected too rarely.
    """
    pairs = expert_pairs(trace, layer)
    expected, known = pairs["expected"].to_numpy(), pairs["lift_log2"].notna().to_numpy()
    bounds = np.full((2, len(pairs)), np.nan)
    if known.any():
        middle = binom.ppf([[0.025], [0.975]], pairs["together"].sum(), expected / expected.sum())
        bounds = np.where(known, np.log2((middle + 0.5) / (expected + 0.5)), np.nan)
    outside = (pairs["lift_log2"] < bounds[0]) | (pairs["lift_log2"] > bounds[1])
    return pairs.assign(chance_low=bounds[0], chance_high=bounds[1], outside=outside)


def all_pairs_against_chance(trace: RoutingTrace) -> pd.DataFrame:
    """`pairs_against_chance` of every layer, one below the other."""
    return pd.concat([pairs_against_chance(trace, layer) for layer in range(trace.num_layers)], ignore_index=True)


__all__ = [
    "DRAWS", "FEWEST_TEXTS", "FEWEST_TOKENS", "all_pairs_against_chance", "alone", "corrected", "exchanges",
    "lengths_to_text", "levels", "p_value", "pairs_against_chance", "places", "reach_of_chance", "reversals",
    "rho_by_chance", "rotations", "text_interval",
]  # fmt: skip
