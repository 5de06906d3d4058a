"""How often chance is taken for a finding: unrelated series through every test of significance, share with p <= 0.05.

python -m benchmarks.chance [--draws 200]

Each of the series follows itself, as neighbouring tokens of a text do, and knows nothing of the other one. In the
second table both follow the position as well: given it, they are unrelated still. One text alone cannot hold the
position fixed, so its test is not in there.
"""

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.stats import spearmanr

from analysis.texts.chance import reach_of_chance
from analysis.texts.interaction import shared_information
from analysis.texts.sources import explained
from analysis.texts.validity import within_texts

TOKENS = (16, 24, 64, 256)
"""Lengths of the texts."""
TEXTS = 6
LEVEL = 0.05
CHANCES = 19
"""Draws of chance in each test of several texts: p is 1/20 if none of them reaches what was observed."""


BEGINNING = 6
"""Tokens at the beginning of a text that are different, where the position is followed."""


def smooth(rng: np.random.Generator, tokens: int, trend: bool = False) -> np.ndarray:
    """Values of which neighbours are alike; with a trend they fall along the text by twice their spread."""
    return np.convolve(rng.normal(size=tokens + 3), np.ones(4), "valid") - trend * np.linspace(0, 4, tokens)


def lasting(rng: np.random.Generator, choices: int, tokens: int, trend: bool = False) -> np.ndarray:
    """Choices 0..choices-1 of TEXTS texts one behind the other; every second token does what the one before did.

    With a trend, four in five at the beginning of a text choose 0.
    """
    fresh = rng.random((TEXTS, tokens)) >= 0.5
    fresh[:, 0] = True
    last = np.maximum.accumulate(np.where(fresh, np.arange(tokens), 0), axis=1)
    found = np.take_along_axis(rng.integers(0, choices, (TEXTS, tokens)), last, axis=1)
    if trend:
        found[:, :BEGINNING][rng.random((TEXTS, BEGINNING)) < 0.8] = 0
    return found.ravel()


def rho_of_one_text(rng: np.random.Generator, tokens: int, seed: int) -> bool:
    """Difficulty against surprisal within a text (page Difficulty)."""
    first, second = smooth(rng, tokens), smooth(rng, tokens)
    return bool(abs(spearmanr(first, second).statistic) > reach_of_chance(first, second))


def rho_of_several_texts(rng: np.random.Generator, tokens: int, seed: int, trend: bool = False) -> bool:
    """Difficulty against another measure, over several texts (page Validity)."""
    first, second = ([smooth(rng, tokens, trend) for _ in range(TEXTS)] for _ in range(2))
    return within_texts([each[None] for each in first], second, draws=CHANCES, seed=seed)["p"].iloc[0] <= LEVEL


def information_of_two_choices(rng: np.random.Generator, tokens: int, seed: int, trend: bool = False) -> bool:
    """Loops and experts, or the choices of two layers (page What decides)."""
    first, second = lasting(rng, 3, tokens, trend), lasting(rng, 3, tokens, trend)
    return shared_information(first, second, [tokens] * TEXTS, draws=CHANCES, seed=seed).p <= LEVEL


def foretold_by_the_token(rng: np.random.Generator, tokens: int, seed: int, trend: bool = False) -> bool:
    """What the types of tokens foretell of a choice (page What decides)."""
    types, choices = lasting(rng, 8, tokens, trend), lasting(rng, 2, tokens, trend)
    before = np.concatenate([[-1], types[:-1]])
    cases = np.stack([types, np.zeros_like(types), before])
    found = explained(cases, choices, [tokens] * TEXTS, 2, draws=CHANCES, seed=seed)
    return found["p"].iloc[0] <= LEVEL


OF_SEVERAL: tuple[Callable[..., bool], ...] = (rho_of_several_texts, information_of_two_choices, foretold_by_the_token)
TESTS: dict[str, tuple[Callable[[np.random.Generator, int, int], bool], ...]] = {
    "unrelated series": (rho_of_one_text, *OF_SEVERAL),
    "series that share a trend": tuple(partial(test, trend=True) for test in OF_SEVERAL),
}
"""What is planted -> the tests that have to withstand it."""


def name_of(test: Callable) -> str:
    """What a test is called, whatever is planted."""
    return getattr(test, "func", test).__name__.replace("_", " ")


def rejected(test: Callable, tokens: int, draws: int, *, seed: int = 0) -> int:
    """How many of `draws` pairs of series with nothing between them a test calls related."""
    rng = np.random.default_rng(seed)
    return sum(test(rng, tokens, draw) for draw in range(draws))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=200)
    args = parser.parse_args()
    for planted, tests in TESTS.items():
        print(f"share with p <= {LEVEL} of {args.draws} pairs of {planted}, by tokens of a text")
        print(f"{'':28s}" + "".join(f"{tokens:8d}" for tokens in TOKENS))
        for test in tests:
            shares = [rejected(test, tokens, args.draws) / args.draws for tokens in TOKENS]
            print(f"{name_of(test):28s}" + "".join(f"{share:8.3f}" for share in shares), flush=True)


if __name__ == "__main__":
    main()
