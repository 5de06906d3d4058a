"""TransformerBridge over our models: the same numbers, TransformerLens' own tools, and the loaded model left alone."""

import numpy as np
import pytest
import torch
from tokenizers import processors
from transformer_lens import patching

from hooks import HookedVersatileFFN, capture, to_bridge
from sample_models import load_model
from sample_models.loading import LoadedModel
from tests.models import byte_tokenizer, small_loaded
from tests.olmo_folders import write_olmo

TEXT = "The fox went softly, 7 + 5 = 12."
KINDS = ["dense", "k_loop", "moe", "width", "depth", "average", "versatile"]
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def bridged():
    """A loaded model with grouped key/value heads and its bridge; read-only."""
    loaded = small_loaded(num_attention_heads=4, num_key_value_heads=2)
    return loaded, to_bridge(loaded)


@pytest.fixture(scope="module")
def cached(bridged):
    """Logits and cache of everything that the bridge shows for TEXT."""
    with torch.no_grad():
        return bridged[1].run_with_cache(TEXT)


def plain_logits(loaded, text=TEXT):
    with torch.no_grad():
        return loaded.model(torch.tensor([loaded.tokenizer(text).input_ids])).logits


@torch.no_grad()
@pytest.mark.parametrize("ffn", KINDS)
def test_bridge_gives_the_logits_of_every_kind_of_model(ffn):
    loaded = small_loaded(ffn=ffn)
    torch.testing.assert_close(to_bridge(loaded)(TEXT), plain_logits(loaded), rtol=0, atol=TOLERANCE)


@torch.no_grad()
def test_bridge_gives_the_logits_of_a_tied_model_in_half_precision():
    loaded = small_loaded(tie_word_embeddings=True)
    half = LoadedModel(loaded.model.bfloat16(), loaded.tokenizer, "half")
    bridge = to_bridge(half)
    assert bridge(TEXT).dtype == torch.bfloat16
    torch.testing.assert_close(bridge(TEXT), plain_logits(half), rtol=0.02, atol=0.1)


def test_cached_run_gives_the_same_logits_and_routing(bridged, cached):
    loaded, _ = bridged
    logits, cache = cached
    torch.testing.assert_close(logits, plain_logits(loaded), rtol=0, atol=TOLERANCE)
    trace = capture(loaded, TEXT)
    for layer in range(2):
        np.testing.assert_array_equal(cache[f"blocks.{layer}.mlp.hook_loop_choice"][0] + 1, trace.loops[layer])
        np.testing.assert_array_equal(cache[f"blocks.{layer}.mlp.hook_expert_indices"][0], trace.expert_ids[layer])


def test_bridge_shows_what_the_hook_points_show_under_the_same_names(bridged, cached):
    loaded, _ = bridged
    with torch.no_grad():
        ids = torch.tensor([loaded.tokenizer(TEXT).input_ids])
        _, expected = HookedVersatileFFN(small_copy(loaded)).run_with_cache(ids)
    assert len(expected) == 2 * (4 + 21)
    for name, tensor in expected.items():
        torch.testing.assert_close(
            cached[1][name], tensor, rtol=0, atol=TOLERANCE, msg=lambda m, name=name: f"{name}: {m}"
        )


def small_copy(loaded):
    copy = type(loaded.model)(loaded.config).eval()
    copy.load_state_dict(loaded.model.state_dict())
    return copy


def test_parts_of_the_residual_stream_sum_to_it(cached):
    _, cache = cached
    parts, labels = cache.decompose_resid(return_labels=True)
    assert labels == ["embed", "0_attn_out", "0_mlp_out", "1_attn_out", "1_mlp_out"]
    torch.testing.assert_close(parts.sum(0), cache["blocks.1.hook_resid_post"], rtol=0, atol=TOLERANCE)
    assert not torch.allclose(cache["blocks.1.hook_mlp_out"], cache["blocks.1.mlp.hook_out"])  # that one holds H too


