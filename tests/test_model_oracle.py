"""Every FFN of the family against a slow per-token reference of its equations, in eval and in training."""

import pytest
import torch

from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.feed_forward import FFN
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from tests.oracle import OracleFFN


def config(**settings) -> VersatileFFNConfig:
    sizes = dict(vocab_size=11, hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2)
    return VersatileFFNConfig(**sizes | dict(bos_token_id=None, eos_token_id=0, pad_token_id=0) | settings)


def spread_out(module: torch.nn.Module, seed: int, std: float = 0.5) -> torch.nn.Module:
    """Fresh weights large enough that tokens differ in loops and experts."""
    torch.manual_seed(seed)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.ndim == 1), std=std)
    return module


def float64_ffn(kind: str, seed: int, **settings) -> torch.nn.Module:
    """An FFN that is float64 throughout: Llama's norm, which computes in float32, gives way to torch's."""
    ffn = FFN[kind](config(**settings))
    ffn.norm = torch.nn.RMSNorm(8, eps=1e-6)
    return spread_out(ffn, seed).double()


def decisions(ffn: torch.nn.Module, hidden: torch.Tensor) -> dict[str, list[int]]:
    """The loop choices and experts that occur among these tokens."""
    found = {}
    if hasattr(ffn, "depth_head"):
        found["loops"] = ffn.choose_loops(hidden)[0].unique().tolist()
    if hasattr(ffn, "router"):
        found["experts"] = ffn.choose_experts(hidden)[0].unique().tolist()
    return found


@torch.no_grad()
@pytest.mark.parametrize("settings", [{}, dict(num_experts=4, num_experts_per_tok=3, max_loops=3)])
@pytest.mark.parametrize("kind", FFN)
def test_ffn_in_float64_equals_the_equations(kind, settings):
    ffn = float64_ffn(kind, seed=1, **settings).eval()
    hidden = torch.randn(2, 24, 8, dtype=torch.float64)
    for name, occurring in decisions(ffn, hidden).items():  # every decision is put to the test
        assert len(occurring) == (ffn.max_loops if name == "loops" else ffn.num_experts)
    torch.testing.assert_close(ffn(hidden), OracleFFN(ffn, kind)(hidden), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", FFN)
def test_training_ffn_and_its_gradients_in_float64_equal_the_equations(kind, monkeypatch):
    ffn = float64_ffn(kind, seed=2, tau=0.7).train()
    hidden = torch.randn(1, 12, 8, dtype=torch.float64)
    samples = torch.rand(1, 12, 4, dtype=torch.float64) + 0.05
    monkeypatch.setattr(torch.Tensor, "exponential_", lambda tensor: tensor.copy_(samples))
    noise = -samples.log()
    towards = torch.randn_like(hidden)
    ours, theirs = ffn(hidden), OracleFFN(ffn, kind, noise)(hidden)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    weights = list(ffn.parameters())
    expected = torch.autograd.grad((theirs * towards).sum(), weights)
    for ours_gradient, gradient in zip(torch.autograd.grad((ours * towards).sum(), weights), expected, strict=True):
        assert gradient.any()
        assert (ours_gradient - gradient).norm() <= 1e-10 * gradient.norm()


@torch.no_grad()
def test_whole_model_with_the_reference_in_place_of_its_ffns_gives_the_same_logits():
    model = spread_out(VersatileFFNForCausalLM(config()), seed=3, std=0.3).eval()
    ids = torch.randint(0, 11, (2, 16))
    logits = model(ids).logits
    for layer in model.model.layers:
        layer.mlp = OracleFFN(layer.mlp)
    torch.testing.assert_close(model(ids).logits, logits, rtol=0, atol=1e-5)
