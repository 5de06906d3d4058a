"""Compute against quality of a distilled model: its depth heads refitted to cheaper and dearer mixes of loops.

The weights stay as they are; only the depth heads change. So a point far from the mix that the model was trained with
shows what its gate could do without further training, not what a model trained for that mix would do.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from sample_models.distil.gates import LoopErrors, loop_errors
from sample_models.distil.own_loops import own_loops
from sample_models.evaluate import BATCH, paired_difference, window_losses
from sample_models.modeling_versatile import VersatileFFNForCausalLM

TILTS = (-3.0, -2.0, -1.0, 0.0, 0.5, 1.0)
"""Each point multiplies the share of n loops by exp(tilt * n): below 0 the mix is cheaper than the one given."""


def tilted(shares: Sequence[float], tilt: float) -> list[float]:
    """Shares of 1, 2, ... loops, tilted towards fewer loops (below 0) or more, with the sum 1."""
    weights = [share * math.exp(tilt * loops) for loops, share in enumerate(shares, start=1)]
    return [weight / sum(weights) for weight in weights]


@torch.no_grad()
def frontier(
    student: VersatileFFNForCausalLM,
    teacher: VersatileFFNForCausalLM,
    windows: torch.Tensor,
    held_out: torch.Tensor,
    shares: Sequence[float],
) -> list[dict[str, float]]:
    """A row for each tilt of `shares`, cheapest first; ready for JSON.

    The heads are fitted on training windows [window, token] and measured on held-out documents [document, token]:
    mean loops over tokens and layers, loss in nats per token, and the loss minus that of the student as it is, with its
    standard error over documents. The student's own heads are put back.
    """
    own, layers = window_losses(student, held_out, BATCH), loop_errors(student, teacher, windows)
    rows = []
    for tilt in TILTS:
        with refitted(student, layers, tilted(shares, tilt)) as choices:
            losses = window_losses(student, held_out, BATCH)
        difference = paired_difference(losses, own)
        mean_loops = 1 + float(torch.cat([choice.flatten() for choice in choices]).double().mean())
        row = {"tilt": tilt, "mean_loops": mean_loops, "loss": float(losses.mean())}
        rows.append(row | {"difference": difference.mean, "standard_error": difference.standard_error})
    return rows


@contextmanager
def refitted(
    student: VersatileFFNForCausalLM, layers: Sequence[LoopErrors], shares: Sequence[float]
) -> Iterator[list[torch.Tensor]]:
    """Inside, the student's depth heads deal out loops in these shares; yields their choices [b p]."""
    ffns = [layer.mlp for layer in student.model.layers]
    before, choices = [ffn.depth_head.weight.clone() for ffn in ffns], []
    hooks = [
        ffn.hook_loop_choice.register_forward_hook(lambda module, inputs, choice: choices.append(choice))
        for ffn in ffns
    ]
    try:
        for ffn, layer in zip(ffns, layers, strict=True):
            ffn.depth_head.weight.copy_(layer.depth_weights(shares))
        with own_loops(student):
            yield choices
    finally:
        for hook in hooks:
            hook.remove()
        for ffn, weight in zip(ffns, before, strict=True):
            ffn.depth_head.weight.copy_(weight)


__all__ = ["frontier", "refitted", "tilted"]
