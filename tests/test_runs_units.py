"""Intervals and p over prompts: how often they hold what is true, where the tokens of a prompt choose alike."""

import numpy as np
import pytest
from scipy.stats import binom

from analysis.runs.units import by_unit, differences, p_of, shares_of

TRIALS = 4_000


def drawn(units: int, tokens: int, true: float, alike: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Counts [unit, trial] of tokens that made a choice, of 1 to `tokens` ones; units have shares around `true`."""
    rng = np.random.default_rng(seed)
    own = rng.beta(true / alike, (1 - true) / alike, (units, TRIALS)) if alike else np.full((units, TRIALS), true)
    had = rng.integers(1, tokens + 1, (units, TRIALS))
    return rng.binomial(had, own), had


@pytest.mark.parametrize("units", [8, 30, 256])
@pytest.mark.parametrize("true", [0.04, 0.25, 0.9])
@pytest.mark.parametrize(("tokens", "alike"), [(1, 0.0), (6, 0.15), (20, 0.5)])
def test_intervals_hold_the_truth_and_p_falls_as_it_may(units, true, tokens, alike):
    found = shares_of(*drawn(units, tokens, true, alike))
    held = np.mean((found.low <= true) & (true <= found.high))
    fell = np.mean(p_of(found, true) < 0.05)
    hardest = units == 30 and alike == 0.5  # 30 prompts of which most have no such token, and few have many
    assert held >= (0.87 if hardest else 0.925)
    assert fell <= (0.13 if hardest else 0.075)


def test_p_is_below_a_twentieth_just_where_the_interval_leaves_out_what_is_expected():
    found = shares_of(*drawn(20, 5, 0.3, 0.2))
    outside = (found.low > 0.25) | (found.high < 0.25)
    assert (outside == (p_of(found, 0.25) < 0.05)).mean() > 0.999


def test_a_difference_of_two_sets_of_prompts_is_found_by_chance_as_often_as_it_may():
    one, other = (shares_of(*drawn(40, 12, 0.2, 0.1, seed)) for seed in (1, 2))
    found = differences(one, other)
    assert 0.03 < np.mean(found.p < 0.05) < 0.07
    assert 0.93 < np.mean((found.low <= 0) & (found.high >= 0)) < 0.98


def test_tokens_as_units_would_find_far_too_much():
    """What the prompts as units are for."""
    made, had = drawn(40, 20, 0.25, 0.3)
    total, count = had.sum(axis=0), made.sum(axis=0)
    p = 2 * np.minimum(binom.cdf(count, total, 0.25), binom.sf(count - 1, total, 0.25))
    assert np.mean(p < 0.05) > 0.3
    assert np.mean(p_of(shares_of(made, had), 0.25) < 0.05) < 0.075


def test_where_all_chose_alike_a_prompt_counts_as_one_token():
    had = np.full((10, 1), 50)
    found = shares_of(had, had)
    assert found.effective.tolist() == [10] and found.high.tolist() == [1]
    assert found.low[0] < 0.8, "ten prompts say no more than ten tokens"


def test_fewer_than_five_prompts_have_no_interval():
    found = shares_of(np.ones((4, 1)), np.full((4, 1), 2))
    assert found.share.tolist() == [0.5] and np.isnan([found.low, found.high, p_of(found, 0.1)]).all()


def test_counts_are_added_up_by_unit():
    assert by_unit(np.array([7, 7, 9]), np.array([0, 1, 1]), np.array([2, 3, 4]), 2).tolist() == [[2, 3], [0, 4]]