@torch.no_grad()
def test_neuron_tools_sum_to_what_the_ffn_added(bridged, cached):
    loaded, bridge = bridged
    logits, cache = cached
    results, labels = cache.stack_neuron_results(-1, return_labels=True)  # [layer * unit, batch, token, d]
    assert labels[-1] == "L1N63" and bridge.W_in.shape == bridge.W_gate.shape == (2, 32, 64)
    for layer in range(2):
        written = results[64 * layer :][:64].sum(0)
        torch.testing.assert_close(written, cache[f"blocks.{layer}.hook_mlp_out"], rtol=0, atol=TOLERANCE)
    mlp, norm = bridge.blocks[0].mlp, loaded.model.model.layers[0].mlp.norm
    normed = norm(cache["blocks.0.mlp.hook_in"])
    units = torch.nn.functional.silu(normed @ mlp.W_gate) * (normed @ mlp.W_in) + mlp.b_in
    torch.testing.assert_close(units, cache["blocks.0.mlp.hook_post_1"], rtol=0, atol=TOLERANCE)
    ones = cache["blocks.0.mlp.hook_loop_choice"] == 3  # every loop and no width path
    all_loops = sum(cache[f"blocks.0.mlp.hook_post_{loop}"] for loop in (1, 2, 3, 4))
    torch.testing.assert_close(cache["blocks.0.mlp.hook_post"][ones], all_loops[ones], rtol=0, atol=TOLERANCE)
    assert 0 < ones.sum() < ones.numel()


def test_attention_patterns_are_causal_distributions(cached):
    pattern = cached[1]["blocks.0.attn.hook_pattern"]  # [batch, head, query, key]
    assert pattern.shape == (1, 4, len(TEXT), len(TEXT))
    torch.testing.assert_close(pattern.sum(-1), torch.ones(1, 4, len(TEXT)))
    assert not pattern.triu(1).any()


@torch.no_grad()
def test_logit_lens_ends_in_the_models_own_logits(bridged, cached):
    logits, cache = cached
    bridge = bridged[1]
    states, labels = cache.accumulated_resid(incl_mid=True, return_labels=True)
    assert labels == ["0_pre", "0_mid", "1_pre", "1_mid", "final_post"]
    torch.testing.assert_close(bridge.unembed(bridge.ln_final(states[-1])), logits, rtol=0, atol=TOLERANCE)


@torch.no_grad()
def test_patching_a_whole_layer_carries_the_answer_over(bridged):
    _, bridge = bridged
    clean, other = bridge.to_tokens("A fox"), bridge.to_tokens("A cat")
    clean_logits, cache = bridge.run_with_cache(clean)

    def gap(logits):
        return (logits[0, -1] - clean_logits[0, -1]).abs().max()

    found = patching.get_act_patch_resid_pre(bridge, other, cache, gap)  # [layer, token]
    assert found.shape == (2, 5)
    assert gap(bridge(other)) > 0.1 and found.max() > 0.1
    for name in ("blocks.0.hook_resid_pre", "blocks.1.hook_resid_pre", "blocks.1.hook_resid_post"):
        patched = bridge.run_with_hooks(other, fwd_hooks=[(name, lambda value, hook: cache[hook.name])])
        assert gap(patched) < TOLERANCE


@torch.no_grad()
def test_edited_decisions_take_effect(bridged, cached):
    _, bridge = bridged

    def once(choice, hook):
        return torch.zeros_like(choice)

    with bridge.hooks(fwd_hooks=[("blocks.0.mlp.hook_loop_choice", once)]):
        logits, cache = bridge.run_with_cache(TEXT)
    assert (cache["blocks.0.mlp.hook_lambda"] == 0.75).all()
    torch.testing.assert_close(cache["blocks.0.mlp.hook_depth_out"], cache["blocks.0.mlp.hook_depth_state_1"])
    assert (logits - cached[0]).abs().max() > 0.01
    torch.testing.assert_close(bridge(TEXT), cached[0], rtol=0, atol=TOLERANCE)  # the hook is gone


