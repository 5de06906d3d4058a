import numpy as np
import pytest

from analysis.explain.near_miss import (
    TwoPrecisions,
    expert_margin,
    flipped_by,
    gate_gap,
    near_miss_table,
    precision_flips,
    precision_numbers,
    smallest_flip,
)
from analysis.figures import flip_distance_figure, near_miss_map_figure, precision_map_figure
from analysis.recursion import depth_margin
from tests.traces import make_trace, random_trace


def chosen(*logits, **fields):
    """One layer in which every token has these depth logits and runs their argmax."""
    depth = np.array([logits], np.float32)
    return make_trace(loops=depth.argmax(-1) + 1, depth_logits=depth, **fields)


def test_expert_margin_is_last_kept_minus_first_left_out():
    router = np.array([[[0.5, 3.0, 2.0, -1.0]]], np.float32)
    trace = make_trace(loops=[[1]], expert_logits=router, expert_ids=np.array([[[1, 2]]]))
    assert expert_margin(trace).tolist() == [[1.5]]


def test_expert_margin_is_missing_where_the_token_did_not_route():
    assert np.isnan(expert_margin(make_trace(loops=[[1, 4]]))).tolist() == [[False, True]]


def test_expert_margin_is_missing_where_every_expert_is_kept():
    assert np.isnan(expert_margin(make_trace(loops=[[1]], num_experts=2))).all()


def test_smallest_flip_reaches_the_tie_and_nothing_smaller_does():
    trace = random_trace(layers=2, tokens=30)
    depth = trace.depth_logits.astype(float)
    distance = smallest_flip(depth_margin(trace).astype(float))
    best, second = np.argsort(-depth, axis=-1)[..., :2].transpose(2, 0, 1)[..., None]
    step = np.zeros_like(depth)
    np.put_along_axis(step, best, -distance[..., None] / np.sqrt(2), axis=-1)
    np.put_along_axis(step, second, distance[..., None] / np.sqrt(2), axis=-1)
    assert np.linalg.norm(step, axis=-1) == pytest.approx(distance)
    assert ((depth + 0.999 * step).argmax(-1)[..., None] == best).all()
    assert ((depth + 1.001 * step).argmax(-1)[..., None] == second).all()


def test_no_smaller_change_in_any_direction_flips_the_choice():
    trace = random_trace(layers=1, tokens=8)
    rng = np.random.default_rng(0)
    step = rng.normal(size=(500, *trace.depth_logits.shape))
    step *= 0.999 * smallest_flip(depth_margin(trace))[..., None] / np.linalg.norm(step, axis=-1, keepdims=True)
    assert ((trace.depth_logits + step).argmax(-1) + 1 == trace.loops).all()


def test_gate_gap_of_a_certain_choice_is_zero_and_of_an_even_one_leans_to_the_middle():
    assert gate_gap(make_trace(loops=[[1, 2, 4]])) == pytest.approx(0, abs=1e-6)
    # all four alike: the first wins, lambda = 0.75, but E[L] = 2.5 and the soft lambda 0.375
    assert gate_gap(chosen([0, 0, 0, 0])).tolist() == [[-0.375]]


def test_flipped_by_counts_choices_that_lie_within_the_change():
    trace = chosen([0, 1, -9, -9], [0, 2, -9, -9], [9, 0, 0, 0], special=[False, False, True])
    assert flipped_by(trace, np.array([0.5, 1 / np.sqrt(2) + 1e-6, 2.0])).tolist() == [[0, 0.5, 1]]


def test_near_miss_table_marks_no_expert_near_miss_where_nobody_routed():
    router = np.zeros((1, 2, 4), np.float32)
    table = near_miss_table(make_trace(loops=[[1, 4]], expert_logits=router))
    assert table["expert_near_miss"].tolist() == [True, False]
    assert table["expert_margin"].isna().tolist() == [False, True]


def test_precision_flips_name_what_differs_and_leave_out_who_did_not_route():
    first = make_trace(loops=[[1, 2, 4, 1]], depth_logits=np.zeros((1, 4, 4), np.float32))
    experts = np.tile([1, 0], (1, 4, 1))  # the same set, in another order
    experts[0, 3] = [0, 2]
    second = make_trace(loops=[[1, 3, 3, 1]], expert_ids=experts)
    traces = TwoPrecisions(first, second)
    table = precision_flips(traces)
    assert table["loops_differ"].tolist() == [False, True, True, False]
    assert table["experts_differ"].isna().tolist() == [False, False, True, False]
    assert table["experts_differ"].dropna().tolist() == [False, False, True]
    found = precision_numbers(traces)
    assert (found.pairs, found.loops_differ, found.routed_in_both, found.experts_differ) == (4, 2, 3, 1)
    assert found.widest_margin == 0


def test_precision_numbers_leave_out_special_tokens():
    special = [True, False]
    first, second = make_trace(loops=[[1, 2]], special=special), make_trace(loops=[[2, 2]], special=special)
    found = precision_numbers(TwoPrecisions(first, second))
    assert (found.pairs, found.loops_differ) == (1, 0)
    assert np.isnan(found.widest_margin)


def test_traces_of_two_texts_are_refused():
    with pytest.raises(ValueError, match="same text in the same model, got 2 layers x 2 tokens and 1 x 3"):
        TwoPrecisions(make_trace(), make_trace(loops=[[1, 1, 1]]))


def test_map_numbers_near_misses_with_what_they_almost_became():
    trace = chosen([0, 1, 0.9, -9], [0, 5, 0, 0])
    fig = near_miss_map_figure(trace)
    numbered = [drawn for drawn in fig.data if drawn.type == "scatter" and drawn.mode == "text"]
    assert [(list(each.x), list(each.text)) for each in numbered] == [([0], ["3"])]
    assert fig.data[0].z.tolist() == [[pytest.approx(0.1), 2.0]]  # wider margins stand at the end of the scale


def test_expert_map_draws_a_stroke_and_no_value_where_the_token_did_not_route():
    fig = near_miss_map_figure(make_trace(loops=[[1, 4]]), of="experts")
    assert np.isnan(fig.data[0].z).tolist() == [[False, True]]
    strokes = next(drawn for drawn in fig.data if drawn.name == "did not route")
    assert np.nanmean(np.asarray(strokes.x, float)) == 1


def test_flip_curves_rise_and_the_selected_layer_lies_on_top():
    fig = flip_distance_figure(random_trace(layers=3, tokens=20))
    assert all((np.diff(drawn.y) >= 0).all() for drawn in fig.data)
    assert [drawn.name for drawn in fig.data] == ["layer 1", "layer 2", "layer 0"]


def test_precision_map_marks_cells_that_differ():
    first, second = make_trace(loops=[[1, 2]]), make_trace(loops=[[1, 3]])
    fig = precision_map_figure(TwoPrecisions(first, second))
    assert fig.data[0].z.tolist() == [[0, 2]]
    assert "loops 2 → 3" in fig.data[0].text[0][1]
