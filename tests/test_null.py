"""Chance within one text: loads alone make no pair stand out, a bound pair does; rotations keep the order."""

import dataclasses

import numpy as np
import pytest

from analysis.difficulty import rank_correlation
from analysis.figures import difficulty_surprisal_figure, expert_pairs_figure
from analysis.null import FEWEST_ROTATIONS, all_pairs_against_chance, pairs_against_chance, rho_by_chance
from tests.traces import make_trace, random_trace


def chosen(pairs, **fields):
    """One layer in which all tokens route to the given pairs."""
    return make_trace(loops=[[1] * len(pairs)], num_experts=8, expert_ids=np.array([pairs]), **fields)


def test_pairs_drawn_by_their_loads_lie_within_chance_about_as_often_as_promised():
    rng = np.random.default_rng(0)
    outside = known = 0
    for _ in range(20):
        pairs = [rng.choice(8, size=2, replace=False, p=np.arange(1, 9) / 36) for _ in range(600)]
        table = pairs_against_chance(chosen(pairs), 0)
        outside, known = outside + table["outside"].sum(), known + table["lift_log2"].notna().sum()
    assert 0.005 < outside / known < 0.08


def test_a_pair_that_is_bound_together_stands_out_and_is_bold():
    rng = np.random.default_rng(1)
    trace = chosen([rng.choice(8, size=2, replace=False) for _ in range(300)] + [[0, 1]] * 60)
    table = pairs_against_chance(trace, 0).set_index(["first", "second"])
    bound = table.loc[(0, 1)]
    assert bound["outside"] and bound["lift_log2"] > bound["chance_high"] > 0 > bound["chance_low"]
    drawn = expert_pairs_figure(trace)
    bold = sum(text.startswith("<b>") for data in drawn.data if data.type == "scatter" for text in data.text)
    assert bold == 2 * table["outside"].sum()
    assert f"{table['outside'].sum()} of 28 pairs (chance: up to 1.4)" in drawn.layout.annotations[0].text


def test_pairs_that_are_too_rare_have_no_range_and_layers_stand_below_each_other():
    table = all_pairs_against_chance(random_trace(3, 9, 8))
    assert table["chance_low"].isna().all() and not table["outside"].any()
    assert table["layer"].unique().tolist() == [0, 1, 2]
    nobody = all_pairs_against_chance(make_trace(loops=[[4] * 6]))
    assert not nobody["outside"].any()


def test_rho_of_unrelated_series_lies_within_its_range_and_of_a_bound_one_beyond():
    trace = random_trace(4, 200, 8, seed=3)
    rng = np.random.default_rng(3)
    apart = dataclasses.replace(trace, logprob=rng.permutation(trace.logprob[1:]).astype(np.float32)[[0, *range(199)]])
    low, high = rho_by_chance(apart)
    assert low < 0 < high < 0.3 and low < rank_correlation(apart)[0] < high
    low, high = rho_by_chance(trace)  # its hard tokens are surprising
    assert rank_correlation(trace)[0] > high
    assert f"by chance {low:.2f} to {high:.2f}" in difficulty_surprisal_figure(trace).layout.annotations[0].text


@pytest.mark.parametrize("tokens", [1, 3, FEWEST_ROTATIONS])
def test_short_texts_have_no_range(tokens):
    assert np.isnan(rho_by_chance(random_trace(2, tokens, 8))).all()