@torch.no_grad()
def test_edited_addition_of_the_ffn_is_what_is_added(bridged, cached):
    _, bridge = bridged
    with bridge.hooks(fwd_hooks=[("blocks.1.hook_mlp_out", lambda value, hook: torch.zeros_like(value))]):
        _, cache = bridge.run_with_cache(TEXT)
    torch.testing.assert_close(cache["blocks.1.hook_resid_post"], cached[1]["blocks.1.hook_resid_mid"])


@torch.no_grad()
def test_bridge_has_its_own_weights_and_leaves_the_model_alone(bridged):
    loaded, _ = bridged
    before, modules = loaded.weights_sha256, [type(module) for module in loaded.model.modules()]
    attention, eos = loaded.config._attn_implementation, loaded.tokenizer.special_tokens_map
    logits = plain_logits(loaded)
    bridge = to_bridge(loaded)
    for parameter in bridge.parameters():
        parameter.zero_()
    assert LoadedModel(loaded.model, loaded.tokenizer, "again").weights_sha256 == before
    assert torch.equal(plain_logits(loaded), logits)
    assert [type(module) for module in loaded.model.modules()] == modules
    assert loaded.config._attn_implementation == attention and loaded.tokenizer.special_tokens_map == eos


def test_hooks_on_the_loaded_model_do_not_come_along():
    loaded, called = small_loaded(), []
    loaded.model.model.layers[0].mlp.hook_out.register_forward_hook(lambda *_: called.append("hook"))
    to_bridge(loaded)(TEXT)
    assert not called
    plain_logits(loaded)
    assert called


@pytest.mark.parametrize("adds", [False, True])
def test_texts_become_the_tokens_that_capture_sees(adds):
    tokenizer = byte_tokenizer(bos_token="<s>")
    if adds:
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
        )
    loaded = LoadedModel(small_loaded().model, tokenizer, "bos")
    found = to_bridge(loaded).to_tokens("A fox.")[0].tolist()
    assert found == capture(loaded, "A fox.").token_ids.tolist()
    assert len(found) == 6 + adds


def test_end_that_the_tokenizer_adds_stays_as_in_capture():
    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", tokenizer.eos_token_id)]
    )
    loaded = LoadedModel(small_loaded().model, tokenizer, "eos")
    found = to_bridge(loaded).to_tokens("A fox.")[0].tolist()
    assert found == capture(loaded, "A fox.").token_ids.tolist()
    assert found[-1] == tokenizer.eos_token_id


def test_list_of_texts_that_cannot_be_padded_is_refused_in_a_sentence():
    tokenizer = byte_tokenizer(eos_token=None)
    bridge = to_bridge(LoadedModel(small_loaded(vocab_size=256).model, tokenizer, "no end"))
    assert bridge.to_tokens("A fox.").shape == (1, 6)
    assert bridge(["A fox.", "A cat."]).shape == (2, 6, 256)
    with pytest.raises(ValueError, match="^the tokenizer of this model has no token to pad with .*: give one text at"):
        bridge(["A fox.", "A"])


@torch.no_grad()
def test_model_without_a_tokenizer_is_bridged_for_token_ids(tmp_path):
    loaded = load_model(write_olmo(tmp_path))
    bridge, ids = to_bridge(loaded), torch.tensor([[12, 7, 99]])
    torch.testing.assert_close(bridge(ids), loaded.model(ids).logits, rtol=0, atol=TOLERANCE)


@torch.no_grad()
def test_bridge_generates_what_the_model_generates(bridged):
    loaded, bridge = bridged
    ids = bridge.to_tokens("A fox")
    expected = loaded.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=5, do_sample=False)
    assert torch.equal(bridge.generate(ids, max_new_tokens=5, do_sample=False, verbose=False), expected)
