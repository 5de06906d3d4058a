"""Held-out measurements of a model: its loss, and the decisions of router and depth head. Controls: see `controls`."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.taps import HOOK_NAMES, record

BATCH = 8
"""Windows per forward pass."""
HEAD_TOKENS = 2048
"""Tokens whose logits over the vocabulary are in memory at a time."""


@dataclass(frozen=True, eq=False)
class Decisions:
    """Counts of the decisions of router and depth head over a text.

    Counts of a head that the model lacks are None, and so is what is derived from them.
    """

    loop_counts: np.ndarray | None
    """[layer, loop] number of tokens that took that many loops; index 0 is one loop. None without a depth head."""

    expert_counts: np.ndarray | None
    """[layer, expert] number of routed tokens assigned to the expert, k experts per token. None without a router."""

    gated: bool = True
    """Whether lambda decides which tokens route (ffn "versatile"); otherwise every token does."""

    @property
    def loop_shares(self) -> np.ndarray | None:
        """[layer, loop] share of tokens that took that many loops; each row sums to 1."""
        if self.loop_counts is None:
            return None
        return self.loop_counts / self.loop_counts.sum(axis=1, keepdims=True)

    @property
    def loop_entropy(self) -> np.ndarray | None:
        """[layer] entropy in nats of the loops over all tokens: 0 if all take the same, log(max_loops) if uniform."""
        if self.loop_counts is None:
            return None
        return np.array([entropy(row) for row in self.loop_counts])

    @property
    def expert_load(self) -> np.ndarray | None:
        """[layer, expert] share of the routed assignments; each row sums to 1, NaN in a layer that routed none."""
        if self.expert_counts is None:
            return None
        total = self.expert_counts.sum(axis=1, keepdims=True)
        return np.divide(self.expert_counts, total, out=np.full(self.expert_counts.shape, np.nan), where=total > 0)

    @property
    def not_routed(self) -> np.ndarray | None:
        """[layer] share of tokens that took all loops (lambda = 0), which a versatile FFN does not route.

        None unless the model has both heads; 0 if it has no gate (ffn "average"), since it routes every token.
        """
        if self.loop_counts is None or self.expert_counts is None:
            return None
        return self.loop_shares[:, -1] if self.gated else np.zeros(len(self.loop_counts))


@dataclass(frozen=True)
class Difference:
    """Mean over windows of (control's loss - own loss) in nats per token, and the standard error of that mean."""

    mean: float
    standard_error: float


def entropy(counts: np.ndarray) -> float:
    """Entropy in nats of the distribution with these counts."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def unigram_entropy(windows: torch.Tensor) -> float:
    """Entropy in nats of the token distribution of these windows.

    It is the loss of the best prediction without context, and an optimistic one, since the counts come from the
    predicted text and not from the training text.
    """
    return entropy(np.bincount(windows.numpy().ravel()))


@torch.no_grad()
def window_losses(model: VersatileFFNForCausalLM, windows: torch.Tensor, batch: int = BATCH) -> np.ndarray:
    """[window] mean next-token cross-entropy in nats of each window of token ids [window, token].

    `batch` windows go through the layers together. The model must be in eval mode.
    """
    losses, rows = [], max(1, HEAD_TOKENS // windows.shape[1])
    for part in windows.split(batch):
        part = part.to(model.device)
        states = model.model(part, use_cache=False).last_hidden_state[:, :-1]
        for state, ids in zip(states.split(rows), part.split(rows), strict=True):
            logits = model.lm_head(state).float().transpose(1, 2)
            losses.append(F.cross_entropy(logits, ids[:, 1:], reduction="none").mean(dim=1).cpu())
    return torch.cat(losses).double().numpy()


def count_decisions(model: VersatileFFNForCausalLM, windows: torch.Tensor, batch: int = BATCH) -> Decisions:
    """Count loops and routed experts of every layer over windows [window, token].

    Raises ValueError for a model that chooses neither.
    """
    loops, experts, gated = (part in model.config.parts for part in ("depth", "width", "gate"))
    if not loops and not experts:
        raise ValueError(
            f"a model with ffn {model.config.ffn!r} chooses neither loops nor experts: measure only its loss"
        )
    layers, config = len(model.model.layers), model.config
    loop_counts = np.zeros((layers, config.max_loops), dtype=np.int64) if loops else None
    expert_counts = np.zeros((layers, config.num_experts), dtype=np.int64) if experts else None
    layer_of = {field: {name: layer for layer, name in enumerate(tap_names(model, field))} for field in HOOK_NAMES}
    routed: dict[int, torch.Tensor] = {}  # layer -> [b p] whether a token routes, in the current pass

    def count(name: str, tensor: torch.Tensor) -> None:
        if (layer := layer_of["loop_choice"].get(name)) is not None:
            loop_counts[layer] += torch.bincount(tensor.flatten().cpu(), minlength=config.max_loops).numpy()
        elif (layer := layer_of["gate"].get(name)) is not None:
            routed[layer] = tensor.squeeze(-1) > 0
        else:
            layer = layer_of["expert_ids"][name]
            chosen = tensor[routed[layer]] if gated else tensor
            expert_counts[layer] += torch.bincount(chosen.flatten().cpu(), minlength=config.num_experts).numpy()

    fields = ["loop_choice"] * loops + ["gate"] * gated + ["expert_ids"] * experts
    with record([name for field in fields for name in layer_of[field]], count):
        window_losses(model, windows, batch)
    return Decisions(loop_counts, expert_counts, gated)


def tap_names(model: VersatileFFNForCausalLM, field: str) -> list[str]:
    """The tap names of one of `HOOK_NAMES`, by layer."""
    return [HOOK_NAMES[field].format(layer) for layer in range(len(model.model.layers))]


def paired_difference(control: np.ndarray, own: np.ndarray) -> Difference:
    """Mean of (control - own) over windows, and its standard error; both [window].

    Raises ValueError for fewer than two windows, which have no standard error.
    """
    if len(own) < 2:
        raise ValueError(f"a standard error needs at least 2 windows, got {len(own)}: give more text")
    difference = control - own
    return Difference(float(difference.mean()), float(difference.std(ddof=1) / math.sqrt(len(difference))))
