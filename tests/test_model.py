"""What the model promises: cost of the paths, taps that may be watched and edited, Hugging Face behaviour."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoModelForCausalLM

from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.modeling_versatile import Tap, VersatileFFNForCausalLM
from tests.golden_weights import golden, golden_model


@pytest.fixture
def model():
    return golden_model()


@pytest.fixture(scope="module")
def ids():
    return golden("tiny/eval")["input_ids"]


def logits_of(model, ids):
    with torch.no_grad():
        return model(ids, use_cache=False).logits


def watch(module, seen):
    """Append every output of the module to `seen`."""
    return module.register_forward_hook(lambda module, inputs, output: seen.append(output.detach()))


def replace(tap, edit):
    """Replace what passes the tap by `edit` of it."""
    return tap.register_forward_hook(lambda module, inputs, output: edit(output))


def small_config(**settings):
    sizes = dict(vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
    return VersatileFFNConfig(**sizes | settings)


def test_auto_classes_save_and_load_bit_for_bit(model, ids, tmp_path):
    model.save_pretrained(tmp_path)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), VersatileFFNConfig)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert isinstance(loaded, VersatileFFNForCausalLM)
    assert loaded.config.to_dict() == AutoConfig.from_pretrained(tmp_path).to_dict()
    assert torch.equal(logits_of(loaded, ids), logits_of(model, ids))
    assert loaded.model.layers[0].mlp.tau == model.config.training_tau


def test_generate_with_cache_equals_generate_without(model, ids):
    settings = dict(attention_mask=torch.ones(2, 8), max_new_tokens=10, do_sample=False, eos_token_id=None)
    cached = model.generate(ids[:, :8], use_cache=True, **settings)
    assert torch.equal(cached, model.generate(ids[:, :8], use_cache=False, **settings))


def test_no_token_runs_deeper_than_it_chose(model, ids):
    for layer in model.model.layers:
        rows, choices = [], []
        layer.mlp.up_gate_proj.register_forward_hook(
            lambda module, inputs, output, rows=rows: rows.append(output.shape[:-1].numel())
        )
        watch(layer.mlp.hook_loop_choice, choices)
        layer.counted = (rows, choices)
    logits_of(model, ids)
    for layer in model.model.layers:
        rows, (choice,) = layer.counted
        assert rows == [
            (choice >= loop).sum() for loop in range(4)
        ]  # loop 1 runs every token, later ones only those left


def test_width_path_is_zero_for_tokens_with_lambda_zero_and_for_no_other(model, ids):
    layer = model.model.layers[1]
    gates, widths = [], []
    watch(layer.mlp.hook_lambda, gates), watch(layer.mlp.hook_width_out, widths)
    logits_of(model, ids)
    routed = gates[0].squeeze(-1) > 0
    assert 0 < routed.sum() < routed.numel()
    assert torch.equal(widths[0].any(dim=-1), routed)


def test_layer_without_routed_tokens_needs_no_width_path(model, ids):
    replace(model.model.layers[0].mlp.hook_loop_choice, lambda choice: torch.full_like(choice, 3))
    assert logits_of(model, ids).isfinite().all()


def test_output_is_the_same_when_depth_states_and_expert_outputs_are_listened_to(model, ids):
    fast = logits_of(model, ids)
    seen = []
    for layer in model.model.layers:
        for name in (
            "hook_expert_out",
            "hook_width_out",
            "hook_depth_out",
            *(f"hook_depth_state_{loop}" for loop in range(1, 5)),
        ):
            watch(getattr(layer.mlp, name), seen)
    torch.testing.assert_close(logits_of(model, ids), fast, rtol=0, atol=1e-5)
    assert len(seen) == 3 * 7


def test_expert_outputs_sum_to_the_whole_ffn(model, ids):
    ffn, outputs, hiddens = model.model.layers[2].mlp, [], []
    watch(ffn.hook_expert_out, outputs), watch(ffn.hook_in, hiddens)
    logits_of(model, ids)
    with torch.no_grad():
        whole = ffn.loop(hiddens[0]) - hiddens[0]
    assert outputs[0].shape == (2, 48, 8, 64)
    torch.testing.assert_close(outputs[0].sum(dim=-2), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("loops, share", [(1, 0.75), (2, 0.5), (3, 0.25), (4, 0.0)])
def test_editing_the_loop_choice_moves_lambda_along(model, ids, loops, share):
    ffn, gates = model.model.layers[1].mlp, []
    replace(ffn.hook_loop_choice, lambda choice: torch.full_like(choice, loops - 1))
    watch(ffn.hook_lambda, gates)
    logits_of(model, ids)
    assert gates[0].eq(share).all()


def test_editing_lambda_alone_leaves_the_loops_alone(model, ids):
    ffn, depth = model.model.layers[1].mlp, []
    before, choices = logits_of(model, ids), []
    watch(ffn.hook_depth_out, depth), watch(ffn.hook_loop_choice, choices)
    logits_of(model, ids)
    replace(ffn.hook_lambda, lambda gate: torch.full_like(gate, 0.5))
    after = logits_of(model, ids)
    assert torch.equal(choices[0], choices[1]) and torch.equal(depth[0], depth[1])
    assert not torch.equal(before, after)


def test_editing_the_experts_replaces_them(model, ids):
    ffn, indices, widths, outputs = model.model.layers[0].mlp, [], [], []
    replace(ffn.hook_expert_indices, lambda chosen: chosen * 0 + torch.tensor([5, 2]))
    replace(ffn.hook_expert_weights, lambda weights: weights * 0 + torch.tensor([1.0, 0.0]))
    watch(ffn.hook_width_out, widths), watch(ffn.hook_in, indices)
    logits_of(model, ids)
    watch(ffn.hook_expert_out, outputs)
    logits_of(model, ids)
    ran = widths[0].any(dim=-1)
    torch.testing.assert_close(widths[0][ran], (indices[0] + outputs[0][..., 5, :])[ran], rtol=0, atol=1e-5)


def test_edit_of_the_additive_output_is_added_to_the_residual_stream(model, ids):
    layer, middle, after = model.model.layers[1], [], []
    replace(layer.hook_mlp_out, lambda update: update * 0 + 1)
    watch(layer.hook_resid_mid, middle), watch(layer.hook_resid_post, after)
    logits_of(model, ids)
    assert torch.equal(after[0], middle[0] + 1)


DECISIONS = ("depth_logits", "loop_choice", "lambda", "router_logits", "expert_indices", "expert_weights")


@pytest.mark.parametrize("name", [*(f"mlp.hook_{name}" for name in DECISIONS), "mlp.hook_in", "mlp.hook_out"])
def test_watching_a_decision_leaves_logits_bit_equal(model, ids, name):
    before = logits_of(model, ids)
    for layer in model.model.layers:
        watch(layer.get_submodule(name), [])
    assert torch.equal(logits_of(model, ids), before)


def test_watching_the_residual_stream_leaves_logits_bit_equal(model, ids):
    before = logits_of(model, ids)
    for layer in model.model.layers:
        for name in ("resid_pre", "resid_mid", "resid_post", "mlp_out"):
            watch(getattr(layer, f"hook_{name}"), [])
    assert torch.equal(logits_of(model, ids), before)


def test_every_tap_carries_a_tensor_when_listened_to(model, ids):
    taps = {name: module for name, module in model.named_modules() if isinstance(module, Tap)}
    seen = {}
    for name, tap in taps.items():
        tap.register_forward_hook(lambda module, inputs, output, name=name: seen.__setitem__(name, output))
    logits_of(model, ids)
    assert seen.keys() == taps.keys() and len(taps) == 3 * 25
    assert not any(True for tap in taps.values() for _ in tap.parameters())


def test_half_precision_runs_in_eval_with_half_precision_output(ids):
    logits = logits_of(golden_model().to(torch.bfloat16), ids)
    assert logits.dtype == torch.bfloat16 and logits.isfinite().all()


def test_half_precision_trains_with_finite_gradients_everywhere(ids):
    model = golden_model().to(torch.bfloat16).train()
    output = model(ids, labels=ids, use_cache=False)
    output.loss.backward()
    assert output.logits.dtype == torch.bfloat16 and output.loss.isfinite()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.any(), name


def test_autocast_trains_with_finite_gradients_everywhere(ids):
    model = golden_model().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(ids, labels=ids, use_cache=False).loss
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(num_experts=5), "intermediate_size must be a multiple of num_experts .* got 32 and 5"),
        (dict(num_experts_per_tok=9), r"num_experts_per_tok must be 1\.\.num_experts, got 9 of 8"),
        (dict(num_experts_per_tok=0), r"num_experts_per_tok must be 1\.\.num_experts, got 0 of 8"),
        (dict(max_loops=0), "max_loops must be at least 1, got 0"),
        (dict(num_experts=0), "num_experts must be at least 1, got 0"),
        (dict(ffn="wide"), "ffn"),
    ],
)
def test_config_refuses_sizes_that_do_not_fit(settings, message):
    with pytest.raises(StrictDataclassError, match=message):
        small_config(**settings)


def test_dense_layer_is_llamas_sum_with_one_pass():
    torch.manual_seed(0)
    ffn = VersatileFFNForCausalLM(small_config(ffn="dense")).model.layers[0].mlp
    hidden = torch.randn(2, 5, 16)
    value, gate = (ffn.norm(hidden) @ ffn.up_gate_proj.weight.T).split(32, dim=-1)
    expected = hidden + (torch.nn.functional.silu(gate) * value) @ ffn.down_proj.weight.T
    torch.testing.assert_close(ffn(hidden), expected)


def test_temperature_does_nothing_in_eval(model, ids):
    before = logits_of(model, ids)
    model.set_tau(5.0)
    assert torch.equal(logits_of(model, ids), before)


def test_temperature_changes_gradients_but_not_the_forward_value_for_given_noise(ids):
    losses, gradients = [], []
    for tau in (0.5, 5.0):
        model = golden_model().train()
        model.set_tau(tau)
        torch.manual_seed(7)
        loss = model(ids, labels=ids, use_cache=False).loss
        loss.backward()
        losses.append(loss.item()), gradients.append(model.model.layers[0].mlp.depth_head.weight.grad)
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert gradients[0].norm() > 2 * gradients[1].norm()


def test_rope_theta_is_read_like_every_other_field(tmp_path):
    config = small_config(rope_theta=500.0)
    config.save_pretrained(tmp_path)
    assert VersatileFFNConfig.from_pretrained(tmp_path).rope_theta == config.rope_theta == 500.0
