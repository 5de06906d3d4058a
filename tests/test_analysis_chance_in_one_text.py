"""Chance within one text: loads alone make no pair stand out, a bound pair does; shifts keep the order."""

import dataclasses

import numpy as np
import pytest

from analysis.difficulty import rank_correlation
from analysis.figures import difficulty_surprisal_figure, expert_pairs_figure
from analysis.texts.chance import (
    FEWEST_TOKENS,
    all_pairs_against_chance,
    pairs_against_chance,
    reach_of_chance,
    rho_by_chance,
)
from tests.traces import make_trace, random_trace


def chosen(pairs, **fields):
    """One layer in which all tokens route to the given pairs."""
    return make_trace(loops=[[1] * len(pairs)], num_experts=8, expert_ids=np.array([pairs]), **fields)


def test_pairs_drawn_by_their_loads_lie_beyond_chance_in_at_most_five_per_cent():
    rng = np.random.default_rng(0)
    outside = known = 0
    for _ in range(200):
        pairs = [rng.choice(8, size=2, replace=False, p=np.arange(1, 9) / 36) for _ in range(200)]
        table = pairs_against_chance(chosen(pairs), 0)
        outside, known = outside + table["outside"].sum(), known + table["lift_log2"].notna().sum()
    assert known > 2000 and 0 < outside <= 0.05 * known


def test_a_pair_that_is_bound_together_stands_out_and_is_bold():
    rng = np.random.default_rng(1)
    trace = chosen([rng.choice(8, size=2, replace=False) for _ in range(300)] + [[0, 1]] * 60)
    table = pairs_against_chance(trace, 0).set_index(["first", "second"])
    bound = table.loc[(0, 1)]
    assert bound["outside"] and bound["lift_log2"] > bound["chance_high"] > 0 > bound["chance_low"]
    drawn = expert_pairs_figure(trace)
    bold = sum(text.startswith("<b>") for data in drawn.data if data.type == "scatter" for text in data.text)
    assert bold == 2 * table["outside"].sum()
    assert f"{table['outside'].sum()} of 28 pairs (chance: up to 1.4)" in drawn.layout.annotations[1].text


def test_pairs_that_are_too_rare_have_no_range_and_layers_stand_below_each_other():
    table = all_pairs_against_chance(random_trace(3, 9, 8))
    assert table["chance_low"].isna().all() and not table["outside"].any()
    assert table["layer"].unique().tolist() == [0, 1, 2]
    nobody = all_pairs_against_chance(make_trace(loops=[[4] * 6]))
    assert not nobody["outside"].any()


def test_reach_of_chance_equals_what_is_found_by_hand():
    """20 tokens have 20 shifts, so none may reach further than the farthest: no two lone peaks meet, at most 10 tokens
    are left in common, and peaks at two of 10 places correlate by -1/9."""
    first, second = np.zeros((2, 20))
    first[2] = second[14] = 1
    assert reach_of_chance(first, second) == pytest.approx(1 / 9)
    second[[8, 14]] = 1, 0  # a shift by 6 brings them together
    assert reach_of_chance(first, second) == pytest.approx(1)
    assert np.isnan(reach_of_chance(first, np.ones(20)))


def test_rho_of_unrelated_series_lies_within_its_range_and_of_a_bound_one_beyond():
    trace = random_trace(4, 200, 8, seed=3)
    rng = np.random.default_rng(3)
    apart = dataclasses.replace(trace, logprob=rng.permutation(trace.logprob[1:]).astype(np.float32)[[0, *range(199)]])
    assert abs(rank_correlation(apart)[0]) < rho_by_chance(apart) < 0.3
    far = rho_by_chance(trace)  # its hard tokens are surprising
    assert rank_correlation(trace)[0] > far
    assert f"by chance within ±{far:.2f}" in difficulty_surprisal_figure(trace).layout.annotations[0].text


@pytest.mark.parametrize("tokens", [1, 3, FEWEST_TOKENS])  # the first token has no surprisal
def test_short_texts_have_no_range_and_the_figure_says_so(tokens):
    trace = random_trace(2, tokens, 8)
    assert np.isnan(rho_by_chance(trace))
    if tokens > 3:
        assert "below 20: no range of chance" in difficulty_surprisal_figure(trace).layout.annotations[0].text
