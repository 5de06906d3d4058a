"""One routing per text: strip and Explain figures agree on loops, gate and experts, however near the choices are."""

import numpy as np
import pytest
import torch

from analysis.explain.ledger import layer_ledger, tolerance
from hooks import (
    capture,
    capture_attention,
    capture_paths,
    measure_faithfulness,
    own_pass,
    recursion_lens,
    time_ffn,
)
from hooks.lens_trace import EXIT
from hooks.rerun import rerun_token
from sample_models.loading import LoadedModel
from sample_models.taps import HOOK_NAMES, edited, record
from tests.models import small_loaded
from tests.traces import make_trace

TEXT = "The fox went softly through the snow, 7 + 5 = 12. The king rode to the river at noon."
OTHERS = ["A longer text stands beside it, so that the pass has another shape. " * 3, "x"]
LAYERS = 3
DECISIONS = ("loop_choice", "gate", "expert_ids", "expert_weights")


def near_ties(seed: int, **sizes) -> LoadedModel:
    """A model all of whose loops are equally likely, and whose experts come in equal pairs, up to the last bit."""
    loaded = small_loaded(seed, num_hidden_layers=LAYERS, **sizes)
    torch.manual_seed(seed)
    with torch.no_grad():
        for layer in loaded.model.model.layers:
            for head, alike in ((layer.mlp.depth_head.weight, 4), (layer.mlp.router.weight, 2)):
                for row in range(head.shape[0]):
                    first = head[row - row % alike]
                    head[row] = torch.nextafter(first, first + torch.randn_like(first)) if row % alike else first
    return loaded


def nudged() -> dict:
    """Edits that move the input of every FFN by its last bit, as the sums of a pass of another shape may."""

    def nudge(hidden, hook):
        return torch.nextafter(hidden, -hidden)

    return {f"blocks.{layer}.mlp.hook_in": nudge for layer in range(LAYERS)}


def names(*fields) -> list[str]:
    return [HOOK_NAMES[field].format(layer) for field in fields for layer in range(LAYERS)]


def decisions_of(trace) -> dict[str, np.ndarray]:
    """Hook name -> what the trace says was decided there."""
    by_field = (trace.loops - 1, trace.gate[..., None], trace.expert_ids, trace.expert_weights)
    return {
        HOOK_NAMES[field].format(layer): values[layer]
        for field, values in zip(DECISIONS, by_field, strict=True)
        for layer in range(LAYERS)
    }


def decided_otherwise(trace, other) -> int:
    first, second = decisions_of(trace), decisions_of(other)
    return sum(int((first[name] != second[name]).sum()) for name in names("loop_choice", "expert_ids"))


def largest_residual(paths) -> float:
    return max(float(np.max(layer_ledger(paths, layer).residual)) for layer in range(LAYERS))


@pytest.fixture(params=[0, 1, 2])
def tied(request):
    return near_ties(request.param)


def test_the_planted_choices_are_near_and_fall_otherwise_in_another_pass(tied):
    """Without replay the figures would disagree: the same text, nudged by one bit, is routed otherwise."""
    trace = capture(tied, TEXT)
    ordered = np.sort(trace.depth_logits, axis=-1)
    assert (ordered[..., -1] - ordered[..., -2]).max() < 1e-4
    with edited(nudged()):
        assert decided_otherwise(trace, capture(tied, TEXT)) > 20


@pytest.mark.parametrize("follow", [capture_paths, capture_attention])
@pytest.mark.parametrize("shape", ["alone", "in a list"])
def test_a_pass_over_a_traced_text_decides_as_the_trace_says(tied, follow, shape):
    trace = capture(tied, TEXT) if shape == "alone" else capture(tied, [*OTHERS, TEXT])[-1]
    for edits in ({}, nudged()):
        with record(names("depth_logits", *DECISIONS)) as seen, edited(edits):
            followed = follow(tied, trace)
        assert followed.routing is trace
        for name, expected in decisions_of(trace).items():
            np.testing.assert_array_equal(seen[name][0], expected, err_msg=name)
    fresh = np.stack([seen[name][0].argmax(dim=-1) for name in names("depth_logits")])
    assert (fresh + 1 != trace.loops).any(), "the trace was followed where the pass itself leant to other loops"


def test_what_the_paths_hold_is_routed_as_the_trace_says(tied):
    """The writes of loops and experts that the trace names sum to what the layer wrote: it took these and no others."""
    trace = capture(tied, [*OTHERS, TEXT])[-1]
    with edited(nudged()):
        paths = capture_paths(tied, trace)
    assert largest_residual(paths) <= tolerance(paths)


