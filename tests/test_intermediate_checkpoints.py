"""Weights kept along a training: found, told of, loaded as a model of that step, and traced along one text."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hooks import TrainingTrace, capture, capture_training
from sample_models import load_model
from sample_models.intermediate_checkpoints import intermediate_checkpoints
from tests.models import small_loaded
from tests.traces import make_trace

TEXT = "One and two make three."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small model whose folder kept two steps: random weights before the first update, and its own, rounded."""
    folder = tmp_path_factory.mktemp("models") / "kept"
    loaded = small_loaded()
    loaded.model.config.gates_trained = True
    loaded.model.to(torch.bfloat16).save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    (folder / "checkpoints").mkdir()
    torch.manual_seed(5)
    own = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    fresh = {name: torch.randn_like(tensor) * 0.1 + (tensor.ndim == 1) for name, tensor in own.items()}
    keep(folder, 0, fresh, step="0", tokens="0", tau="5", held_out="6.25")
    keep(folder, 1200, own, step="1200", tokens="2457600", tau="0.1")
    return folder


def keep(folder, number, tensors, **header):
    save_file(tensors, folder / "checkpoints" / f"step-{number:06d}.safetensors", metadata=header)


def test_kept_checkpoints_are_told_of_in_the_order_of_their_steps(folder):
    kept = intermediate_checkpoints(folder)
    assert [(each.step, each.tokens, each.tau, each.held_out) for each in kept] == [
        (0, 0, 5.0, 6.25),
        (1200, 2457600, 0.1, None),
    ]
    assert intermediate_checkpoints(folder / "checkpoints") == []


def test_model_of_a_step_runs_the_weights_of_that_step(folder):
    finished, last, first = load_model(folder), load_model(folder, step=1200), load_model(folder, step=0)
    ids = torch.tensor([[3, 1, 4, 1, 5]])
    with torch.inference_mode():
        assert torch.equal(last.model(ids).logits, finished.model(ids).logits)
        assert not torch.allclose(first.model(ids).logits, finished.model(ids).logits)
    assert (first.name, first.gates_trained, first.config.tau) == ("kept at step 0", False, 5.0)
    assert (last.name, last.gates_trained, last.config.tau) == ("kept at step 1200", True, 0.1)
    assert last.weights_sha256 != finished.weights_sha256  # another file, with another header


def test_step_that_was_not_kept_is_refused_with_those_that_were(folder):
    with pytest.raises(ValueError, match="must have kept the weights of step 7, it kept those of 0, 1200"):
        load_model(folder, step=7)
    with pytest.raises(ValueError, match="kept those of none: train with --keep-checkpoints"):
        load_model(step=7)


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ({"step": "1", "tokens": "2"}, "must give step, tokens and tau as numbers in its header"),
        ({"step": "one", "tokens": "2", "tau": "5"}, "must give step, tokens and tau as numbers in its header"),
    ],
)
def test_file_whose_header_does_not_tell_its_step_is_refused(tmp_path, header, sentence):
    (tmp_path / "checkpoints").mkdir()
    keep(tmp_path, 1, {"a": torch.zeros(1)}, **header)
    with pytest.raises(ValueError, match=sentence):
        intermediate_checkpoints(tmp_path)


def test_damaged_file_is_refused(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-000001.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="is not a complete safetensors file"):
        intermediate_checkpoints(tmp_path)


def test_kept_weights_of_other_sizes_are_refused(folder, tmp_path):
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        if (folder / name).exists():
            (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "checkpoints").mkdir()
    keep(tmp_path, 1, {"lm_head.weight": torch.zeros(1)}, step="1", tokens="2", tau="5")
    with pytest.raises(ValueError, match="holds 1 tensor.s., too few for the 2 layers"):
        load_model(tmp_path, step=1)


def test_training_trace_ends_where_the_model_is(folder):
    loaded = load_model(folder)
    training = capture_training(loaded, TEXT)
    own = capture(loaded, TEXT)
    assert training.step.tolist() == [0, 1200] and training.seen.tolist() == [0, 2457600]
    assert training.tau.tolist() == [5.0, 0.1]
    assert training.held_out[0] == 6.25 and np.isnan(training.held_out[1])
    assert np.array_equal(training.traces[-1].loops, own.loops)
    assert np.array_equal(training.traces[-1].depth_logits, own.depth_logits)
    assert not np.allclose(training.traces[0].depth_logits, own.depth_logits)
    assert training.traces[0].meta["gates_trained"] is False


def test_model_without_kept_weights_has_no_course(loaded):
    with pytest.raises(ValueError, match="small kept no weights of its training: train it with --keep-checkpoints"):
        capture_training(loaded, TEXT)


def test_traces_of_other_tokens_make_no_course():
    fields = dict(step=np.array([5]), seen=np.array([10]), tau=np.array([1.0]), held_out=np.array([2.0]))
    with pytest.raises(ValueError, match="the trace of step 5 must be of the same tokens"):
        TrainingTrace(make_trace(), [make_trace(loops=[[1, 2, 3]])], **fields)
    with pytest.raises(ValueError, match="a trace for each of 1 checkpoints, got 0"):
        TrainingTrace(make_trace(), [], **fields)


def test_headers_are_read_without_torch():
    code = "import sys, sample_models.intermediate_checkpoints; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
