"""A quick version of the benchmark: chance is seldom taken for a finding, and intervals hold the truth.

Where the position is held fixed, a trend that both series share is nothing, too.
"""

from functools import partial

import pytest
from scipy.stats import binom

from analysis.texts.chance import least_p
from benchmarks.chance import (
    INTERVALS,
    LEVEL,
    TESTS,
    TOKENS,
    coverage,
    mean_of_texts_to_one_side,
    name_of,
    p_values,
    rho_of_one_text,
    rho_with_position,
)

PAIRS = 40
EVERY_TEST = [pytest.param(test, id=f"{name_of(test)}, {planted}") for planted, of in TESTS.items() for test in of]


@pytest.mark.parametrize("test", EVERY_TEST)
def test_series_with_nothing_between_them_are_called_related_in_at_most_five_per_cent(test):
    """By the app's own seed, and p is never smaller than the number of texts allows."""
    found = 0
    for texts, draws in ((5, 400), (8, 39)):
        p = p_values(test, texts, PAIRS, draws=draws)
        alone = test is rho_with_position
        assert (p >= least_p(texts, keep_position=not alone, mirrored=alone, draws=draws) - 1e-12).all()
        found += (p <= LEVEL).sum()
    assert found <= binom.ppf(0.99, 2 * PAIRS, LEVEL)  # a test that keeps 5 % exactly scatters so far


@pytest.mark.parametrize("texts", [6, 8])
def test_no_seed_makes_a_trend_along_the_text_too_easy_to_find(texts):
    p = p_values(rho_with_position, texts, 150, seeds=(0, 1))
    assert ((p <= LEVEL).sum(axis=0) <= binom.ppf(0.99, 150, LEVEL)).all()
    assert (p[:, 0] == p[:, 1]).all(), "every reversal is counted: nothing is drawn"


def test_unrelated_series_of_one_text_are_called_related_in_at_most_five_per_cent():
    found = [(p_values(rho_of_one_text, tokens, 200) <= LEVEL).sum() for tokens in TOKENS]
    assert sum(found) <= LEVEL * 200 * len(TOKENS)
    assert max(found) <= binom.ppf(0.99, 200, LEVEL)


@pytest.mark.parametrize("interval", INTERVALS, ids=name_of)
def test_intervals_of_few_texts_hold_the_truth_in_at_least_92_per_cent(interval):
    """But 90 % where a few texts lie far to one side, as the benchmark says."""
    least = 0.9 if interval is mean_of_texts_to_one_side else 0.92
    held = partial(coverage, interval, times=1000)
    assert min(held(texts) for texts in (5, 12)) >= least
