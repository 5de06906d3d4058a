"""Capturing paths: what was computed, nothing else changed, of the size that was foretold."""

import numpy as np
import pytest
import torch

from hooks import PathTrace, capture, capture_paths, path_bytes, record
from tests.models import small_loaded
from tests.oracle import OracleFFN

TEXT = "The fox went softly through the snow, 7 + 5 = 12."


@pytest.fixture(scope="module")
def paths(loaded) -> PathTrace:
    return capture_paths(loaded, TEXT)


def test_paths_leave_the_trace_as_the_fast_pass_gives_it(loaded, paths):
    fast = capture(loaded, TEXT)
    assert paths.routing.meta == fast.meta and paths.routing.tokens == fast.tokens
    np.testing.assert_array_equal(paths.routing.loops, fast.loops)
    np.testing.assert_array_equal(paths.routing.expert_ids, fast.expert_ids)
    np.testing.assert_allclose(paths.routing.depth_logits, fast.depth_logits, atol=1e-5)
    np.testing.assert_allclose(paths.routing.logprob, fast.logprob, atol=1e-5)


def test_the_stream_is_that_of_the_fast_pass(loaded, paths):
    names = [f"blocks.{layer}.hook_resid_{where}" for layer in range(2) for where in ("pre", "mid", "post")]
    with torch.no_grad(), record(names) as fast:
        loaded.model(torch.tensor([loaded.tokenizer(TEXT)["input_ids"]]), use_cache=False)
    for layer in range(2):
        for where, ours in (("pre", paths.resid_pre), ("mid", paths.states[:, :, 0]), ("post", paths.resid_post)):
            np.testing.assert_allclose(ours[layer], fast[f"blocks.{layer}.hook_resid_{where}"][0], atol=1e-5)
    np.testing.assert_array_equal(paths.embedding, paths.resid_pre[0])
    np.testing.assert_array_equal(paths.resid_final, paths.resid_post[1])


def test_the_model_runs_once_over_a_traced_text(loaded):
    calls, trace = [], capture(loaded, TEXT)
    handle = loaded.model.register_forward_hook(lambda *_: calls.append(1))
    found = capture_paths(loaded, trace)
    handle.remove()
    assert len(calls) == 1 and found.routing is trace


def test_states_and_experts_equal_the_slow_oracle(loaded, paths):
    for layer in range(2):
        oracle = OracleFFN(loaded.model.model.layers[layer].mlp)
        for token in (0, 7, 30):
            state = torch.tensor(paths.states[layer, token, 0])
            with torch.no_grad():
                for expert in range(8):
                    theirs = oracle.virtual_expert(state, expert)
                    np.testing.assert_allclose(paths.expert_out[layer, token, expert], theirs, atol=1e-5)
                np.testing.assert_allclose(paths.width_out[layer, token], oracle.y_width(state), atol=1e-5)
                for loop in range(1, 5):
                    state = state + oracle.shared_ffn(state)
                    np.testing.assert_allclose(paths.states[layer, token, loop], state, rtol=1e-5, atol=1e-5)


def test_expert_outputs_sum_to_the_first_step(paths):
    total, first = paths.expert_out.astype(float).sum(axis=2), paths.steps[:, :, 0]
    gap = np.linalg.norm(total - first, axis=-1) / np.linalg.norm(first, axis=-1)
    assert gap.max() <= 1e-5


def test_part_of_layers_and_tokens_is_that_part_of_the_whole(loaded, paths):
    part = capture_paths(loaded, TEXT, layers=[1], tokens=(5, 20))
    assert part.layers.tolist() == [1] and (part.first_token, part.end_token) == (5, 20)
    np.testing.assert_allclose(part.states[0], paths.states[1, 5:20], atol=1e-5)
    np.testing.assert_allclose(part.expert_out[0], paths.expert_out[1, 5:20], atol=1e-5)
    np.testing.assert_allclose(part.embedding, paths.embedding[5:20])
    np.testing.assert_allclose(part.norm_scale, paths.norm_scale[5:20], rtol=1e-5)
    assert part.row(1) == 0 and part.index(6) == 1
    with pytest.raises(ValueError, match=r"layer 0 was not captured, only \[1\]"):
        part.row(0)
    with pytest.raises(ValueError, match=r"token 20 was not captured, only 5\.\.19"):
        part.index(20)


@pytest.mark.parametrize("layers, tokens", [(None, None), ([0], (3, 9))])
def test_bytes_are_foretold(loaded, layers, tokens):
    found = capture_paths(loaded, TEXT, layers=layers, tokens=tokens)
    assert found.nbytes == path_bytes(loaded.config, len(found.layers), found.num_tokens)


@pytest.mark.parametrize(
    "wrong, told",
    [
        ({"layers": [2]}, r"layers must be some of 0\.\.1, got \[2\]"),
        ({"layers": []}, r"layers must be some of 0\.\.1, got \[\]"),
        ({"tokens": (4, 4)}, r"tokens must be \(first, last \+ 1\) within 0\.\.49, got \(4, 4\)"),
        ({"tokens": (0, 99)}, "within 0..49"),
    ],
)
def test_parts_outside_are_refused(loaded, wrong, told):
    with pytest.raises(ValueError, match=told):
        capture_paths(loaded, TEXT, **wrong)


def test_dense_model_is_refused_by_name():
    with pytest.raises(ValueError, match="small has ffn 'dense', without a gate between width and depth to trace"):
        capture_paths(small_loaded(ffn="dense"), TEXT)
