"""Each check of the health, against numbers worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.models.health import (
    check_content_of_experts,
    check_content_of_loops,
    check_expert_fit,
    check_experts,
    check_loops,
    check_loops_matter,
    check_precision,
    expert_writes,
    experts_follow_content,
    loops_follow_content,
    shuffling_cost,
)
from hooks import HealthRecord, TextHealth
from tests.traces import make_trace, random_trace


def text_of(trace, **fields) -> TextHealth:
    """A text whose disturbances changed nothing, unless given."""
    count = trace.num_tokens
    defaults = dict(
        trace=trace,
        half=trace,
        orders=np.arange(count)[::-1][None].copy(),
        reordered_loops=trace.loops[None, :, ::-1].copy(),
        reordered_experts=trace.expert_ids[None, :, ::-1].copy(),
        shuffled_logprob=trace.logprob[None].copy(),
        shuffled_experts_logprob=trace.logprob[None].copy(),
        step_shares=np.full((*trace.loops.shape, trace.num_experts), 1 / trace.num_experts),
    )
    return TextHealth(**(defaults | fields))


def record_of(*texts: TextHealth) -> HealthRecord:
    return HealthRecord("hand", list(texts), tau=0.1, gates_trained=True, parameters=1, not_finite={})


def test_loops_that_stay_with_the_place_are_condemned():
    trace = make_trace(loops=[[1, 2, 3, 4, 1, 2, 3, 4]] * 2)
    by_token, by_place = text_of(trace), text_of(trace, reordered_loops=trace.loops[None])
    content, position = loops_follow_content([by_token])
    assert content.tolist() == [1, 1] and (position < 0).all()
    assert check_content_of_loops(record_of(by_token)).status == "healthy"
    found = check_content_of_loops(record_of(by_place))
    assert found.status == "sick" and "by position in layer 0, 1" in found.figure


def test_agreement_is_corrected_for_chance_and_tokens_that_did_not_move_do_not_count():
    trace = make_trace(loops=[[1, 1, 2, 2, 4]])
    text = text_of(trace, orders=np.array([[1, 0, 3, 2, 4]]), reordered_loops=np.array([[[1, 1, 2, 1, 3]]]))
    content, _ = loops_follow_content([text])
    # 3 of 4 agree; chance: 1 loop 3/4 x 2/4, 2 loops 1/4 x 2/4, together 1/2.
    assert content.tolist() == [pytest.approx((0.75 - 0.5) / 0.5)]


def test_agreement_of_experts_counts_what_stays_of_those_that_routed_both_times():
    before = np.array([[[0, 1], [0, 1], [2, 3], [2, 3], [0, 1]]])
    after = np.array([[[[1, 0], [0, 2], [2, 3], [3, 1], [0, 1]]]])
    trace = make_trace(loops=[[1, 1, 2, 1, 4]], expert_ids=before)
    loops = np.array([[[1, 1, 1, 1, 1]]])
    text = text_of(trace, orders=np.array([[1, 0, 3, 2, 4]]), reordered_loops=loops, reordered_experts=after)
    content, position = experts_follow_content([text])
    # Of two experts 2, 1, 2, 1 stay: 3/4. Chance: a half of the tokens before took each, after 2, 2, 2, 2 of 4: 1/2.
    assert content.tolist() == [pytest.approx(0.5)] == position.tolist()
    silent = text_of(trace, orders=np.array([[1, 0, 3, 2, 4]]), reordered_loops=0 * loops + 4, reordered_experts=after)
    assert np.isnan(experts_follow_content([silent])).all()
    assert check_content_of_experts(record_of(silent)).status == "not measured"


def test_without_any_difference_in_loops_content_is_not_measured():
    assert check_content_of_loops(record_of(text_of(make_trace(loops=[[2] * 6])))).status == "not measured"


def test_shuffling_cost_leaves_out_special_tokens_and_the_first():
    trace = make_trace(loops=[[1, 2, 3, 4]], special=[True, False, True, False])
    shuffled = trace.logprob[None] - np.array([[0, 1, 50, 3]], np.float32)
    assert shuffling_cost(text_of(trace), shuffled).tolist() == [1, 3]


def test_too_few_tokens_leave_the_worth_of_routing_open():
    assert check_loops_matter(record_of(text_of(random_trace(tokens=57)))).status == "not measured"
    assert check_loops_matter(record_of(text_of(random_trace(tokens=400)))).status == "sick"


def taking_turns(tokens: int) -> tuple:
    """A trace whose tokens take experts 0, 1 and experts 2, 3 in turns, and the steps that only those write."""
    ids = np.array([[[0, 1], [2, 3]] * (tokens // 2)])
    steps = (ids[..., None, :] == np.arange(4)[:, None]).any(axis=-1) / 2
    return make_trace(loops=[[1] * tokens], expert_ids=ids), steps


def test_what_experts_write_elsewhere_is_the_mean_over_all_deals():
    trace, steps = taking_turns(40)
    own, others = expert_writes([text_of(trace, step_shares=steps)])
    assert (own.tolist(), others.tolist()) == ([1.0], [0.5])
    few, steps = taking_turns(38)  # 76 choices of 4 experts
    assert np.isnan(expert_writes([text_of(few, step_shares=steps)])).all()


def test_experts_of_no_use_are_condemned_unless_shuffling_them_costs():
    trace, steps = taking_turns(40)
    assert check_expert_fit(record_of(text_of(trace, step_shares=steps))).status == "healthy"
    even = record_of(text_of(trace))
    assert check_expert_fit(even).status == "sick"
    assert check_expert_fit(replace(even, gates_trained=False)).status == "sick"
    costly = text_of(trace, shuffled_experts_logprob=trace.logprob[None] - 0.5)
    assert check_expert_fit(record_of(costly)).status == "healthy"
    assert check_expert_fit(record_of(text_of(make_trace(loops=[[4] * 90])))).status == "not measured"
    assert check_expert_fit(record_of(text_of(make_trace(loops=[[1] * 90], num_experts=2)))).status == "not measured"


def test_experts_are_judged_only_with_enough_routed_choices():
    few = make_trace(loops=[[1] * 30], num_experts=4)
    assert check_experts(record_of(text_of(few))).status == "not measured"
    found = check_experts(record_of(text_of(make_trace(loops=[[1] * 50], num_experts=4))))
    assert found.status == "sick" and "outside (layer:expert) 0:2, 0:3" in found.figure
    none = check_experts(record_of(text_of(make_trace(loops=[[4] * 90], num_experts=4))))
    assert none.status == "not measured", "tokens that did not route are no choices"


def test_one_loop_is_no_collapse_where_there_is_only_one():
    assert check_loops(record_of(text_of(random_trace(tokens=30, max_loops=1)))).status == "healthy"


def test_decisions_that_hang_on_rounding_are_condemned():
    trace, other = random_trace(tokens=40, seed=1), random_trace(tokens=40, seed=2)
    assert check_precision(record_of(text_of(trace))).status == "healthy"
    assert check_precision(record_of(text_of(trace, half=other))).status == "sick"
