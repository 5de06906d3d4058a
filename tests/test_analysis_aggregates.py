"""View, labels and averages: what every subject rests on."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.aggregate import mean_over_tokens
from analysis.export.captions import worse_than_guessing
from analysis.overview import compute_table, ffn_equivalents, loops_by_layer, overview_numbers
from analysis.view import View, window_around
from analysis.words.labels import plotly_text, token_label, token_labels
from tests.traces import HOSTILE, make_trace, random_trace


def test_window_is_none_when_the_text_fits():
    assert window_around(10, 256) is None


@pytest.mark.parametrize("token", [0, 1, 63, 64, 200, 1315])
def test_window_holds_its_token_and_stays_in_the_text(token):
    first, end = window_around(token, 1316)
    assert 0 <= first <= token < end <= 1316
    assert end - first == 256


def test_window_does_not_move_with_every_step():
    windows = {window_around(token, 1316) for token in range(400, 500)}
    assert len(windows) <= 2


def test_window_outside_the_text_is_refused():
    with pytest.raises(ValueError, match="holds no token of a text of 2 tokens"):
        View(window=(5, 9)).span(2)


def test_labels_drop_the_leading_space_but_not_white_space_itself():
    trace = make_trace(loops=[[1] * 4], tokens=["␣call", "␣", "␣␣", "↵␣␣␣␣"])
    assert token_labels(trace) == ["call", "␣", "␣␣", "↵␣×4"]


def test_long_labels_are_cut():
    trace = make_trace(loops=[[1]], tokens=["␣internationalisation"])
    assert token_labels(trace) == ["internation…"]


def test_first_piece_of_a_character_shows_it_whole_and_later_pieces_their_bytes():
    trace = make_trace(loops=[[1] * 4], tokens=["⟨F0 9F⟩", "⟨98⟩", "⟨80⟩", "!"])
    assert token_labels(trace) == ["😀", "⟨98⟩", "⟨80⟩", "!"]


def test_unfinished_character_stays_bytes():
    assert token_labels(make_trace(loops=[[1, 1]], tokens=["⟨F0 9F⟩", "a"])) == ["⟨F0 9F⟩", "a"]


def test_repeated_tokens_keep_one_label_each():
    assert token_labels(make_trace(loops=[[1, 1]], tokens=["␣a", "␣a"])) == ["a", "a"]


def test_plotly_text_is_literal():
    assert plotly_text("<b>$x$ & **") == "&lt;b&gt;&#36;x&#36; &amp; **"


@pytest.mark.parametrize("token", HOSTILE)
def test_plotly_text_leaves_no_tag_and_no_dollar(token):
    assert not set("<>$") & set(plotly_text(token))


def test_means_leave_out_special_tokens():
    trace = make_trace(loops=[[4, 1, 2]], special=[True, False, False])
    assert mean_over_tokens(trace, trace.loops).tolist() == [1.5]


def test_means_of_a_text_of_special_tokens_are_missing():
    trace = make_trace(loops=[[4]], special=[True])
    assert np.isnan(mean_over_tokens(trace, trace.loops)).all()
    assert np.isnan(overview_numbers(trace).mean_loops)


def test_width_path_costs_k_of_n_experts_only_where_it_ran():
    trace = make_trace(loops=[[1, 4]], num_experts=8, k=2)
    assert ffn_equivalents(trace).tolist() == [[1.25, 4.0]]


def test_overview_numbers_of_a_text_worked_out_by_hand():
    numbers = overview_numbers(make_trace(loops=[[1, 4], [2, 4]], num_experts=4, k=2))
    assert numbers.mean_loops == 2.75
    assert numbers.mean_gate == pytest.approx((0.75 + 0 + 0.5 + 0) / 4)
    assert numbers.did_not_route == 0.5
    assert numbers.ffn_equivalents == pytest.approx((1.5 + 4 + 2.5 + 4) / 4)


@pytest.mark.parametrize(
    ("surprisals", "vocabulary", "told"),
    [
        ([9, 9, 9, 9, 2.1], 1_000, "equally likely (7.6 against 6.9 nats per token)"),
        ([9, 9, 9, 1, 2.1], 1_000, None),
        ([9, 9, 9, 9], 1_000, None),
        ([9, 9, 9, 9, 2.1], None, None),
    ],
)
def test_a_text_that_is_predicted_worse_than_by_guessing_is_told(surprisals, vocabulary, told):
    count = len(surprisals) + 2
    trace = make_trace(
        loops=[[1] * count],
        special=[False] * (count - 1) + [True],
        logprob=-np.array([np.nan, *surprisals, 99], np.float32),
        meta={"config": {"vocab_size": vocabulary} if vocabulary else {}, "text": "x"},
    )
    found = worse_than_guessing(trace)
    assert told in found if told else found is None
    assert worse_than_guessing(replace(trace, meta=trace.meta | {"gates_trained": False})) is None


def test_compute_of_a_token_is_its_depth_and_width_part():
    table = compute_table(make_trace(loops=[[1, 4], [3, 4]]))
    assert table["depth"].tolist() == [2, 4]
    assert table["width"].tolist() == [0.5, 0]
    assert table["total"].tolist() == [2.5, 4]


def test_loops_by_layer_gives_the_middle_of_the_tokens():
    table = loops_by_layer(make_trace(loops=[[1, 2, 3, 4, 1]], special=[False] * 4 + [True]))
    assert table["mean_loops"].tolist() == [2.5]
    assert table["loops_p10"].tolist() == [1]
    assert table["loops_p90"].tolist() == [4]
    assert table["tokens"].tolist() == [4]


def test_label_of_one_token_is_that_among_all():
    trace = random_trace(layers=1, tokens=len(HOSTILE), words=HOSTILE)
    assert [token_label(trace, token) for token in range(len(HOSTILE))] == token_labels(trace)
