import numpy as np
import pytest

from analysis.gate import gate_along_text, gate_along_text_table, gate_by_chance, gate_level_shares, gate_levels
from tests.traces import make_trace, random_trace


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


@pytest.mark.parametrize("smooth", [1, 2, 3, 7])
def test_running_mean_is_the_mean_of_the_tokens_around(smooth):
    trace = random_trace(layers=3, tokens=12)
    gate, ends = trace.gate.mean(axis=0), np.arange(12) + smooth // 2 + 1
    expected = [gate[max(0, end - smooth) : end].mean() for end in ends]
    assert gate_along_text(trace, smooth) == pytest.approx(expected)


def test_chance_of_single_tokens_is_the_middle_of_their_values():
    """Unsmoothed, any order has the same values: of 80 of them 2 lie below the lower bound, 2 above the upper one."""
    trace = make_trace(loops=[[4] * 3 + [3] * 37 + [2] * 37 + [1] * 3])
    low, high = gate_by_chance(trace, smooth=1)
    assert set(low) == {0} and set(high) == {0.75}
    trace = make_trace(loops=[[4] * 1 + [3] * 39 + [2] * 39 + [1] * 1])
    low, high = gate_by_chance(trace, smooth=1)
    assert set(low) == {0.25} and set(high) == {0.5}


def test_chance_of_a_mean_over_the_whole_text_is_that_mean():
    trace = make_trace(loops=[[1, 4, 1, 4]])
    assert gate_by_chance(trace, smooth=7) == pytest.approx(np.full((2, 4), 0.375))


def test_chance_is_as_wide_as_the_tokens_averaged_are_few_and_skips_special_ones():
    """Of three tokens .75, .75 and 0: two together have .75 or .375, three have .5; the special one counts nowhere."""
    low, high = gate_by_chance(make_trace(loops=[[4, 1, 1, 4]], special=[True, False, False, False]), smooth=3)
    assert low == pytest.approx([0, 0.375, 0.5, 0.375]) and high == pytest.approx([0.75, 0.75, 0.5, 0.75])


def test_band_holds_shuffled_tokens_and_not_a_text_of_two_halves():
    loops = np.repeat([1, 4], 100)
    low, high = gate_by_chance(make_trace(loops=loops[None]))
    line = gate_along_text(make_trace(loops=loops[None]))
    assert ((line < low) | (line > high)).mean() > 0.9
    line = gate_along_text(make_trace(loops=np.random.default_rng(5).permutation(loops)[None]))
    assert ((line < low) | (line > high)).mean() < 0.1
    np.testing.assert_array_equal(gate_by_chance(make_trace(loops=loops[None])), [low, high])


def test_text_of_special_tokens_alone_has_no_band():
    assert np.isnan(gate_by_chance(make_trace(loops=[[1, 2]], special=[True, True]))).all()


def test_table_along_the_text_holds_the_line_and_its_band():
    trace = random_trace(layers=3, tokens=30)
    table = gate_along_text_table(trace)
    of_layer = table[table["layer"] == 2]
    np.testing.assert_array_equal(of_layer["gate"], trace.gate[2])
    np.testing.assert_array_equal(of_layer["smoothed"], gate_along_text(trace))
    np.testing.assert_array_equal(of_layer[["chance_low", "chance_high"]].T, gate_by_chance(trace))
