import numpy as np
import pytest

from analysis.difficulty import (
    difficulty_by_loops,
    difficulty_extremes,
    difficulty_surprisal,
    rank_correlation,
    token_difficulty,
)
from analysis.figures import difficulty_surprisal_figure
from tests.traces import make_trace, random_trace


def certain(**fields):
    """Tokens of rising difficulty 0, 1/3, 2/3, 1 in one layer, with the choice all but certain."""
    return make_trace(loops=[[1, 2, 3, 4]], **fields)


def test_token_difficulty_is_the_mean_over_layers():
    trace = make_trace(loops=[[1, 4], [4, 4]])
    assert token_difficulty(trace, "hard").tolist() == [0.5, 1.0]
    assert token_difficulty(trace, "soft") == pytest.approx([0.5, 1.0], abs=1e-6)


def test_rank_correlation_of_rising_surprise_is_one():
    surprise = np.array([np.nan, 1, 2, 3], np.float32)
    assert rank_correlation(certain(logprob=-surprise)) == (pytest.approx(1), 3)


def test_rank_correlation_with_the_next_token_shifts_by_one():
    surprise = np.array([np.nan, 3, 2, 1], np.float32)
    assert rank_correlation(certain(logprob=-surprise), "next") == (pytest.approx(-1), 3)


def test_rank_correlation_needs_three_tokens_and_some_spread():
    assert np.isnan(rank_correlation(make_trace(loops=[[1, 2]]))[0])
    assert np.isnan(rank_correlation(certain())[0])  # every token is as surprising as the next


def test_rank_correlation_leaves_out_special_tokens():
    assert rank_correlation(certain(special=[False, True, False, False]))[1] == 2


def test_the_last_word_does_not_predict_an_appended_special_token():
    trace = make_trace(loops=[[1, 2, 3, 4, 1]], special=[False, False, False, False, True])
    assert rank_correlation(trace, "next")[1] == 3
    assert difficulty_surprisal(trace)["surprisal_next"].isna().tolist() == [False, False, False, True]
    assert len(difficulty_surprisal_figure(trace, of="next").data[0].x) == 3


def test_extremes_run_from_hardest_to_easiest_without_repeats():
    found = difficulty_extremes(certain(), count=3)
    assert found["token"].tolist() == [3, 2, 1, 0]
    assert list(found.columns) == ["token", "text", "difficulty", "surprisal"]


def test_extremes_of_a_long_text_are_both_ends():
    found = difficulty_extremes(certain(), count=1)
    assert found["token"].tolist() == [3, 0]


def test_difficulty_by_loops_has_one_row_per_pair_of_layer_and_token():
    trace = random_trace(layers=3, tokens=5)
    table = difficulty_by_loops(trace)
    assert table[["layer", "token"]].to_numpy().tolist() == [[layer, token] for layer in range(3) for token in range(5)]
    assert table["loops"].tolist() == trace.loops.ravel().tolist()
    assert table["difficulty_soft"].tolist() == trace.difficulty_soft.ravel().tolist()
