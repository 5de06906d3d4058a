"""The paper's baselines and ablations, as whole models: what they save, decode, pad and show."""

import pytest
import torch

from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.feed_forward import FFN
from sample_models.modeling_versatile import Tap, VersatileFFNForCausalLM

EXPERTS = {"router_logits", "expert_indices", "expert_weights", "expert_out"}
STATES = {f"{name}_{loop}" for name in ("depth_state", "post") for loop in (1, 2, 3)}
LOOPS = {"depth_slices", "depth_logits", "loop_choice", "depth_out"} | STATES
TAPS = {
    "dense": set(),
    "k_loop": STATES,
    "moe": EXPERTS,
    "width": EXPERTS | {"width_out"},
    "depth": LOOPS,
    "average": LOOPS | EXPERTS | {"width_out"},
    "versatile": LOOPS | EXPERTS | {"width_out", "lambda"},
}
"""What each FFN shows beside its input and output, in a model of three loops."""

BASE = 2 * (32 * 11) + 2 * (4 * 32 * 32 + 3 * 32 * 64 + 2 * 32) + 32
HEADS = {"moe": 8, "width": 8, "depth": 3, "average": 11, "versatile": 11}


def family_model(ffn: str) -> VersatileFFNForCausalLM:
    """A model with spread-out decisions, in eval mode."""
    torch.manual_seed(4)
    sizes = dict(vocab_size=11, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
    special = dict(bos_token_id=None, eos_token_id=0, pad_token_id=0)
    config = VersatileFFNConfig(**sizes, **special, max_loops=3, initializer_range=0.2, ffn=ffn)
    return VersatileFFNForCausalLM(config).eval()


@pytest.fixture(params=FFN)
def ffn(request):
    return request.param


@pytest.fixture
def ids():
    return torch.arange(2 * 12).view(2, 12) * 7 % 10 + 1


@torch.no_grad()
def test_model_of_each_kind_is_saved_and_loaded_bit_for_bit(ffn, ids, tmp_path):
    model = family_model(ffn)
    model.save_pretrained(tmp_path)
    loaded = VersatileFFNForCausalLM.from_pretrained(tmp_path)
    assert loaded.config.ffn == ffn and type(loaded.model.layers[0].mlp) is FFN[ffn]
    assert torch.equal(loaded(ids).logits, model(ids).logits)


def test_parameters_beside_the_dense_ones_are_heads_and_real_experts(ffn):
    extra = 2 * 32 * (HEADS.get(ffn, 0) + 3 * 64 * (ffn == "moe"))
    assert family_model(ffn).num_parameters() == BASE + extra


@torch.no_grad()
def test_cache_steps_and_padding_give_the_logits_of_the_whole_pass(ffn, ids):
    model = family_model(ffn)
    whole = model(ids).logits
    output = model(ids[:, :7], use_cache=True)
    steps = [output.logits]
    for token in ids[:, 7:].split(1, dim=1):
        output = model(token, past_key_values=output.past_key_values, use_cache=True)
        steps.append(output.logits)
    torch.testing.assert_close(torch.cat(steps, dim=1), whole, rtol=0, atol=1e-5)
    padded = torch.nn.functional.pad(ids, (3, 2))  # 3 before, 2 behind
    mask = torch.nn.functional.pad(torch.ones_like(ids), (3, 2))
    positions = (mask.cumsum(dim=1) - 1).clamp_min(0)
    logits = model(padded, attention_mask=mask, position_ids=positions).logits
    torch.testing.assert_close(logits[:, 3:-2], whole, rtol=0, atol=1e-5)


@torch.no_grad()
def test_taps_are_those_of_the_quantities_that_exist_and_all_carry_them(ffn, ids):
    model = family_model(ffn)
    plain, seen = model(ids).logits, {}
    for name, tap in model.model.layers[1].mlp.named_children():
        if isinstance(tap, Tap):
            tap.register_forward_hook(lambda module, inputs, output, name=name: seen.__setitem__(name, output))
    torch.testing.assert_close(model(ids).logits, plain, rtol=0, atol=1e-5)
    assert seen.keys() == {f"hook_{name}" for name in TAPS[ffn] | {"in", "post", "out"}}


@torch.no_grad()
def test_parts_that_are_shown_sum_to_the_output(ffn, ids):
    model, seen = family_model(ffn), {}
    mlp = model.model.layers[0].mlp
    for name, tap in mlp.named_children():
        if isinstance(tap, Tap):
            tap.register_forward_hook(lambda module, inputs, output, n=name: seen.__setitem__(n[5:], output))
    model(ids)
    once = mlp.loop(seen["in"])  # H + f(H)
    if "expert_out" in seen:
        chosen = seen["expert_out"].take_along_dim(seen["expert_indices"][..., None], dim=-2)
        experts = (seen["expert_weights"][..., None] * chosen).sum(dim=-2)
    if ffn == "versatile":
        expected = seen["lambda"] * seen["width_out"] + (1 - seen["lambda"]) * seen["depth_out"]
    elif ffn == "average":
        expected = (seen["in"] + experts + seen["depth_out"]) / 2
    elif ffn in ("moe", "width"):
        expected = once + experts
    else:
        expected = {"dense": once, "k_loop": seen.get("depth_state_3"), "depth": seen.get("depth_out")}[ffn]
    torch.testing.assert_close(seen["out"], expected, rtol=0, atol=1e-5)
    written = seen["in"] + mlp.down_proj(seen["post"]) + (experts if ffn == "moe" else 0)
    torch.testing.assert_close(written, expected, rtol=0, atol=1e-5)
    if "post_1" in seen:
        torch.testing.assert_close(seen["post_1"], mlp.activations(seen["in"]), rtol=0, atol=0)
        torch.testing.assert_close(seen["post_3"], mlp.activations(seen["depth_state_2"]), rtol=0, atol=0)


@torch.no_grad()
def test_an_edited_hidden_unit_changes_what_is_written(ffn, ids):
    model, seen = family_model(ffn), {}
    mlp = model.model.layers[1].mlp
    handles = [
        tap.register_forward_hook(lambda module, inputs, output, n=n: seen.__setitem__(n, output))
        for n, tap in (("post", mlp.hook_post), ("out", mlp.hook_out))
    ]
    model(ids)
    before = dict(seen)
    handles.append(mlp.hook_post.register_forward_hook(lambda module, inputs, units: 2 * units))
    model(ids)
    torch.testing.assert_close(seen["out"] - before["out"], mlp.down_proj(before["post"]), rtol=0, atol=1e-5)
    for handle in handles:
        handle.remove()


def test_training_reaches_every_weight(ffn, ids):
    model = family_model(ffn).train()
    torch.manual_seed(0)
    model(ids, labels=ids).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.any(), name
