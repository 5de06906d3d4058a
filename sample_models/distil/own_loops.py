"""The versatile FFN with each token running its own loops and nothing else, differentiable."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType

import torch

from sample_models.feed_forward import VersatileFFN
from sample_models.lambda_gate import width_share
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.units import swiglu, weigh_slices


def own_loops_output(ffn: VersatileFFN, hidden: torch.Tensor) -> torch.Tensor:
    """Y [b p d] of H [b p d], as `VersatileFFN.output` gives it in eval mode, at the cost of the chosen loops alone.

    Gradients reach the FFN, the router (through the weights of the chosen experts) and H. None reaches the depth head,
    since the states that were not chosen are not computed. The algebra is that of `DepthPath.early_exit`.
    """
    choice, _ = ffn.choose_loops(hidden)
    shares = ffn.expert_share(*ffn.choose_experts(hidden)).flatten(0, -2)
    choice = choice.flatten()
    order = choice.argsort(descending=True, stable=True)  # those that go on come first
    leave_after = torch.bincount(choice, minlength=ffn.max_loops).tolist()
    start = hidden.flatten(0, -2)[order]
    wide = width_share(choice[order] + 1, ffn.max_loops).to(start.dtype)[:, None]  # lambda [token 1]
    shares = shares[order]
    state, outputs, first_units = start, [], None
    for count in leave_after:
        remaining = len(state) - count
        units = swiglu(ffn.up_gate_proj(ffn.norm(state)))
        if first_units is None:
            first_units = weigh_slices(units, (wide * shares).to(units.dtype))  # lambda * share * a(H)
        leaving = slice(remaining, len(state))
        deep = 1 - wide[leaving]
        last_units = deep.to(units.dtype) * units[leaving] + first_units[leaving]
        step = ffn.down_proj(torch.cat([units[:remaining], last_units]))
        outputs.append(deep * state[leaving] + wide[leaving] * start[leaving] + step[remaining:])
        state = state[:remaining] + step[:remaining]
        if remaining == 0:
            break
    return torch.cat(outputs[::-1])[order.argsort()].view_as(hidden)


def output_of_each_loop_count(ffn: VersatileFFN, hidden: torch.Tensor) -> torch.Tensor:
    """Y [b p loop d] of H [b p d] for every number of loops, with λ following it."""
    shares = ffn.expert_share(*ffn.choose_experts(hidden))
    wide, state, outputs = ffn.loop(hidden, shares), hidden, []
    for loops in range(1, ffn.max_loops + 1):
        state = ffn.loop(state)
        share = width_share(loops, ffn.max_loops)
        outputs.append(share * wide + (1 - share) * state)
    return torch.stack(outputs, dim=-2)


@contextmanager
def own_loops(model: VersatileFFNForCausalLM) -> Iterator[None]:
    """Inside, the model is in eval mode and every FFN runs `own_loops_output`: the choice is the one it will make."""
    was_training = model.training
    model.eval()
    ffns = [layer.mlp for layer in model.model.layers]
    try:
        for ffn in ffns:
            ffn.output = MethodType(own_loops_output, ffn)
        yield
    finally:
        for ffn in ffns:
            del ffn.output
        model.train(was_training)


__all__ = ["output_of_each_loop_count", "own_loops", "own_loops_output"]
