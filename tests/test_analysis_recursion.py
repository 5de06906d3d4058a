import numpy as np
import pytest

from analysis.recursion import depth_margin, depth_table, loop_shares, margin_table
from tests.traces import make_trace, random_trace


def test_loop_shares_of_a_layer_sum_to_one():
    shares = loop_shares(make_trace(loops=[[1, 1, 4, 2]]))
    assert shares["share"].tolist() == [0.5, 0.25, 0, 0.25]


def test_loop_shares_leave_out_special_tokens():
    assert loop_shares(make_trace(loops=[[4, 1]], special=[True, False]))["tokens"].tolist() == [1, 0, 0, 0]


def test_margin_is_winner_minus_runner_up():
    logits = np.array([[[0.25, 2.0, 1.5, -3.0]]], np.float32)
    assert depth_margin(make_trace(loops=[[2]], depth_logits=logits)).tolist() == [[0.5]]


def test_margin_of_a_model_with_one_loop_is_missing():
    assert np.isnan(depth_margin(make_trace(loops=[[1, 1]], max_loops=1))).all()


def test_near_misses_are_marked():
    logits = np.array([[[0.0, 0.1, -9, -9], [0.0, 1.0, -9, -9]]], np.float32)
    assert margin_table(make_trace(loops=[[2, 2]], depth_logits=logits))["near_miss"].tolist() == [True, False]


def test_depth_table_marks_one_choice_per_cell():
    trace = random_trace(layers=2, tokens=3)
    table = depth_table(trace)
    assert table.groupby(["layer", "token"])["ran"].sum().eq(1).all()
    assert table.loc[table["ran"], "loops"].tolist() == trace.loops.ravel().tolist()
    assert table.groupby(["layer", "token"])["probability"].sum().to_list() == pytest.approx([1] * 6, abs=1e-5)
