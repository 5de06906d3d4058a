import numpy as np
import pytest

from analysis.gate import gate_along_text, gate_level_shares, gate_levels
from tests.traces import make_trace


def test_levels_follow_from_the_number_of_loops():
    assert gate_levels(make_trace(max_loops=4)) == [0.75, 0.5, 0.25, 0]
    assert gate_levels(make_trace(loops=[[1]], max_loops=1)) == [0]


def test_level_shares_of_a_layer_sum_to_one():
    shares = gate_level_shares(make_trace(loops=[[1, 1, 4, 2]]))
    assert shares["share"].tolist() == [0.5, 0.25, 0, 0.25]


def test_level_shares_leave_out_special_tokens():
    shares = gate_level_shares(make_trace(loops=[[4, 1]], special=[True, False]))
    assert shares["tokens"].tolist() == [1, 0, 0, 0]


def test_a_gate_set_between_the_levels_has_its_own_row():
    shares = gate_level_shares(make_trace(loops=[[1, 2]], gate=np.array([[1.0, 0.5]], np.float32)))
    assert shares.loc[shares["gate"].isna(), "share"].tolist() == [0.5]


def test_running_mean_shrinks_at_the_ends_and_skips_special_tokens():
    trace = make_trace(loops=[[4, 1, 1, 4]], special=[True, False, False, False])
    assert gate_along_text(trace, smooth=3) == pytest.approx([0.75, 0.75, 0.5, 0.375])
