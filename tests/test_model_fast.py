"""The forward pass in which every token runs its own loops and nothing else, against the one that keeps all parts."""

import pytest
import torch

from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.feed_forward import FFN
from sample_models.modeling_versatile import Tap, VersatileFFNForCausalLM

FAST = ("width", "depth", "average", "versatile")
"""The kinds that have a faster way to their output."""
SIZES = [{}, dict(num_experts=4, num_experts_per_tok=3, max_loops=3), dict(max_loops=1), dict(num_experts_per_tok=1)]
PATHS = ("hook_depth_state", "hook_depth_out", "hook_width_out", "hook_expert_out")


def config(**settings) -> VersatileFFNConfig:
    sizes = dict(vocab_size=11, hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2)
    return VersatileFFNConfig(**sizes | dict(bos_token_id=None, eos_token_id=0, pad_token_id=0) | settings)


def ffn_of(kind: str, dtype=torch.float64, **settings) -> torch.nn.Module:
    """An FFN with spread-out weights in eval mode; in float64 throughout, which Llama's norm is not."""
    torch.manual_seed(5)
    ffn = FFN[kind](config(**settings))
    ffn.norm = torch.nn.RMSNorm(16, eps=1e-6)
    for parameter in ffn.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.ndim == 1), std=0.4)
    return ffn.to(dtype).eval()


def replace(tap: Tap, edit) -> None:
    tap.register_forward_hook(lambda module, inputs, output: edit(output))


def with_all_parts(module: torch.nn.Module, run):
    """What `run` gives while somebody listens to the paths of every FFN inside `module`."""
    taps = [tap for path, tap in module.named_modules() if path.rpartition(".")[2].startswith(PATHS)]
    heard = []
    handles = [tap.register_forward_hook(lambda module, inputs, output: heard.append(1)) for tap in taps]
    output = run()
    for handle in handles:
        handle.remove()
    assert len(heard) >= len(taps) > 0
    return output


@torch.no_grad()
@pytest.mark.parametrize("settings", SIZES, ids=str)
@pytest.mark.parametrize("kind", FAST)
def test_both_ways_give_the_same_output_in_float64(kind, settings):
    ffn = ffn_of(kind, **settings)
    for shape in ((2, 40), (1, 1), (3, 0)):
        hidden = torch.randn(*shape, 16, dtype=torch.float64)
        before = hidden.clone()
        torch.testing.assert_close(ffn(hidden), with_all_parts(ffn, lambda x=hidden: ffn(x)), rtol=0, atol=1e-12)
        assert torch.equal(hidden, before)  # what is done in place is done to copies


