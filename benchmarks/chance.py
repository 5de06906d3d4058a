"""How often chance is taken for a finding, and how often an interval holds the truth.

python -m benchmarks.chance [--draws 1000]       some half an hour on one core; --draws 200 takes a fifth of it

Every series follows itself, as neighbouring tokens of a text do, and knows nothing of the other one. In the second
table both follow the position as well: given it, they are unrelated still. One text alone cannot hold the position
fixed, so its test is not in there. The tests run as the app runs them, with the same seed for all series. Other seeds,
each kept for all series too, have a fifth of the pairs. The last table counts how many 95 % intervals hold the truth.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from scipy.stats import spearmanr

from analysis.texts.chance import reach_of_chance, text_interval
from analysis.texts.interaction import shared_information
from analysis.texts.orders import DRAWS
from analysis.texts.ranks import within_texts
from analysis.texts.sources import explained

TEXTS = (5, 6, 8, 12, 31)
TOKENS = (16, 24, 64, 256)
"""Lengths of the one text, and of several: these in turn."""
OTHER_SEEDS = (1, 2, 3)
"""Of what the tests draw; the app's own is 0."""
LEVEL = 0.05
BEGINNING = 6
"""Tokens at the beginning of a text that are different, where the position is followed."""


def lengths_of(texts: int) -> list[int]:
    """Tokens of each of several texts: some are much shorter than others."""
    return [(24, 12, 40, 16, 28)[text % 5] for text in range(texts)]


def smooth(rng: np.random.Generator, tokens: int, trend: bool = False) -> np.ndarray:
    """Values of which neighbours are alike; with a trend they fall along the text by twice their spread."""
    return np.convolve(rng.normal(size=tokens + 3), np.ones(4), "valid") - trend * np.linspace(0, 4, tokens)


def lasting(rng: np.random.Generator, choices: int, lengths: Sequence[int], trend: bool = False) -> np.ndarray:
    """Choices 0..choices-1 of texts one behind the other; every second token does what the one before did.

    With a trend, four in five at the beginning of a text choose 0.
    """
    found = []
    for tokens in lengths:
        fresh = rng.random(tokens) >= 0.5
        fresh[0] = True
        last = np.maximum.accumulate(np.where(fresh, np.arange(tokens), 0))
        text = rng.integers(0, choices, tokens)[last]
        if trend:
            text[:BEGINNING][rng.random(BEGINNING) < 0.8] = 0
        found.append(text)
    return np.concatenate(found)


# Tests: p of one pair of series, by each seed -------------------------------------------------------------------------

P = list[float]
Test = Callable[[np.random.Generator, int, Sequence[int], int], P]
"""(generator of the series, texts or tokens, seeds, draws) -> p by each seed."""


def rho_of_one_text(rng: np.random.Generator, tokens: int, seeds: Sequence[int] = (0,), draws: int = DRAWS) -> P:
    """Difficulty against surprisal within a text (page Difficulty): 0 beyond the reach of chance, else 1."""
    first, second = smooth(rng, tokens), smooth(rng, tokens)
    beyond = abs(spearmanr(first, second).statistic) > reach_of_chance(first, second)  # never where none is known
    return [float(not beyond)]


def rho_of_several_texts(
    rng: np.random.Generator, texts: int, seeds: Sequence[int], draws: int = DRAWS, trend: bool = False
) -> P:
    """Difficulty against another measure, over several texts (page Validity)."""
    first, second = ([smooth(rng, tokens, trend) for tokens in lengths_of(texts)] for _ in range(2))
    rows = [each[None] for each in first]
    return [within_texts(rows, second, draws=draws, seed=seed)["p"].iloc[0] for seed in seeds]


def rho_with_position(rng: np.random.Generator, texts: int, seeds: Sequence[int], draws: int = DRAWS) -> P:
    """Difficulty against position, over several texts (page Validity)."""
    rows = [smooth(rng, tokens)[None] for tokens in lengths_of(texts)]
    place = [np.arange(float(tokens)) for tokens in lengths_of(texts)]
    return [within_texts(rows, place, keep_position=False, draws=draws, seed=s)["p"].iloc[0] for s in seeds]


def information_of_two_choices(
    rng: np.random.Generator, texts: int, seeds: Sequence[int], draws: int = DRAWS, trend: bool = False
) -> P:
    """Loops and experts, or the choices of two layers (page What decides)."""
    lengths = lengths_of(texts)
    first, second = lasting(rng, 3, lengths, trend), lasting(rng, 3, lengths, trend)
    return [shared_information(first, second, lengths, draws=draws, seed=seed).p for seed in seeds]


def explained_by_the_token(
    rng: np.random.Generator, texts: int, seeds: Sequence[int], draws: int = DRAWS, trend: bool = False
) -> P:
    """What the types of tokens explain of a choice (page What decides)."""
    lengths = lengths_of(texts)
    types, choices = lasting(rng, 8, lengths, trend), lasting(rng, 2, lengths, trend)
    cases = np.stack([types, np.zeros_like(types), np.concatenate([[-1], types[:-1]])])
    return [explained(cases, choices, lengths, 2, draws=draws, seed=seed)["p"].iloc[0] for seed in seeds]


