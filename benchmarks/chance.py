"""How often chance is taken for a finding: unrelated series through every test of significance, share with p <= 0.05.

python -m benchmarks.chance [--draws 200]

Each of the series follows itself, as neighbouring tokens of a text do, and knows nothing of the other one.
"""

import argparse
from collections.abc import Callable

import numpy as np
from scipy.stats import spearmanr

from analysis.interaction import shared_information
from analysis.null import reach_of_chance
from analysis.sources import explained
from analysis.validity import within_texts

TOKENS = (16, 24, 64, 256)
"""Lengths of the texts."""
TEXTS = 6
LEVEL = 0.05
CHANCES = 19
"""Draws of chance in each test of several texts: p is 1/20 if none of them reaches what was observed."""


def smooth(rng: np.random.Generator, tokens: int) -> np.ndarray:
    """Values of which neighbours are alike."""
    return np.convolve(rng.normal(size=tokens + 3), np.ones(4), "valid")


def lasting(rng: np.random.Generator, choices: int, tokens: int) -> np.ndarray:
    """Choices 0..choices-1 of TEXTS texts one behind the other; every second token does what the one before did."""
    fresh = rng.random((TEXTS, tokens)) >= 0.5
    fresh[:, 0] = True
    last = np.maximum.accumulate(np.where(fresh, np.arange(tokens), 0), axis=1)
    return np.take_along_axis(rng.integers(0, choices, (TEXTS, tokens)), last, axis=1).ravel()


def rho_of_one_text(rng: np.random.Generator, tokens: int, seed: int) -> bool:
    """Difficulty against surprisal within a text (page Difficulty)."""
    first, second = smooth(rng, tokens), smooth(rng, tokens)
    return bool(abs(spearmanr(first, second).statistic) > reach_of_chance(first, second))


def rho_of_several_texts(rng: np.random.Generator, tokens: int, seed: int) -> bool:
    """Difficulty against another measure, over several texts (page Validity)."""
    first, second = ([smooth(rng, tokens) for _ in range(TEXTS)] for _ in range(2))
    return within_texts([each[None] for each in first], second, draws=CHANCES, seed=seed)["p"].iloc[0] <= LEVEL


def information_of_two_choices(rng: np.random.Generator, tokens: int, seed: int) -> bool:
    """Loops and experts, or the choices of two layers (page What decides)."""
    first, second = lasting(rng, 3, tokens), lasting(rng, 3, tokens)
    return shared_information(first, second, [tokens] * TEXTS, draws=CHANCES, seed=seed).p <= LEVEL


def foretold_by_the_token(rng: np.random.Generator, tokens: int, seed: int) -> bool:
    """What the types of tokens foretell of a choice (page What decides)."""
    types, choices = lasting(rng, 8, tokens), lasting(rng, 2, tokens)
    before = np.concatenate([[-1], types[:-1]])
    cases = np.stack([types, np.zeros_like(types), before])
    found = explained(cases, choices, [tokens] * TEXTS, 2, draws=CHANCES, seed=seed)
    return found["p"].iloc[0] <= LEVEL


TESTS: tuple[Callable[[np.random.Generator, int, int], bool], ...] = (
    rho_of_one_text,
    rho_of_several_texts,
    information_of_two_choices,
    foretold_by_the_token,
)


def rejected(test: Callable, tokens: int, draws: int, *, seed: int = 0) -> int:
    """How many of `draws` pairs of unrelated series a test calls related."""
    rng = np.random.default_rng(seed)
    return sum(test(rng, tokens, draw) for draw in range(draws))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=200)
    args = parser.parse_args()
    print(f"share with p <= {LEVEL} of {args.draws} pairs of unrelated series, by tokens of a text")
    print(f"{'':28s}" + "".join(f"{tokens:8d}" for tokens in TOKENS))
    for test in TESTS:
        shares = [rejected(test, tokens, args.draws) / args.draws for tokens in TOKENS]
        print(f"{test.__name__.replace('_', ' '):28s}" + "".join(f"{share:8.3f}" for share in shares), flush=True)


if __name__ == "__main__":
    main()
