"""Other gates: each against a capture with the same loops, and the confidence rules against the equations."""

import numpy as np
import pytest
import torch

from hooks import ForceGate, ForceLoops, capture, capture_paths, depth_sweep, frontier, gate_sweep
from hooks.other_gates import (
    QUANTILES,
    RANDOM_DEALS,
    SHIFTS,
    STEPS,
    _leaves_below,
    _step_lengths,
    frontier_steps,
    gate_sweep_steps,
)
from tests.models import small_loaded

TEXT = "A fox, 7+5."


@pytest.fixture(scope="module")
def two():
    return small_loaded(seed=3)


@pytest.fixture(scope="module")
def points(two):
    return frontier(two, depth_sweep(two, capture(two, TEXT)))


def of(found, rule):
    here = [place for place, name in enumerate(found.rule) if name == rule]
    return found.setting[here], found.loops[here], found.loss[here]


def test_the_learned_gate_is_the_trace_itself(points):
    _, loops, loss = of(points, "learned")
    assert loops == pytest.approx([points.routing.loops.mean()])
    assert loss == pytest.approx([-points.routing.logprob[1:].mean()])


def test_always_and_random_take_the_loops_that_they_say(two, points):
    setting, loops, loss = of(points, "always")
    assert setting.tolist() == loops.tolist() == [1, 2, 3, 4]
    forced = capture(two, TEXT, interventions=(ForceLoops(3),))
    assert loss[2] == pytest.approx(-forced.logprob[1:].mean())
    _, loops, loss = of(points, "random")
    assert loops == pytest.approx([points.routing.loops.mean()] * RANDOM_DEALS)
    assert np.ptp(loss) > 0


def test_a_higher_threshold_costs_more_and_at_the_ends_is_always_the_same(points):
    setting, loops, loss = of(points, "threshold")
    assert setting.tolist() == list(SHIFTS)
    assert loops[0] < loops[-1]
    _, _, always = of(points, "always")
    if loops[-1] == 4:
        assert loss[-1] == pytest.approx(always[-1])


def test_the_free_oracle_takes_the_best_loops_of_every_cell(two, points):
    effects = depth_sweep(two, points.routing)
    setting, loops, _ = of(points, "oracle")
    gain = effects.of("later", "follows")[..., :-1]
    assert setting[0] == 0
    own = points.routing.loops[:, -1:]  # the last token has no effects and keeps its loops
    assert loops[0] == pytest.approx(np.concatenate([gain.argmax(axis=0) + 1, own], axis=1).mean())
    assert (np.diff(loops[1:]) >= 0).all() and (loops[1:] < loops[0]).all()
    assert (setting[1:] > 0).all()


@pytest.mark.parametrize("rule", ["change", "entropy"])
def test_a_stricter_confidence_rule_takes_more_loops(points, rule):
    setting, loops, _ = of(points, rule)
    assert len(setting) == len(QUANTILES)
    assert (np.diff(setting) > 0).all()
    assert loops[0] > loops[-1]


def test_the_change_of_state_decides_as_the_equation_says(two, points):
    """In layer 0, which nothing below changes: leave after the first short step."""
    paths = capture_paths(two, points.routing)
    states = paths.states[0]  # [token state hidden]
    steps = np.linalg.norm(np.diff(states, axis=1), axis=-1) / np.linalg.norm(states[:, :-1], axis=-1)
    threshold = float(np.median(steps))
    decide = _leaves_below(two, _step_lengths, threshold)
    with torch.inference_mode():
        found = decide(0, torch.tensor(states[None, :, 0]), torch.zeros(1))[0]
    short = steps < threshold
    expected = np.where(short.any(axis=1), short.argmax(axis=1), 3) + 1
    assert found.tolist() == expected.tolist()
    assert len(set(found.tolist())) > 1


def test_the_gate_sweep_forces_lambda_in_its_scope(two, points):
    found = gate_sweep(two, points.routing, 1, 4)
    assert found.gate.tolist() == pytest.approx(np.linspace(0, 1, STEPS))
    forced = capture(two, TEXT, interventions=(ForceGate(0.3, 1, 4),))
    change = points.routing.logprob - forced.logprob
    assert found.own[3] == pytest.approx(change[5], abs=1e-6)
    assert found.loss[0, 3] == pytest.approx(change[5:].mean(), abs=1e-6)
    everywhere = capture(two, TEXT, interventions=(ForceGate(1.0),))
    assert found.loss[2, -1] == pytest.approx((points.routing.logprob - everywhere.logprob)[1:].mean(), abs=1e-6)
    at_end = gate_sweep(two, points.routing, 0, points.routing.num_tokens - 1)
    assert np.isnan(at_end.own).all() and np.isnan(at_end.loss[0]).all() and np.isfinite(at_end.loss[1:]).all()


def test_work_in_steps_tells_how_far_it_is(two, points):
    steps = gate_sweep_steps(two, points.routing, 0, 0)
    told = [next(steps) for _ in range(5)]
    assert told == sorted(told) and told[0] == 0 and 0 < told[-1] < 1
    told = list(frontier_steps(two, depth_sweep(two, points.routing)))
    assert told == sorted(told) and told[-1] == 1 and len(told) > len(points.rule)
