"""Two traces held against each other: what differs is found, counted and placed; what does not is not."""

from dataclasses import replace

import numpy as np
import pytest

from app.cli import main
from hooks.trace_diff import trace_difference
from tests.traces import make_trace, random_trace


def changed(trace, name, index, value):
    array = getattr(trace, name).copy()
    array[index] = value
    return replace(trace, **{name: array})


def test_a_trace_is_the_same_as_itself_though_its_first_logprob_is_nan():
    trace = random_trace(layers=2, tokens=5)
    assert np.isnan(trace.logprob[0])
    found = trace_difference(trace, random_trace(layers=2, tokens=5), meta=True)
    assert found.same and found.lines() == []


def test_largest_difference_is_measured_and_placed():
    trace = random_trace(layers=3, tokens=6)
    other = changed(trace, "depth_logits", (2, 4, 1), trace.depth_logits[2, 4, 1] + 0.5)
    other = changed(other, "depth_logits", (0, 1, 0), trace.depth_logits[0, 1, 0] - 0.25)
    (found,) = trace_difference(trace, other).arrays
    assert (found.name, found.changed, found.entries) == ("depth_logits", 2, 72)
    assert found.largest == pytest.approx(0.5)
    assert found.where == "layer 2, token 4, loop 1"


@pytest.mark.parametrize(("tolerance", "same"), [(0.2, False), (0.25, True)])
def test_tolerance_is_the_largest_difference_that_is_none(tolerance, same):
    trace = make_trace()
    other = changed(trace, "next_entropy", 1, trace.next_entropy[1] + 0.25)
    assert trace_difference(trace, other, tolerance=tolerance).same is same


def test_decisions_must_be_equal_whatever_the_tolerance():
    trace = make_trace(loops=[[1, 2], [4, 3]])
    other = changed(changed(trace, "loops", (0, 1), 3), "expert_ids", (0, 0, 0), 1)
    found = trace_difference(trace, other, tolerance=9)
    assert "routing: other loops in 1 of 4 pairs of layer and token" in found.routing
    assert "routing: another first expert in 1 of 3 pairs that routed in both" in found.routing
    assert {each.name for each in found.arrays} == {"loops", "expert_ids"}


def test_an_expert_that_did_not_route_is_no_changed_expert():
    trace = make_trace(loops=[[1, 2], [4, 3]])
    assert trace_difference(trace, changed(trace, "expert_ids", (1, 0, 0), 3)).routing == ()


def test_nan_in_one_only_is_a_difference():
    trace = make_trace()
    (found,) = trace_difference(trace, changed(trace, "logprob", 1, np.nan), tolerance=9).arrays
    assert (found.changed, found.largest, found.where) == (1, 0.0, "token 1; 1 are NaN in one only")


def test_infinities_compare_like_numbers():
    trace = changed(make_trace(), "logprob", 1, -np.inf)
    assert trace_difference(trace, trace).same
    assert trace_difference(trace, make_trace()).arrays[0].largest == np.inf


def test_other_tokens_are_told_and_nothing_else_is_compared():
    one, other = make_trace(tokens=["a", "b"]), make_trace(loops=[[4, 4], [4, 4]], tokens=["a", "=c"])
    assert trace_difference(one, other).lines() == ["tokens: 1 of 2 differ, the first is token 1: 'b' against '=c'"]
    assert "tokens: 2 against 3" in trace_difference(one, make_trace(loops=[[1, 1, 1]])).lines()[0]


def test_other_sizes_are_told():
    lines = trace_difference(make_trace(), make_trace(max_loops=8)).lines()
    assert lines == ["depth_logits: 2 x 2 x 4 against 2 x 2 x 8"]


def test_meta_counts_only_when_asked():
    trace = make_trace()
    other = replace(trace, meta=trace.meta | {"model": "other"})
    assert trace_difference(trace, other).same
    assert trace_difference(trace, other, meta=True).lines() == ["meta model: 'tiny' against 'other'"]


def test_report_has_ten_lines_at_most():
    lines = trace_difference(random_trace(seed=1), random_trace(seed=2), meta=True).lines()
    assert len(lines) <= 10
    other = replace(make_trace(), meta={str(i): i for i in range(20)})
    lines = trace_difference(make_trace(), other, meta=True).lines()
    assert len(lines) == 10 and lines[-1] == "and 15 more differences"


@pytest.mark.parametrize("tolerance", [-1.0, float("nan")])
def test_tolerance_must_be_a_distance(tolerance):
    with pytest.raises(ValueError, match="tolerance must be 0 or more"):
        trace_difference(make_trace(), make_trace(), tolerance=tolerance)


@pytest.mark.parametrize("verb", [["trace", "diff"], ["diff"]])
def test_command_ends_with_nought_one_or_two(verb, tmp_path, capsys):
    one, same, other = (str(tmp_path / name) for name in ("one", "same", "other"))
    make_trace().save(one)
    make_trace().save(same)
    changed(make_trace(), "logprob", 1, -1.5).save(other)
    assert main([*verb, one, same]) == 0
    assert capsys.readouterr().out == "the same: 2 tokens in 2 layers\n"
    assert main([*verb, one, other]) == 1
    assert capsys.readouterr().out == "logprob: 1 of 2 differ, at most by 0.5 (token 1)\n"
    assert main([*verb, one, other, "--tolerance", "0.5"]) == 0
    assert main([*verb, one, str(tmp_path / "missing")]) == 2
    assert main([*verb, one, other, "--tolerance", "-1"]) == 2
    capsys.readouterr()
