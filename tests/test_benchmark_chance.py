"""Series with nothing between them are seldom called related, however short the texts: 200 pairs through every test.

Where the position is held fixed, a trend that both series share is nothing, too.
"""

import pytest
from scipy.stats import binom

from benchmarks.chance import LEVEL, TESTS, TOKENS, name_of, rejected

DRAWS = 200


@pytest.mark.parametrize(
    "test",
    [pytest.param(test, id=f"{name_of(test)}, {planted}") for planted, tests in TESTS.items() for test in tests],
)
def test_series_with_nothing_between_them_are_called_related_in_at_most_five_per_cent(test):
    found = [rejected(test, tokens, DRAWS) for tokens in TOKENS]
    print(name_of(test), dict(zip(TOKENS, (each / DRAWS for each in found), strict=True)))
    assert sum(found) <= LEVEL * DRAWS * len(TOKENS)
    assert max(found) <= binom.ppf(0.99, DRAWS, LEVEL)  # a test that keeps 5 % exactly scatters so far in 200 draws
