import numpy as np
import pytest

from analysis.texts.chance import (
    FEWEST_TEXTS,
    alone,
    corrected,
    exchanges,
    levels,
    p_value,
    places,
    reversals,
    rotations,
    text_interval,
)


def test_a_rotation_stays_in_its_text_and_keeps_the_order():
    turned = rotations([3, 1, 4], draws=50)
    for draw in turned.tolist():
        for first, count in ((0, 3), (3, 1), (4, 4)):
            part = [index - first for index in draw[first : first + count]]
            assert [(index - part[0]) % count for index in part] == list(range(count))
    assert len({tuple(draw) for draw in turned.tolist()}) > 5, "texts turn by offsets of their own"


def test_a_reversal_leaves_a_text_as_it_is_or_reads_it_backwards():
    draws = reversals([3, 1, 4], draws=50).tolist()
    assert {tuple(draw[:3]) for draw in draws} == {(0, 1, 2), (2, 1, 0)}
    assert {tuple(draw[4:]) for draw in draws} == {(4, 5, 6, 7), (7, 6, 5, 4)}
    assert {draw[3] for draw in draws} == {3} and len({tuple(draw) for draw in draws}) == 4


def test_an_exchange_keeps_positions_and_uses_every_value_once():
    place = places([3, 1, 4])
    assert place.tolist() == [0, 1, 2, 0, 0, 1, 2, 3]
    for draw in exchanges([3, 1, 4], place, draws=50):
        assert sorted(draw) == list(range(8)) and (place[draw] == place).all()


def test_texts_of_one_length_exchange_whole_series():
    text = np.arange(12) // 4
    draws = text[exchanges([4, 4, 4], places([4, 4, 4]), draws=200)]
    assert (draws.reshape(200, 3, 4) == draws[:, ::4, None]).all()
    assert len({tuple(draw) for draw in draws.tolist()}) == 6, "every order of three texts is drawn"


def test_where_the_given_text_has_ended_the_one_given_to_it_goes_on():
    """Texts of 1, 2 and 2 tokens: 0 | 1 2 | 3 4. Given text 0, text 1 takes its only token and goes on with the text
    that text 0 was given."""
    draws = exchanges([1, 2, 2], places([1, 2, 2]), draws=200).tolist()
    assert {tuple(draw) for draw in draws} == {
        (0, 1, 2, 3, 4), (0, 3, 4, 1, 2), (1, 0, 2, 3, 4), (3, 1, 2, 0, 4), (3, 0, 4, 1, 2), (1, 3, 4, 0, 2),
    }  # fmt: skip


def test_a_token_at_a_position_of_no_other_text_is_counted_and_stays():
    lengths, positions = [2, 3], np.array([0, 2, 0, 1, 2])  # the first text lacks the token at position 1
    assert alone(lengths, positions).tolist() == [False, False, False, True, False]
    draws = exchanges(lengths, positions, draws=50).tolist()
    assert {tuple(draw) for draw in draws} == {(0, 1, 2, 3, 4), (2, 4, 0, 3, 1)}
    assert not alone([], np.zeros(0, int)).size


def test_texts_held_apart_never_keep_their_own_and_rotate_what_is_alone():
    draws = exchanges([3, 1], places([3, 1]), draws=50, apart=True).tolist()
    assert {tuple(draw) for draw in draws} == {(3, 1, 2, 0), (3, 2, 1, 0)}
    alone_in_the_world = exchanges([3], places([3]), draws=50, apart=True).tolist()
    assert {tuple(draw) for draw in alone_in_the_world} == {(0, 1, 2), (1, 2, 0), (2, 0, 1)}


def test_levels_of_texts_are_told_from_their_lengths_and_a_trend():
    lengths, level = [6, 20, 40], np.array([0.0, 5, -3])
    place = places(lengths)
    found = levels(np.repeat(level, lengths) - 0.5 * place, lengths, place)
    assert found - found[0] == pytest.approx(level, abs=1e-3)


def test_rotations_are_the_same_for_the_same_seed():
    assert (rotations([9, 9], 5, seed=3) == rotations([9, 9], 5, seed=3)).all()
    assert (rotations([9, 9], 5, seed=3) != rotations([9, 9], 5, seed=4)).any()


def test_p_counts_draws_that_reach_the_observed_and_the_observed_itself():
    null = np.array([[0.1, 0.0], [0.2, 0.0], [0.3, 0.0]])
    assert p_value(np.array([0.2, 1.0]), null).tolist() == [0.75, 0.25]
    assert np.isnan(p_value(np.array([np.nan, 1.0]), null)).tolist() == [True, False]


def test_correction_is_benjamini_hochbergs_and_leaves_out_the_missing():
    assert corrected(np.array([0.01, np.nan, 0.04, 0.03])) == pytest.approx([0.03, np.nan, 0.04, 0.04], nan_ok=True)
    assert np.isnan(corrected(np.full(2, np.nan))).all()


def test_interval_of_texts_that_agree_is_a_point():
    low, high = text_interval(np.full((6, 1), 2.0), np.full((6, 1), 4.0))
    assert (low, high) == (0.5, 0.5)


def test_interval_is_missing_with_few_texts():
    parts, weights = np.ones((FEWEST_TEXTS, 2)), np.ones((FEWEST_TEXTS, 2))
    weights[0, 1] = parts[0, 1] = 0  # of the second quantity, one text says nothing
    assert np.isnan(text_interval(parts, weights)[0]).tolist() == [False, True]


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(30, 300))  # 30 texts, 300 experiments, truth 0
    low, high = text_interval(means * 7, np.full_like(means, 7))
    assert 0.88 < ((low < 0) & (high > 0)).mean() < 0.98
