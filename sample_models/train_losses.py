"""Training losses: next-token cross-entropy, and auxiliary losses that keep all experts and loops in use."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from sample_models.feed_forward import DenseFFN, DepthPath, RoutedFFN
from sample_models.modeling_versatile import VersatileFFNForCausalLM


@dataclass(frozen=True)
class AuxiliaryWeights:
    """Factors of the auxiliary losses. Only load balancing is in the paper."""

    load_balance: float = 0.01
    router_z: float = 5e-4
    depth_entropy: float = 0.02

    def factor(self, name: str) -> float:
        """The signed factor of an auxiliary loss: the entropy is maximised, the others are minimised."""
        return -self.depth_entropy if name == "depth_entropy" else getattr(self, name)


def load_balance_loss(router_logits: torch.Tensor, top_k: int) -> torch.Tensor:
    """Switch Transformer's N * sum_e frac_e * P_e over tokens [token, expert]; 1 when the load is even."""
    probs = router_logits.softmax(dim=-1)
    chosen = router_logits.topk(top_k, dim=-1).indices
    fraction = F.one_hot(chosen, probs.shape[-1]).to(probs.dtype).mean(dim=(0, 1))  # share of assignments, no gradient
    return probs.shape[-1] * (fraction * probs.mean(dim=0)).sum()


def auxiliary_losses(ffns: list[DenseFFN], residuals: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Name -> auxiliary loss, a mean over layers: load balance, router z-loss, entropy (nats) of the mean depth choice.

    The first two exist only with a router, the last only with a depth head. Both heads are tiny, so they are evaluated
    again on the residual stream H of each layer; the logits inside compiled layers are not accessible.
    """
    terms: dict[str, list[torch.Tensor]] = {}
    for ffn, residual in zip(ffns, residuals, strict=True):
        hidden = residual.flatten(0, -2).float()
        if isinstance(ffn, RoutedFFN):
            router_logits = F.linear(hidden, ffn.router.weight)
            terms.setdefault("load_balance", []).append(load_balance_loss(router_logits, ffn.top_k))
            terms.setdefault("router_z", []).append(router_logits.logsumexp(dim=-1).square().mean())
        if isinstance(ffn, DepthPath):
            mean_choice = F.linear(hidden, ffn.depth_head.weight).softmax(dim=-1).mean(dim=0)
            entropy = -(mean_choice * mean_choice.clamp_min(1e-9).log()).sum()
            terms.setdefault("depth_entropy", []).append(entropy)
    return {name: torch.stack(values).mean() for name, values in terms.items()}


def observe_residuals(model: VersatileFFNForCausalLM) -> list[torch.Tensor]:
    """A list to which every forward pass appends H of each layer; clear it before each pass."""
    residuals: list[torch.Tensor] = []
    for layer in model.model.layers:
        layer.hook_resid_mid.register_forward_hook(lambda module, inputs, output: residuals.append(output))
    return residuals


def next_token_loss(hidden: torch.Tensor, head: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy in nats: hidden [batch, token, d], head [vocab, d], labels [batch, token]."""
    return F.cross_entropy(F.linear(hidden, head).flatten(0, 1).float(), labels.flatten())


@torch.no_grad()
def held_out_loss(model: torch.nn.Module, windows: torch.Tensor, batch: int) -> float:
    """Mean next-token cross-entropy in nats over windows [window, token], in eval mode."""
    model.eval()
    losses = [model(part, labels=part, use_cache=False).loss * len(part) for part in windows.split(batch)]
    model.train()
    return (sum(losses) / len(windows)).item()


__all__ = [
    "AuxiliaryWeights", "auxiliary_losses", "held_out_loss", "load_balance_loss", "next_token_loss",
    "observe_residuals",
]  # fmt: skip
