"""Held-out measurements and controls on the golden tiny model and on numbers worked out by hand."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.controls import always_loops, run_controls, shuffled_experts, shuffled_loops, without_experts
from sample_models.evaluate import Decisions, count_decisions, paired_difference, unigram_entropy, window_losses
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.taps import HOOK_NAMES, Tap, record
from tests.golden_weights import golden, golden_model


@pytest.fixture
def model():
    return golden_model()


@pytest.fixture(scope="module")
def windows():
    return golden("tiny/eval")["input_ids"].view(8, 12)


def passing(model, windows, *fields):
    """What passed the taps of some HOOK_NAMES, layer by layer."""
    names = {field: [HOOK_NAMES[field].format(layer) for layer in range(3)] for field in fields}
    with record(name for of_field in names.values() for name in of_field) as seen:
        window_losses(model, windows)
    return {field: [seen[name] for name in of_field] for field, of_field in names.items()}


def listening(model):
    return [module.name for module in model.modules() if isinstance(module, Tap) and module.listening]


def test_unigram_entropy_of_two_even_and_one_double_token_equals_what_is_found_by_hand():
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


def test_shares_of_decisions_equal_what_is_found_by_hand():
    decisions = Decisions(np.array([[2, 0, 0, 2], [0, 0, 0, 4]]), np.array([[3, 1], [0, 0]]))
    assert decisions.loop_shares.tolist() == [[0.5, 0, 0, 0.5], [0, 0, 0, 1]]
    assert decisions.loop_entropy.tolist() == [pytest.approx(math.log(2)), 0]
    assert decisions.expert_load[0].tolist() == [0.75, 0.25]
    assert np.isnan(decisions.expert_load[1]).all()  # nobody routed: no load, not an even one
    assert decisions.not_routed.tolist() == [0.5, 1]


def test_shuffling_loops_keeps_each_layers_histogram_and_moves_lambda(model, windows):
    with shuffled_loops(model, seed=0):
        seen = passing(model, windows, "depth_logits", "loop_choice", "gate")
    for logits, shuffled, gate in zip(*seen.values(), strict=True):
        own = logits.argmax(dim=-1)
        assert torch.equal(own.flatten().bincount(), shuffled.flatten().bincount())
        assert not torch.equal(own, shuffled)
        assert torch.equal(gate.squeeze(-1), (3 - shuffled) / 4)


def test_shuffling_experts_moves_sets_with_their_weights_among_routed_tokens_only(model, windows):
    with shuffled_experts(model, seed=0):
        seen = passing(model, windows, "expert_logits", "expert_ids", "expert_weights", "gate")
    for logits, shuffled, dealt, gate in zip(*seen.values(), strict=True):
        kept, own = logits.topk(2, dim=-1)
        weights, routed = kept.softmax(dim=-1), gate.squeeze(-1) > 0

        def sets(indices, weights, rows=routed):
            return Counter(zip(map(tuple, indices[rows].tolist()), map(tuple, weights[rows].tolist()), strict=True))

        assert sets(own, weights) == sets(shuffled, dealt)
        assert not torch.equal(own[routed], shuffled[routed])
        assert torch.equal(own[~routed], shuffled[~routed]) and torch.equal(weights[~routed], dealt[~routed])


def test_loops_and_lambda_are_dealt_apart(model, windows):
    for deal in ("loops", "lambda"):
        with shuffled_loops(model, seed=0, deal=deal) as cells:
            seen = passing(model, windows, "depth_logits", "loop_choice", "gate")
        differ = 0
        for logits, loops, gate in zip(*seen.values(), strict=True):
            own, width = logits.argmax(dim=-1), (3 - 4 * gate.squeeze(-1)).round().long()  # the loops behind lambda
            held, moved = (width, loops) if deal == "loops" else (loops, width)
            assert torch.equal(held, own)
            assert torch.equal(moved.flatten().bincount(), own.flatten().bincount())
            differ += int((moved != own).sum())
        assert (cells.changed, cells.all) == (differ, 3 * windows.numel()) and cells.share == differ / cells.all > 0


def test_within_token_type_loops_are_dealt_among_equal_tokens_only(model, windows):
    parts = windows[:4] % 5, windows[4:] % 5  # two passes, of few types each
    with shuffled_loops(model, seed=0, within=parts) as cells:
        for part in parts:
            seen = passing(model, part, "depth_logits", "loop_choice")
            for logits, loops in zip(*seen.values(), strict=True):
                own = logits.argmax(dim=-1)
                for token in range(5):
                    here = part == token
                    assert torch.equal(own[here].bincount(minlength=4), loops[here].bincount(minlength=4))
        assert 0 < cells.share < 1
        with pytest.raises(ValueError, match="token ids of every pass: this one has 48, got none"):
            window_losses(model, parts[0])
    once = torch.arange(8 * 12).view(8, 12)  # every token of another type: there is nothing to deal
    own = window_losses(model, once, batch=8)
    with shuffled_loops(model, seed=0, within=[once]) as cells:
        assert (window_losses(model, once, batch=8) == own).all()
    assert cells.changed == 0


def test_without_experts_width_gives_back_what_came_in(model, windows):
    names = [f"blocks.0.mlp.hook_{name}" for name in ("in", "width_out", "lambda")]
    with without_experts(model) as cells, record(names) as seen:
        window_losses(model, windows, batch=8)
    hidden, width, gate = (seen[name] for name in names)
    routed = gate.squeeze(-1) > 0
    assert torch.equal(width[routed], hidden[routed])
    assert cells.share == 1 and cells.all > routed.sum()


def test_shuffle_deals_among_all_documents_whatever_their_order(model, windows):
    own = window_losses(model, windows)
    all_at_once = run_controls(model, windows, own)["loops_shuffled"]
    with shuffled_loops(model, seed=0) as cells:
        by_hand = paired_difference(window_losses(model, windows, batch=8), own)
    assert (all_at_once.mean, all_at_once.changed) == (by_hand.mean, cells.share)
    assert cells.all == 3 * windows.numel()


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
    [
        lambda m: shuffled_loops(m, seed=0),
        lambda m: shuffled_loops(m, seed=0, deal="lambda"),
        lambda m: shuffled_experts(m, seed=0),
        without_experts,
        lambda m: always_loops(m, loops=2),
    ],
)
def test_control_is_gone_after_an_error(model, windows, control):
    before = window_losses(model, windows)
    with pytest.raises(RuntimeError, match="inside"), control(model):
        assert listening(model) and (window_losses(model, windows) != before).any()
        raise RuntimeError("inside")
    assert not listening(model)
    assert (window_losses(model, windows) == before).all()


def test_same_seed_gives_the_same_shuffle(model, windows):
    losses = []
    for seed in (1, 1, 2):
        with shuffled_loops(model, seed=seed):
            losses.append(window_losses(model, windows))
    assert (losses[0] == losses[1]).all() and (losses[0] != losses[2]).any()


def test_paired_difference_equals_what_is_found_by_hand():
    difference = paired_difference(np.array([3.0, 5.0, 4.0, 4.0]), np.array([1.0, 1.0, 1.0, 1.0]))
    assert difference.mean == 3
    assert difference.standard_error == pytest.approx(math.sqrt(2 / 3) / 2)


def test_one_window_has_no_standard_error():
    with pytest.raises(ValueError, match="needs at least 2 windows, got 1: give more text"):
        paired_difference(np.array([2.0]), np.array([1.0]))


def test_run_controls_names_every_control_and_finds_them_different(model, windows):
    controls = run_controls(model, windows, window_losses(model, windows))
    shuffled = ("loops", "loops_alone", "lambda_alone")
    assert list(controls) == [
        *(f"{name}_shuffled" for name in shuffled),
        *("loops_shuffled_within_token_type", "experts_shuffled", "without_experts"),
        *(f"always_{n}_loops" for n in range(1, 5)),
    ]
    assert all(control.mean != 0 and control.standard_error > 0 for control in controls.values())
    assert all(0 < control.changed <= 1 for control in controls.values())
    assert controls["loops_shuffled_within_token_type"].changed < controls["loops_shuffled"].changed


def family_model(ffn):
    """An untrained model of the family over the golden vocabulary, its heads large enough that tokens differ."""
    sizes = dict(vocab_size=128, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
    torch.manual_seed(0)
    model = VersatileFFNForCausalLM(VersatileFFNConfig(**sizes, initializer_range=0.3, ffn=ffn)).eval()
    for layer in model.model.layers:
        for head in {"router", "depth_head"} & dict(layer.mlp.named_children()).keys():
            torch.nn.init.normal_(getattr(layer.mlp, head).weight, std=2.0)
    return model


@pytest.mark.parametrize(
    "ffn, loops, experts",
    [("depth", True, False), ("width", False, True), ("moe", False, True), ("average", True, True)],
)
def test_decisions_and_controls_are_those_that_the_model_has(windows, ffn, loops, experts):
    model = family_model(ffn)
    decisions = count_decisions(model, windows)
    if loops:
        assert decisions.loop_counts.sum(axis=1).tolist() == [windows.numel()] * 2
        assert (decisions.loop_counts > 0).all()
    else:
        assert decisions.loop_counts is decisions.loop_shares is decisions.loop_entropy is None
    if experts:  # no gate here: every token is routed
        assert decisions.expert_counts.sum(axis=1).tolist() == [2 * windows.numel()] * 2
    else:
        assert decisions.expert_counts is decisions.expert_load is None
    assert (decisions.not_routed.tolist() == [0, 0]) if loops and experts else decisions.not_routed is None
    controls = run_controls(model, windows, window_losses(model, windows))
    expected = ["loops_shuffled", "loops_shuffled_within_token_type"] * loops
    expected += ["experts_shuffled", "without_experts"] * experts
    assert list(controls) == expected + [f"always_{count}_loops" for count in range(1, 5)] * loops
    assert all(control.mean != 0 for control in controls.values())


@pytest.mark.parametrize("ffn", ["dense", "k_loop"])
def test_model_that_decides_nothing_has_a_loss_and_no_controls(windows, ffn):
    model = family_model(ffn)
    own = window_losses(model, windows)
    assert np.isfinite(own).all() and run_controls(model, windows, own) == {}
    with pytest.raises(ValueError, match=f"a model with ffn '{ffn}' chooses neither loops nor experts"):
        count_decisions(model, windows)
    with (
        pytest.raises(ValueError, match=rf"{ffn}' does not decide on loops \(no depth head\)"),
        always_loops(model, loops=2),
    ):
        pass
    with pytest.raises(ValueError, match=rf"{ffn}' does not decide on experts \(no router\)"):
        shuffled_experts(model, seed=0).__enter__()
