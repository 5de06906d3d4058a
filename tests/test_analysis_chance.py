from itertools import product

import numpy as np
import pytest
from scipy.stats import t as student

from analysis.texts import orders
from analysis.texts.chance import FEWEST_TEXTS, corrected, least_p, levels, p_value, text_interval
from analysis.texts.orders import ALL_REVERSALS, DRAWS, alone, places


def whole(make):
    """All blocks of orders as one array."""
    return lambda *given, **how: np.vstack([*make(*given, **how)])


exchanges, parted, reversals, rotations = map(
    whole, (orders.exchanges, orders.parted, orders.reversals, orders.rotations)
)


def test_a_rotation_stays_in_its_text_and_keeps_the_order():
    turned = rotations([3, 1, 4], draws=50)
    for draw in turned.tolist():
        for first, count in ((0, 3), (3, 1), (4, 4)):
            part = [index - first for index in draw[first : first + count]]
            assert [(index - part[0]) % count for index in part] == list(range(count))
    assert len({tuple(draw) for draw in turned.tolist()}) > 5, "texts turn by offsets of their own"


def test_every_choice_of_few_texts_is_read_backwards_once_and_none_of_them_first():
    orders = reversals([3, 1, 4]).tolist()
    assert orders[0] == list(range(8)) and len(orders) == 4, "one token has no order"
    every = product([(0, 1, 2), (2, 1, 0)], [(3,)], [(4, 5, 6, 7), (7, 6, 5, 4)])
    assert {tuple(order) for order in orders} == {sum(each, ()) for each in every}


@pytest.mark.parametrize("texts", [5, 8, ALL_REVERSALS, ALL_REVERSALS + 1, 31, 600])
def test_reversals_of_any_number_of_texts_are_a_group_in_which_each_is_turned_in_half(texts):
    turned = (reversals([2] * texts, seed=3) != np.arange(2 * texts))[:, ::2]
    assert len(turned) == 2 ** min(texts, ALL_REVERSALS) and not turned[0].any()
    assert (turned.mean(axis=0) == 0.5).all()
    known = {each.tobytes() for each in turned}
    assert len(known) == len(turned), "no order counts twice"
    assert all((one ^ other).tobytes() in known for one in turned[::37] for other in turned[::29])


@pytest.mark.parametrize(("texts", "draws", "number"), [(12, 9, 16), (12, 99, 128), (9, 9, 512), (40, 4, 16)])
def test_of_many_texts_fewer_draws_count_a_smaller_group_of_reversals_and_p_says_so(texts, draws, number):
    turned = (reversals([2] * texts, draws) != np.arange(2 * texts))[:, ::2]
    assert len(turned) == number and (turned.mean(axis=0) == 0.5).all() and not turned[0].any()
    assert least_p(texts, keep_position=False, draws=draws) == 1 / number


def test_reversals_of_texts_of_one_code_can_be_summed_at_once():
    lengths, values = [2] * 20, np.random.default_rng(0).integers(0, 9, 40)
    chosen, text = orders.turns(lengths, 99), np.arange(40) // 2
    weigh = np.arange(40) % 2  # the second token of each text
    every = (values[reversals(lengths, 99)] * weigh).sum(axis=1)
    codes = chosen.turned.shape[1]
    sums = [np.bincount(chosen.code[text], each * weigh, codes) for each in (values, values[orders.backwards(lengths)])]
    assert chosen.summed(*sums).tolist() == every.tolist()


def test_an_exchange_keeps_positions_and_uses_every_value_once():
    place = places([3, 1, 4])
    assert place.tolist() == [0, 1, 2, 0, 0, 1, 2, 3]
    for draw in exchanges([3, 1, 4], place, draws=50):
        assert sorted(draw) == list(range(8)) and (place[draw] == place).all()


