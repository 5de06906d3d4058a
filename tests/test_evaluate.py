"""Held-out measurements and controls on the golden tiny model and on numbers worked out by hand."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.evaluate import (
    Decisions,
    always_loops,
    count_decisions,
    paired_difference,
    run_controls,
    shuffled_experts,
    shuffled_loops,
    unigram_entropy,
    window_losses,
)
from sample_models.modeling_versatile import Tap, VersatileFFNForCausalLM
from tests.golden_weights import golden, golden_model


@pytest.fixture
def model():
    return golden_model()


@pytest.fixture(scope="module")
def windows():
    return golden("tiny/eval")["input_ids"].view(8, 12)


def passing(model, windows, *names):
    """For each tap, layer by layer: what came in, and what it passed on after all hooks registered so far."""
    seen = {name: [] for name in names}
    for layer in model.model.layers:
        for name in names:
            getattr(layer.mlp, name).register_forward_hook(
                lambda module, inputs, output, name=name: seen[name].append((inputs[0].clone(), output.clone()))
            )
    window_losses(model, windows)
    return seen


def hook_count(model):
    return sum(len(module._forward_hooks) for module in model.modules() if isinstance(module, Tap))


def test_unigram_entropy_of_two_even_and_one_double_token_by_hand():
    windows = torch.tensor([[5, 5], [1, 9]])
    assert unigram_entropy(windows) == pytest.approx(1.5 * math.log(2))


def test_unigram_entropy_of_one_repeated_token_is_zero():
    assert unigram_entropy(torch.full((3, 4), 7)) == 0


def test_window_losses_average_to_the_models_own_loss(model, windows):
    losses = window_losses(model, windows, batch=3)
    with torch.no_grad():
        own = [model(window[None], labels=window[None]).loss.item() for window in windows]
    assert losses.shape == (8,)
    assert losses == pytest.approx(own, abs=1e-5)


def test_decisions_are_counted_as_the_released_code_made_them(model):
    expected = golden("tiny/eval")
    decisions = count_decisions(model, expected["input_ids"])
    for layer in range(3):
        choice = expected[f"blocks.{layer}.loop_choice"]
        assert decisions.loop_counts[layer].tolist() == [(choice == loop).sum() for loop in range(4)]
        routed = expected[f"blocks.{layer}.topk_indices"][choice < 3]
        assert decisions.expert_counts[layer].tolist() == [(routed == expert).sum() for expert in range(8)]


def test_shares_of_decisions_by_hand():
    decisions = Decisions(np.array([[2, 0, 0, 2], [0, 0, 0, 4]]), np.array([[3, 1], [0, 0]]))
    assert decisions.loop_shares.tolist() == [[0.5, 0, 0, 0.5], [0, 0, 0, 1]]
    assert decisions.loop_entropy.tolist() == [pytest.approx(math.log(2)), 0]
    assert decisions.expert_load[0].tolist() == [0.75, 0.25]
    assert np.isnan(decisions.expert_load[1]).all()  # nobody routed: no load, not an even one
    assert decisions.not_routed.tolist() == [0.5, 1]


def test_shuffling_loops_keeps_each_layers_histogram_and_moves_lambda(model, windows):
    with shuffled_loops(model, seed=0):
        seen = passing(model, windows, "hook_loop_choice", "hook_lambda")
    for (own, shuffled), (_, gate) in zip(seen["hook_loop_choice"], seen["hook_lambda"], strict=True):
        assert torch.equal(own.flatten().bincount(), shuffled.flatten().bincount())
        assert not torch.equal(own, shuffled)
        assert torch.equal(gate.squeeze(-1), (3 - shuffled) / 4)


def test_shuffling_experts_moves_sets_with_their_weights_among_routed_tokens_only(model, windows):
    with shuffled_experts(model, seed=0):
        seen = passing(model, windows, "hook_expert_indices", "hook_expert_weights", "hook_lambda")
    for layer in range(3):
        (own, shuffled), (weights, dealt) = seen["hook_expert_indices"][layer], seen["hook_expert_weights"][layer]
        routed = seen["hook_lambda"][layer][1].squeeze(-1) > 0

        def sets(indices, weights, rows=routed):
            return Counter(zip(map(tuple, indices[rows].tolist()), map(tuple, weights[rows].tolist()), strict=True))

        assert sets(own, weights) == sets(shuffled, dealt)
        assert not torch.equal(own[routed], shuffled[routed])
        assert torch.equal(own[~routed], shuffled[~routed]) and torch.equal(weights[~routed], dealt[~routed])


@pytest.mark.parametrize("loops", [1, 2, 3, 4])
def test_always_n_loops_makes_every_token_take_n(model, windows, loops):
    with always_loops(model, loops=loops):
        decisions = count_decisions(model, windows)
    assert decisions.loop_shares[:, loops - 1].tolist() == [1, 1, 1]


def test_always_loops_refuses_a_number_out_of_range(model):
    with pytest.raises(ValueError, match=r"loops must be 1\.\.4, got 5"), always_loops(model, loops=5):
        pass


@pytest.mark.parametrize(
    "control",
    [lambda m: shuffled_loops(m, seed=0), lambda m: shuffled_experts(m, seed=0), lambda m: always_loops(m, loops=2)],
)
def test_control_is_gone_after_an_error(model, windows, control):
    before = window_losses(model, windows)
    with pytest.raises(RuntimeError, match="inside"), control(model):
        assert hook_count(model) > 0
        raise RuntimeError("inside")
    assert hook_count(model) == 0
    assert (window_losses(model, windows) == before).all()


def test_same_seed_gives_the_same_shuffle(model, windows):
    losses = []
    for seed in (1, 1, 2):
        with shuffled_loops(model, seed=seed):
            losses.append(window_losses(model, windows))
    assert (losses[0] == losses[1]).all() and (losses[0] != losses[2]).any()


def test_paired_difference_by_hand():
    difference = paired_difference(np.array([3.0, 5.0, 4.0, 4.0]), np.array([1.0, 1.0, 1.0, 1.0]))
    assert difference.mean == 3
    assert difference.standard_error == pytest.approx(math.sqrt(2 / 3) / 2)


def test_one_window_has_no_standard_error():
    with pytest.raises(ValueError, match="needs at least 2 windows, got 1: give more text"):
        paired_difference(np.array([2.0]), np.array([1.0]))


def test_run_controls_names_every_control_and_finds_them_different(model, windows):
    controls = run_controls(model, windows, window_losses(model, windows))
    assert list(controls) == ["loops_shuffled", "experts_shuffled", *(f"always_{n}_loops" for n in range(1, 5))]
    assert all(control.mean != 0 and control.standard_error > 0 for control in controls.values())


def test_dense_model_has_no_decisions_to_control(windows):
    sizes = dict(vocab_size=128, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1)
    dense = VersatileFFNForCausalLM(VersatileFFNConfig(**sizes, ffn="dense"))
    with pytest.raises(ValueError, match="only a model with ffn 'versatile' decides on loops and experts, got 'dense'"):
        count_decisions(dense, windows)
