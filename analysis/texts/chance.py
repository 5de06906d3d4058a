"""Chance and uncertainty: how large a number may be that means nothing, over several texts and within one.

The tokens of one text depend on each other, so a text is the unit. Intervals come from leaving out whole texts. Chance
is what is left of a number when the values of one series are moved against the other. Each way of moving keeps
something, and only what neither leaves is beyond chance: p is the larger of two.

    exchanges   texts exchange their values at equal positions. Keeps what all texts do at a position (their first
                tokens, a slow rise), parts what a text as a whole does.
    reversals   every text is read backwards or left as it is, by the toss of a coin. Keeps what a text as a whole does
                (verse is not arithmetic), parts what a position does.

Both keep neighbours together: a run of alike values is one thing that happened, not many. Where position itself is
asked about, exchanges would change nothing: reversals alone. Neither keeps at once what all texts do at a position and
what each does as a whole: if both are strong in two choices, a number counted over all texts together may still come
out beyond chance.

p is a share of orders (`analysis.texts.orders`), of which the order that was read is one. Few texts have few orders, so
all of them are counted: p is exact, and `least_p` says how small it can be. More texts have too many. Of their
reversals a group is counted, which keeps p exact for series that read alike both ways; of their exchanges, a sample is
drawn.

How large a number is on average where there is nothing (`chance`) is the larger mean of exchanges in which no text
keeps its own, and of rotations, each text by an offset of its own. Half of all reversals change nothing, so they are
none. Rotations would not do for p: the seam where the end of a text meets its beginning cuts runs of alike values
short, and chance looks small. `python -m benchmarks.chance` counts how often p falls to 0.05 for unrelated series, and
how often an interval holds the truth.

Within one text (`reach_of_chance`, `pairs_against_chance`) a number can only stand beside what chance gives there. One
text proves nothing about others. Nor can it hold the position fixed: to part two series at equal positions takes other
texts.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.special import factorial
from scipy.stats import binom, false_discovery_control, rankdata
from scipy.stats import t as student

from analysis.aggregate import ordinary, share
from analysis.difficulty import Surprise, surprisal, token_difficulty
from analysis.experts import expert_pairs
from analysis.texts.orders import ALL_EXCHANGES, DRAWS, alone, coins, lengths_to_text
from hooks.trace import RoutingTrace

BEYOND = 0.05
"""A corrected p below it is beyond chance: its mark is filled, its number bold."""
FEWEST_TEXTS = 5
"""With fewer texts there is neither interval nor p: their spread says too little about other texts."""


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


def p_value(values: np.ndarray) -> np.ndarray:
    """Share of orders whose value reaches that of the first, as read; `values` is [order, ...]. NaN stays NaN."""
    return np.where(np.isnan(values[0]), np.nan, (values >= values[0] - 1e-12).mean(axis=0))


def least_p(
    texts: np.ndarray, *, keep_position: bool = True, mirrored: bool = False, draws: int = DRAWS
) -> Float[np.ndarray, "..."]:
    """The smallest p that can come out of so many texts [...], from reversals and, with `keep_position`, exchanges.

    `mirrored`: the number is as large when all texts are read backwards, as a rank correlation with position is; then
    the order that was read never comes alone.
    """
    texts = np.asarray(texts)
    turned = np.ldexp(1.0, np.maximum(np.minimum(mirrored - texts, 0), -coins(texts, draws)))
    few = np.minimum(texts, ALL_EXCHANGES)
    exchanged = np.where(texts > few, 1 / (1 + draws), 1 / factorial(few))
    return np.maximum(turned, exchanged) if keep_position else turned


def corrected(p: np.ndarray) -> np.ndarray:
    """p after Benjamini and Hochberg: among those below x, at most a share x is expected to be chance. NaN stay out."""
    p = np.asarray(p, float)
    found = np.full(p.shape, np.nan)
    known = ~np.isnan(p)
    if known.any():
        found[known] = false_discovery_control(p[known], method="bh")
    return found


def text_interval(
    parts: np.ndarray, weights: np.ndarray, *, least: float = -np.inf, most: float = np.inf
) -> tuple[np.ndarray, np.ndarray]:
    """95% interval of sum(parts) / sum(weights) over texts, by the jackknife, cut at `least` and `most`.

    `parts` and `weights` are [text, ...], summed over texts. Student's t has the degrees of freedom of as many equal
    texts as tell as much: where one text has most of the weight, others say little and the interval is wide. NaN with
    fewer than FEWEST_TEXTS texts that have any weight. Over 5 to 31 texts it holds the truth in 91 to 99% of cases,
    fewest where a few texts lie far to one side (`python -m benchmarks.chance`).
    """
    parts, weights = np.asarray(parts, float), np.asarray(weights, float)
    total, of, texts = parts.sum(axis=0), weights.sum(axis=0), (weights > 0).sum(axis=0)
    enough = texts >= FEWEST_TEXTS
    ratio = np.where(enough, share(total, of), np.nan)
    without = np.where(enough, share(total - parts, of - weights), np.nan)
    variance = np.square(without - ratio).sum(axis=0) * (texts - 1) / np.maximum(texts, 1)
    alike = share(np.square(np.square(weights).sum(axis=0)), np.power(weights, 4).sum(axis=0))
    reach = student.ppf(0.975, np.maximum(alike - 1, 1)) * np.sqrt(variance)
    return np.maximum(ratio - reach, least), np.minimum(ratio + reach, most)


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
    """`expert_pairs` of a layer with `chance_low` and `chance_high`: the middle 95% of the lift that loads alone give.

    Every routed token draws its pair independently, in proportion to `expected`: the count of a pair is then binomial.
    `outside` says that the lift lies beyond; chance alone does that to at most one pair in twenty. NaN and false where
    a pair is expected too rarely.
    """
    pairs = expert_pairs(trace, layer)
    expected, known = pairs["expected"].to_numpy(), pairs["lift_log2"].notna().to_numpy()
    bounds = np.full((2, len(pairs)), np.nan)
    if known.any():  # of many experts few pairs are, and the quantiles of all others would take seconds
        middle = binom.ppf([[0.025], [0.975]], pairs["together"].sum(), expected[known] / expected.sum())
        bounds[:, known] = np.log2((middle + 0.5) / (expected[known] + 0.5))
    outside = (pairs["lift_log2"] < bounds[0]) | (pairs["lift_log2"] > bounds[1])
    return pairs.assign(chance_low=bounds[0], chance_high=bounds[1], outside=outside)


def all_pairs_against_chance(trace: RoutingTrace) -> pd.DataFrame:
    """`pairs_against_chance` of every layer, one below the other."""
    return pd.concat([pairs_against_chance(trace, layer) for layer in range(trace.num_layers)], ignore_index=True)


__all__ = [
    "BEYOND", "FEWEST_TEXTS", "FEWEST_TOKENS", "all_pairs_against_chance", "corrected", "least_p", "levels", "p_value",
    "pairs_against_chance", "reach_of_chance", "rho_by_chance", "text_interval",
]  # fmt: skip
