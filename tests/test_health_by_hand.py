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
    verdict,
)
from analysis.models.health_measures import cost_by_token, mean_and_error
from hooks import ControlRun, HealthRecord, TextHealth
from hooks.health import CONTROLS
from tests.traces import make_trace, random_trace


def text_of(trace, **fields) -> TextHealth:
    """A text whose disturbances changed nothing, unless given."""
    count, controls = trace.num_tokens, dict.fromkeys(CONTROLS, ControlRun(trace.logprob[None].copy(), 4, 2))
    fields["controls"] = controls | fields.get("controls", {})
    defaults = dict(
        trace=trace,
        half=trace,
        orders=np.arange(count)[::-1][None].copy(),
        reordered_loops=trace.loops[None, :, ::-1].copy(),
        reordered_experts=trace.expert_ids[None, :, ::-1].copy(),
        step_shares=np.full((*trace.loops.shape, trace.num_experts), 1 / trace.num_experts),
    )
    return TextHealth(**(defaults | fields))


def costing(trace, nats, control="loops_shuffled") -> TextHealth:
    """A text in which one control costs so many `nats` at every token."""
    return text_of(trace, controls={control: ControlRun(trace.logprob[None] - np.float32(nats), 4, 2)})


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
    trace = make_trace(loops=[[3, 1, 1, 2, 2, 4]])
    text = text_of(trace, orders=np.array([[0, 2, 1, 4, 3, 5]]), reordered_loops=np.array([[[3, 1, 1, 2, 1, 3]]]))
    content, _ = loops_follow_content([text])
    # 3 of 4 agree; chance: 1 loop 3/4 x 2/4, 2 loops 1/4 x 2/4, together 1/2.
    assert content.tolist() == [pytest.approx((0.75 - 0.5) / 0.5)]


def test_a_sink_in_the_first_place_is_no_sign_of_positions():
    """Whatever stands first takes four loops; every other token keeps its own number."""
    trace = make_trace(loops=[[4, 1, 2, 1, 2, 1, 2, 2]])
    order, moved = np.array([[3, 2, 1, 0, 5, 4, 7, 6]]), np.array([[[4, 2, 1, 2, 1, 2, 2, 2]]])
    content, position = loops_follow_content([text_of(trace, orders=order, reordered_loops=moved)])
    assert content.tolist() == [1] and position[0] < 0


def test_agreement_of_experts_counts_what_stays_of_those_that_routed_both_times():
    before = np.array([[[0, 1], [0, 1], [0, 1], [2, 3], [2, 3], [0, 1]]])
    after = np.array([[[[0, 1], [1, 0], [0, 2], [2, 3], [3, 1], [0, 1]]]])
    trace = make_trace(loops=[[1, 1, 1, 2, 1, 4]], expert_ids=before)
    loops, order = np.array([[[1, 1, 1, 1, 1, 1]]]), np.array([[0, 2, 1, 4, 3, 5]])
    text = text_of(trace, orders=order, reordered_loops=loops, reordered_experts=after)
    content, position = experts_follow_content([text])
    # Of two experts 2, 1, 2, 1 stay: 3/4. Chance: a half of the tokens before took each, after 2, 2, 2, 2 of 4: 1/2.
    assert content.tolist() == [pytest.approx(0.5)] == position.tolist()
    silent = text_of(trace, orders=order, reordered_loops=0 * loops + 4, reordered_experts=after)
    assert np.isnan(experts_follow_content([silent])).all()
    assert check_content_of_experts(record_of(silent)).status == "not measured"


def test_without_any_difference_in_loops_content_is_not_measured():
    assert check_content_of_loops(record_of(text_of(make_trace(loops=[[2] * 6])))).status == "not measured"


def test_shuffling_cost_leaves_out_special_tokens_and_the_first():
    trace = make_trace(loops=[[1, 2, 3, 4]], special=[True, False, True, False])
    shuffled = trace.logprob[None] - np.array([[0, 1, 50, 3]], np.float32)
    text = text_of(trace, controls={"loops_shuffled": ControlRun(shuffled, 4, 2)})
    assert cost_by_token(text, "loops_shuffled").tolist() == [1, 3]


def test_standard_error_is_clustered_over_texts():
    alike = [np.array([1.0, 1.0, 1.0]), np.array([3.0, 3.0, 3.0])]
    # Sums of differences from 2: -3 and 3. As independent the six tokens would give 0.447.
    assert mean_and_error(alike) == (2, pytest.approx(np.sqrt(2 / 1 * (9 + 9)) / 6))
    assert mean_and_error([np.array([1.0, 3.0])] * 4) == (2, 0), "texts that agree as a whole"
    assert mean_and_error([np.array([1.0, 3.0])])[0] == 2 and np.isnan(mean_and_error([np.array([1.0, 3.0])])[1])


def test_loops_matter_if_the_interval_over_texts_lies_above_zero_and_not_if_it_lies_near_it():
    def found(tokens, *nats):
        texts = [costing(random_trace(tokens=tokens, seed=seed), each) for seed, each in enumerate(nats)]
        return check_loops_matter(record_of(*texts))

    assert found(200, 0.10, 0.12, 0.14).status == "healthy"
    assert found(200, 0.0, 0.01, -0.01).status == "sick"
    assert found(200, 0.0, 0.1, 0.2).status == "effect not shown", "two of 600 tokens, but three texts that differ"
    assert found(40, 0.0, 0.01, -0.01).status == "effect not shown", "too few tokens for a verdict"
    alone = found(400, 0.1)
    assert (alone.status, alone.figure) == ("not measured", "1 text with 399 tokens")
    told = found(200, 0.10, 0.12, 0.14).figure
    assert "+0.120 nats per token when loops, and λ with them" in told and "over 3 texts, 597 tokens; 50%" in told


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


def test_experts_of_no_use_are_condemned_and_those_that_fit_without_a_cost_are_left_open():
    trace, steps = taking_turns(40)

    def texts(nats, **fields):
        return [replace(costing(trace, each, "experts_shuffled"), **fields) for each in nats]

    fitting, none = dict(step_shares=steps), (0.0, 0.02, -0.02)
    assert check_expert_fit(record_of(*texts((0.4, 0.5, 0.6), **fitting))).status == "healthy"
    open_ = check_expert_fit(record_of(*texts(none, **fitting)))
    assert open_.status == "effect not shown" and "shuffled they cost -0.000 nats" not in open_.figure
    even = record_of(*texts(none))
    assert check_expert_fit(even).status == "sick"
    assert check_expert_fit(replace(even, gates_trained=False)).status == "sick"
    assert check_expert_fit(record_of(*texts((0.4, 0.5, 0.6)))).status == "healthy"
    assert verdict([open_]) == "healthy (effect not shown: experts fit their tokens)"
    unrouted, all_kept = make_trace(loops=[[4] * 90]), make_trace(loops=[[1] * 90], num_experts=2)
    for lacking in (unrouted, all_kept):
        assert check_expert_fit(record_of(*[text_of(lacking)] * 2)).status == "not measured"
    assert check_expert_fit(record_of(*texts((0.4,), **fitting))).status == "not measured", "one text has no error"


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
