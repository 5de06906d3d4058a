"""Unrelated series are seldom called related, however short the texts: 200 pairs of them through every test."""

import pytest
from scipy.stats import binom

from benchmarks.chance import LEVEL, TESTS, TOKENS, rejected

DRAWS = 200


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.__name__)
def test_unrelated_series_are_called_related_in_at_most_five_per_cent(test):
    found = [rejected(test, tokens, DRAWS) for tokens in TOKENS]
    print(test.__name__, dict(zip(TOKENS, (each / DRAWS for each in found), strict=True)))
    assert sum(found) <= LEVEL * DRAWS * len(TOKENS)
    assert max(found) <= binom.ppf(0.99, DRAWS, LEVEL)  # a test that keeps 5 % exactly scatters so far in 200 draws