def test_texts_of_one_length_exchange_whole_series():
    text = np.arange(12) // 4
    draws = text[exchanges([4, 4, 4], places([4, 4, 4]))]
    assert (draws.reshape(6, 3, 4) == draws[:, ::4, None]).all()
    assert len({tuple(draw) for draw in draws.tolist()}) == 6, "every order of three texts is there once"


def test_of_more_texts_exchanges_are_drawn_and_a_text_without_tokens_takes_no_part():
    assert len(exchanges([2] * 6, places([2] * 6))) == 720
    drawn = exchanges([2] * 7, places([2] * 7), draws=50)
    assert len(drawn) == 51 and drawn[0].tolist() == list(range(14))
    assert exchanges([2, 0, 2], places([2, 0, 2])).tolist() == [[0, 1, 2, 3], [2, 3, 0, 1]]


def test_where_the_given_text_has_ended_the_one_given_to_it_goes_on():
    """Texts of 1, 2 and 2 tokens: 0 | 1 2 | 3 4. Given text 0, text 1 takes its only token and goes on with the text
    that text 0 was given."""
    draws = exchanges([1, 2, 2], places([1, 2, 2])).tolist()
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
    draws = parted([3, 1], places([3, 1]), draws=50).tolist()
    assert {tuple(draw) for draw in draws} == {(3, 1, 2, 0), (3, 2, 1, 0)}
    alone_in_the_world = parted([3], places([3]), draws=50).tolist()
    assert {tuple(draw) for draw in alone_in_the_world} == {(0, 1, 2), (1, 2, 0), (2, 0, 1)}


def test_levels_of_texts_are_told_from_their_lengths_and_a_trend():
    lengths, level = [6, 20, 40], np.array([0.0, 5, -3])
    place = places(lengths)
    found = levels(np.repeat(level, lengths) - 0.5 * place, lengths, place)
    assert found - found[0] == pytest.approx(level, abs=1e-3)


def test_rotations_are_the_same_for_the_same_seed():
    assert (rotations([9, 9], 5, seed=3) == rotations([9, 9], 5, seed=3)).all()
    assert (rotations([9, 9], 5, seed=3) != rotations([9, 9], 5, seed=4)).any()


def test_p_counts_orders_that_reach_the_observed_and_the_observed_itself():
    values = np.array([[0.2, 1.0, np.nan], [0.1, 0.0, 0], [0.2, 0.0, 0], [0.3, 0.0, 0]])
    assert p_value(values) == pytest.approx([0.75, 0.25, np.nan], nan_ok=True)


def test_least_p_is_one_in_all_orders_and_for_what_is_mirrored_two():
    assert least_p([5, 6, 8, 31]).tolist() == [1 / 32, 1 / 64, 1 / 256, 1 / (1 + DRAWS)]
    mirrored = least_p([5, 6, 8, 31], keep_position=False, mirrored=True)
    assert mirrored.tolist() == [1 / 16, 1 / 32, 1 / 128, 1 / 512]
    assert least_p(1) == 1


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


def test_interval_of_texts_of_one_length_is_students():
    values = np.array([1.0, 2, 4, 4, 9])
    low, high = text_interval(values * 7, np.full(5, 7.0))
    assert (low, high) == pytest.approx(student.interval(0.95, 4, values.mean(), values.std(ddof=1) / np.sqrt(5)))
    assert text_interval(values * 7, np.full(5, 7.0), least=3, most=5) == (3, 5)


def test_where_one_text_has_nearly_all_tokens_the_interval_is_that_of_two():
    values, weights = np.array([0.5, 0.1, 0.9, 0.3, 0.7]), np.array([1000.0, 1, 1, 1, 1])
    low, high = text_interval(values * weights, weights)
    deviation = np.sqrt(0.8 * np.square((values @ weights - values * weights) / (1004 - weights) - 0.5).sum())
    assert high - low == pytest.approx(2 * student.ppf(0.975, 1) * deviation, rel=1e-3)
