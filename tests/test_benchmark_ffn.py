"""The benchmark of the FFN compares like with like: the released algorithm is right, and the counts are what runs."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.ffn import SHARES, ReleasedFFN, attention_passes, ffn_passes, peak_memory, plant, planted_choice
from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.feed_forward import VersatileFFN
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from tests.golden_weights import CONFIG, golden, golden_model

TOKENS = 100


@pytest.fixture
def config():
    return VersatileFFNConfig(vocab_size=8, hidden_size=16, intermediate_size=64, num_attention_heads=2)


@torch.no_grad()
def test_released_algorithm_gives_the_released_codes_outputs():
    model, expected = golden_model(), golden("tiny/eval")
    for layer in range(CONFIG["num_hidden_layers"]):
        output = ReleasedFFN(model.model.layers[layer].mlp)(expected[f"blocks.{layer}.x_out"])
        torch.testing.assert_close(output, expected[f"blocks.{layer}.x_final"], rtol=0, atol=5e-5)


@pytest.mark.parametrize("shares", SHARES.values())
def test_planted_loops_have_the_shares(shares):
    counts = planted_choice(shares, TOKENS).flatten().bincount()
    assert counts.tolist() == [round(share * TOKENS) for share in shares]


@torch.no_grad()
@pytest.mark.parametrize("shares", SHARES.values())
def test_predicted_passes_are_the_multiplications_that_run(config, shares):
    ffn, hidden, choice = VersatileFFN(config).eval(), torch.randn(1, TOKENS, 16), planted_choice(shares, TOKENS)
    plant(ffn, choice)
    heads = 2 * TOKENS * 16 * (config.num_experts + config.max_loops)
    routed = int((choice < 3).sum())
    gate = 2 * TOKENS * config.max_loops  # lambda as a product with the loops' numbers, in ours alone
    # The released code asks the router about routed tokens only.
    extra = {"released": heads - 2 * (TOKENS - routed) * 16 * config.num_experts, "ours": heads + gate}
    modules = {"released": ReleasedFFN(ffn), "ours": ffn}
    for passes, (name, module) in zip(ffn_passes(choice, config), modules.items(), strict=True):
        with FlopCounterMode(display=False) as counter:
            module(hidden)
        assert counter.get_total_flops() - extra[name] == pytest.approx(passes * 6 * 16 * 64 * TOKENS)


@torch.no_grad()
def test_attention_is_counted_with_half_of_its_pairs(config):
    config._attn_implementation = "eager"  # whose multiplications are counted
    attention = VersatileFFNForCausalLM(config).model.layers[0].self_attn
    rotary = torch.ones(1, TOKENS, 8), torch.zeros(1, TOKENS, 8)
    with FlopCounterMode(display=False) as counter:
        attention(torch.randn(1, TOKENS, 16), position_embeddings=rotary, attention_mask=None)
    pairs = 4 * TOKENS * TOKENS * 16  # all of them run
    expected = (counter.get_total_flops() - pairs / 2) / (6 * 16 * 64 * TOKENS)
    assert attention_passes(config, TOKENS) == pytest.approx(expected)


def test_peak_memory_counts_what_is_alive_at_once():
    outside = torch.zeros(1024, 256)  # 1 MiB
    assert peak_memory(lambda: (outside + 1) + 1) == 2
    assert peak_memory(lambda: [(outside + 1).sum() for _ in range(3)]) == pytest.approx(1, abs=1e-4)
    assert peak_memory(lambda: outside.T[3:]) == 0


@torch.inference_mode()
@pytest.mark.parametrize("shares", SHARES.values())
def test_ffn_holds_less_memory_than_the_released_algorithm(shares):
    config = VersatileFFNConfig(vocab_size=8, hidden_size=256, intermediate_size=1024, num_attention_heads=2)
    ffn, hidden = VersatileFFN(config).eval(), torch.randn(1, 512, 256)
    plant(ffn, planted_choice(shares, 512))
    assert peak_memory(lambda: ffn(hidden)) < 0.85 * peak_memory(lambda: ReleasedFFN(ffn)(hidden))