@torch.no_grad()
@pytest.mark.parametrize("loops", [1, 2, 3, 4, "mixed"])
@pytest.mark.parametrize("gate", [None, 0.0, 0.3, 1.0, 1.5, -0.5, "mixed"])
def test_edited_loops_and_lambda_give_the_same_output(loops, gate):
    ffn, hidden = ffn_of("versatile"), torch.randn(2, 40, 16, dtype=torch.float64)
    choice = torch.randint(0, 4, (2, 40)) if loops == "mixed" else torch.full((2, 40), loops - 1)
    replace(ffn.hook_loop_choice, lambda own: choice)
    if gate is not None:
        lambdas = (
            torch.rand(2, 40, 1).double() if gate == "mixed" else torch.full((2, 40, 1), gate, dtype=torch.float64)
        )
        replace(ffn.hook_lambda, lambda own: lambdas)
    own = ffn(hidden)
    torch.testing.assert_close(own, with_all_parts(ffn, lambda: ffn(hidden)), rtol=0, atol=1e-12)
    if gate == 0.3:  # by hand: a lambda that the loops do not give
        states, shared = [hidden], ffn.expert_share(*ffn.choose_experts(hidden))
        for _ in range(4):
            states.append(ffn.loop(states[-1]))
        deep = torch.stack(states[1:], dim=-2).take_along_dim(choice[..., None, None], dim=-2).squeeze(-2)
        wide = hidden + torch.einsum("bpe,bped->bpd", shared, ffn.expert_outputs(ffn.activations(hidden)))
        torch.testing.assert_close(own, 0.3 * wide + 0.7 * deep, rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("kind", FAST)
def test_edited_decisions_give_the_same_output_and_matter(kind):
    ffn, hidden = ffn_of(kind), torch.randn(2, 40, 16, dtype=torch.float64)
    edits = {
        "hook_depth_logits": lambda logits: -logits,
        "hook_loop_choice": lambda choice: 3 - choice,
        "hook_lambda": lambda gate: gate / 2,
        "hook_router_logits": lambda logits: -logits,
        "hook_expert_indices": lambda indices: (indices + 3) % 8,
        "hook_expert_weights": lambda weights: weights * 0.5,
    }
    for name, edit in edits.items():
        if not hasattr(ffn, name):
            continue
        before = ffn(hidden)
        replace(getattr(ffn, name), edit)
        assert not torch.allclose(ffn(hidden), before)
        torch.testing.assert_close(ffn(hidden), with_all_parts(ffn, lambda: ffn(hidden)), rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("kind", FAST)
def test_bfloat16_is_no_coarser_than_with_all_parts(kind):
    exact, ffn = ffn_of(kind), ffn_of(kind, torch.bfloat16)
    hidden = torch.randn(4, 64, 16).bfloat16()
    for name in {"hook_loop_choice", "hook_expert_indices"} & dict(ffn.named_children()).keys():
        getattr(ffn, name).register_forward_hook(lambda m, i, output, name=name: keep.__setitem__(name, output))
        replace(getattr(exact, name), lambda own, name=name: keep[name])  # the same decisions in both
    keep = {}
    fast, parts = ffn(hidden), with_all_parts(ffn, lambda: ffn(hidden))
    truth = exact(hidden.double())
    assert fast.dtype == torch.bfloat16
    assert (fast - truth).norm() <= 1.1 * (parts - truth).norm()
    assert (fast - truth).abs().max() <= 2e-2 * truth.abs().max()


@torch.no_grad()
def test_projections_run_each_token_once_per_loop_and_never_for_the_width_path():
    ffn, rows, choices = ffn_of("versatile"), {"up_gate_proj": [], "down_proj": []}, []
    for name, seen in rows.items():
        getattr(ffn, name).register_forward_hook(lambda m, i, out, seen=seen: seen.append(out.shape[:-1].numel()))
    ffn.hook_loop_choice.register_forward_hook(lambda m, i, choice: choices.append(choice))
    ffn(torch.randn(2, 40, 16, dtype=torch.float64))
    needed = [(choices[0] >= loop).sum() for loop in range(4)]
    assert all(needed) and rows == {"up_gate_proj": needed, "down_proj": needed}


def decode(model, ids, mask):
    """Logits of a padded batch: a whole pass over all but three tokens, then three cache steps."""
    positions = (mask.cumsum(dim=1) - 1).clamp_min(0)
    output, parts = None, []
    for part in (slice(0, -3), slice(-3, -2), slice(-2, -1), slice(-1, None)):
        seen = mask[:, : part.stop]
        output = model(
            ids[:, part],
            attention_mask=seen,
            position_ids=positions[:, part],
            past_key_values=output.past_key_values if output else None,
            use_cache=True,
        )
        parts.append(output.logits)
    return torch.cat(parts, dim=1)


@torch.no_grad()
@pytest.mark.parametrize("kind", FAST)
def test_padded_batch_with_cache_steps_gives_the_same_logits_and_routing(kind):
    torch.manual_seed(6)
    model = VersatileFFNForCausalLM(config(ffn=kind, initializer_range=0.3)).eval()
    ids = torch.randint(1, 11, (3, 20))
    mask = (torch.arange(20) >= torch.tensor([[0], [4], [9]])).long()
    seen: dict[str, list[torch.Tensor]] = {}
    for path, tap in model.named_modules():
        if path.endswith(("depth_logits", "router_logits", "loop_choice", "expert_indices")):
            tap.register_forward_hook(lambda m, i, out, path=path: seen.setdefault(path, []).append(out))
    fast = decode(model, ids, mask)
    own = {path: torch.cat(tensors, dim=1) for path, tensors in seen.items()}
    seen.clear()
    real = mask.bool()
    torch.testing.assert_close(
        fast[real], with_all_parts(model, lambda: decode(model, ids, mask))[real], rtol=0, atol=1e-5
    )
    compared = 0
    for path, tensors in seen.items():
        if path.endswith("logits"):
            continue
        logits, k = (("depth_logits", 1), ("router_logits", 2))[path.endswith("indices")]
        best = own[f"{path.rpartition('.')[0]}.hook_{logits}"].topk(k + 1, dim=-1).values
        sure = real & ((best[..., :-1] - best[..., 1:]).amin(dim=-1) > 1e-5)
        assert torch.equal(own[path][sure], torch.cat(tensors, dim=1)[sure])
        compared += sure.sum()
    assert compared > 0.9 * real.sum() * 3


@pytest.mark.parametrize("kind", FAST)
def test_gradient_in_eval_mode_is_that_of_the_whole_layer(kind):
    ffn, hidden = ffn_of(kind), torch.randn(1, 12, 16, dtype=torch.float64, requires_grad=True)
    gradient, towards = torch.autograd.grad(ffn(hidden).sum(), hidden)[0], torch.randn_like(hidden)
    with torch.no_grad():
        steps = [ffn(hidden + sign * 1e-6 * towards).sum() for sign in (1, -1)]
    torch.testing.assert_close((gradient * towards).sum(), (steps[0] - steps[1]) / 2e-6, rtol=1e-6, atol=1e-6)
