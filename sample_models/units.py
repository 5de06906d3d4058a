"""Arithmetic of the FFN's hidden units: SwiGLU, the experts' slices of the units, and weights from logits."""

import torch
from torch.nn import functional as F


def at_least_float32(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in float32, or in float64 if it is: half precision is too coarse to compare logits."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def weights_among(logits: torch.Tensor) -> torch.Tensor:
    """Weights of experts from their router logits [..., k]: a softmax over these alone."""
    return at_least_float32(logits).softmax(dim=-1).to(logits.dtype)


def swiglu(projected: torch.Tensor) -> torch.Tensor:
    """silu(gate) * value of the halves [value, gate]: [..., 2f] -> [..., f]."""
    value, gate = projected.chunk(2, dim=-1)
    return F.silu(gate) * value


def weigh_slices(units: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Each expert's slice of the hidden units times its share: [..., f], [..., expert] -> [..., f]."""
    return (units.unflatten(-1, (share.shape[-1], -1)) * share[..., None]).flatten(-2)


def swiglu_(projected: torch.Tensor) -> torch.Tensor:
    """`swiglu` in place: overwrites the gate's half of `projected` and returns a view of it."""
    value, gate = projected.chunk(2, dim=-1)
    return F.silu(gate, inplace=True).mul_(value)


def each_alone(slices: torch.Tensor) -> torch.Tensor:
    """The hidden units with all slices but one 0, for each of them: [..., expert, s] -> [..., expert, f]."""
    one = torch.eye(slices.shape[-2], dtype=slices.dtype, device=slices.device)[..., None]
    return (one * slices[..., None, :, :]).flatten(-2)


def units_until(loop_probs: torch.Tensor, written: list[torch.Tensor]) -> torch.Tensor:
    """Sum [b p f] of the units of every loop [b p f] up to the chosen one; `loop_probs` [b p loop] is one-hot."""
    ran = loop_probs.flip(-1).cumsum(dim=-1).flip(-1)
    return sum(share * each for share, each in zip(ran.split(1, dim=-1), written, strict=True))


__all__ = ["at_least_float32", "each_alone", "swiglu", "swiglu_", "units_until", "weigh_slices", "weights_among"]