OF_SEVERAL = (rho_of_several_texts, information_of_two_choices, explained_by_the_token)
TESTS: dict[str, tuple[Test, ...]] = {
    "unrelated series": (*OF_SEVERAL, rho_with_position),
    "series that share a trend": tuple(partial(test, trend=True) for test in OF_SEVERAL),
}
"""What is planted -> the tests over several texts that have to withstand it."""


def name_of(test: Callable) -> str:
    """What a test or an interval is called, whatever is planted."""
    return getattr(test, "func", test).__name__.replace("_", " ")


def p_values(
    test: Test, size: int, pairs: int, *, seeds: Sequence[int] = (0,), draws: int = DRAWS, of: int = 0
) -> np.ndarray:
    """p of `pairs` pairs of series with nothing between them, [pair, seed]; `of` picks the series."""
    rng = np.random.default_rng(of)
    return np.array([test(rng, size, seeds, draws) for _ in range(pairs)])


# Intervals: low and high of many experiments, and the truth -----------------------------------------------------------

Interval = Callable[[np.random.Generator, int, int], tuple[np.ndarray, np.ndarray, float]]


def mean_of_even_texts(rng: np.random.Generator, texts: int, times: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Texts of one length, whose values lie to both sides."""
    values, weights = rng.normal(size=(texts, times)), np.ones((texts, times))
    return *text_interval(values * weights, weights), 0.0


def mean_of_uneven_texts(rng: np.random.Generator, texts: int, times: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Texts of very different lengths (one in six is over twice the median); the values of long ones scatter less."""
    weights = np.round(np.exp(rng.normal(4, 0.8, (texts, times)))) + 5
    values = 0.2 * rng.normal(size=weights.shape) + rng.normal(size=weights.shape) / np.sqrt(weights)
    return *text_interval(values * weights, weights), 0.0


def mean_of_texts_to_one_side(rng: np.random.Generator, texts: int, times: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Texts of one length, most of them alike and a few far to one side: gamma of shape 2."""
    weights = np.ones((texts, times))
    return *text_interval(rng.gamma(2, size=weights.shape), weights), 2.0


def mean_of_rare_tokens(rng: np.random.Generator, texts: int, times: int) -> tuple[np.ndarray, np.ndarray, float]:
    """A class of tokens of which a text holds a few, or none; where fewer than five hold any, there is no interval."""
    weights = rng.poisson(2.5, (texts, times)).astype(float)
    values = rng.beta(2, 3, weights.shape)
    low, high = text_interval(values * weights, weights, least=0, most=1)
    known = np.isfinite(low)
    return low[known], high[known], 0.4


def rho_within_texts(rng: np.random.Generator, texts: int, times: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Difficulty against a measure that it follows half, more in some texts than in others (page Validity)."""
    rows, other = [], []
    for tokens in lengths_of(texts):
        measure, noise = rng.normal(size=tokens), rng.normal(size=(times, tokens))
        slope = 0.6 + 0.3 * rng.normal(size=(times, 1))
        rows.append(slope * measure + noise)
        other.append(measure)
    found = within_texts(rows, other, keep_position=False)
    return found["low"].to_numpy(), found["high"].to_numpy(), float(found["rho"].mean())


INTERVALS: tuple[Interval, ...] = (
    mean_of_even_texts, mean_of_uneven_texts, mean_of_texts_to_one_side, mean_of_rare_tokens, rho_within_texts,
)  # fmt: skip


def coverage(interval: Interval, texts: int, times: int, *, of: int = 0) -> float:
    """Share of `times` experiments whose 95 % interval holds the truth."""
    low, high, truth = interval(np.random.default_rng(of), texts, times)
    return float(((low <= truth) & (truth <= high)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000, help="pairs of series, and experiments")
    pairs = parser.parse_args().draws
    _table(f"share with p <= {LEVEL} of {pairs} pairs of unrelated series in one text", "tokens", TOKENS)
    _row(rho_of_one_text, [_rejected(rho_of_one_text, tokens, pairs) for tokens in TOKENS])
    few = max(pairs // 5, 1)
    for planted, tests in TESTS.items():
        _table(f"share with p <= {LEVEL} of {pairs} pairs of {planted}, the app's seed", "texts", TEXTS)
        for test in tests:
            _row(test, [_rejected(test, texts, pairs) for texts in TEXTS])
        _table(f"of {few} pairs, mean of {len(OTHER_SEEDS)} other seeds", "texts", TEXTS)
        for test in tests:
            _row(test, [_rejected(test, texts, few, OTHER_SEEDS) for texts in TEXTS])
    _table(f"share of {pairs} intervals of 95 % that hold the truth", "texts", TEXTS)
    for interval in INTERVALS:
        _row(interval, [coverage(interval, texts, pairs) for texts in TEXTS])


def _rejected(test: Test, size: int, pairs: int, seeds: Sequence[int] = (0,)) -> float:
    return float((p_values(test, size, pairs, seeds=seeds) <= LEVEL).mean())


def _table(title: str, of: str, sizes: Sequence[int]) -> None:
    print(f"\n{title}\n{of:>28s}" + "".join(f"{size:8d}" for size in sizes))


def _row(about: Callable, shares: Sequence[float]) -> None:
    print(f"{name_of(about):28s}" + "".join(f"{share:8.3f}" for share in shares), flush=True)


if __name__ == "__main__":
    main()