def test_without_replay_the_paths_would_not_be_those_of_the_trace(tied, monkeypatch):
    trace = capture(tied, TEXT)
    monkeypatch.setattr("hooks.paths.replayed", lambda loaded, trace, window: {})
    with edited(nudged()):
        paths = capture_paths(tied, trace)
    assert largest_residual(paths) > 100 * tolerance(paths)


def test_heads_read_what_the_trace_routed(tied):
    trace = capture(tied, [*OTHERS, TEXT])[-1]
    inputs = capture_attention(tied, trace)
    attention = inputs.at(20)
    assert attention.routing is trace and inputs.as_read is trace
    assert inputs.gap.max() < 1e-5


def test_tokens_of_every_window_are_routed_as_the_trace_says():
    loaded = near_ties(0, max_position_embeddings=32)
    trace = capture(loaded, TEXT)
    passes = []

    def keep(name, tensor):
        passes.append((name, tensor[0]))

    with record(names(*DECISIONS), keep), edited(nudged()):
        capture_paths(loaded, trace)
        for token in (40, 60, 80):
            attention = capture_attention(loaded, trace, token=token)
            first, own = attention.window.first, attention.window.own
            for name in ("loops", "gate", "width_ran", "expert_ids", "expert_weights", "depth_logits"):
                as_read, whole = getattr(attention.as_read, name), getattr(trace, name)
                np.testing.assert_array_equal(as_read[:, own:], whole[:, own:])
                np.testing.assert_array_equal(as_read[:, :first], whole[:, :first])
            assert (attention.as_read.loops != trace.loops).any()
    expected, order = decisions_of(trace), [*trace.windows, *(trace.window_of(token) for token in (40, 60, 80))]
    for name, values in expected.items():
        seen = [tensor for passed, tensor in passes if passed == name]
        assert len(seen) == len(order)
        for window, tensor in zip(order, seen, strict=True):
            np.testing.assert_array_equal(tensor[window.own_part], values[window.own : window.end], err_msg=name)


def test_exits_that_were_taken_are_those_of_the_trace(tied):
    trace = capture(tied, [*OTHERS, TEXT])[-1]
    paths = capture_paths(tied, trace, tokens=(30, 31))
    with edited(nudged()):
        lens = recursion_lens(tied, paths, 30, 101)
    taken = lens.of(EXIT)[lens.used[lens.of(EXIT)]]
    assert lens.loop[taken].tolist() == trace.loops[:, 30].tolist()
    assert lens.rounding < 1e-3, "the token alone takes the same loops and experts, so that only rounding is left"


def test_a_token_that_runs_anew_decides_as_the_trace_until_something_is_changed(tied):
    trace, token = capture(tied, TEXT), 30
    edits = [
        {},
        {"blocks.1.mlp.hook_loop_choice": lambda choice, hook: (choice + 1) % 4},
        {"blocks.1.hook_resid_mid": lambda stream, hook: stream + 1},
        {"blocks.1.mlp.hook_out": lambda output, hook: output + 1},
    ]
    expected = decisions_of(trace)
    with record(names(*DECISIONS)) as seen, edited(nudged()):
        rerun_token(tied, trace, token, edits, past=own_pass(tied, trace, token).past)
    same = {name: (seen[name][0].numpy() == values[token]).all(axis=-1) for name, values in expected.items()}
    same |= {name: seen[name][0].numpy() == expected[name][token] for name in names("loop_choice")}
    for name, rows in same.items():
        layer, place = int(name.split(".")[1]), name.rpartition("_")[2]
        assert rows[0], "nothing was changed"
        if layer == 0:
            assert rows.all(), "what was changed comes later"
        if layer == 1:
            assert rows[3] and rows[1] == (place in ("indices", "weights"))


def test_a_traced_text_is_not_tokenised_again(tied, monkeypatch):
    trace = capture(tied, TEXT)
    monkeypatch.setattr(type(tied.tokenizer), "__call__", lambda *_, **__: pytest.fail("a tokenizer was asked"))
    paths = capture_paths(tied, trace)
    capture_attention(tied, trace)
    recursion_lens(tied, paths, 30, 101)
    measure_faithfulness(tied, trace)
    time_ffn(tied, trace, most_rounds=1)
    assert paths.routing.token_ids.tolist() == trace.token_ids.tolist()


@pytest.mark.parametrize("follow", [capture_paths, capture_attention, measure_faithfulness, time_ffn])
def test_a_trace_of_another_model_is_refused(loaded, follow):
    other = capture(small_loaded(seed=1), TEXT)
    half = capture(LoadedModel(small_loaded().model.bfloat16(), loaded.tokenizer, "half"), TEXT)
    told = (
        r"this trace was made by (small|half|tiny) \(weights \w+, (float32|bfloat16|unknown)\) and cannot be replayed"
    )
    for trace in (other, half, make_trace()):
        with pytest.raises(ValueError, match=told):
            follow(loaded, trace)
