"""Held-out measurements of a model: its loss, the decisions of router and depth head, and controls of these decisions.

A control runs the same windows again with the decisions shuffled among tokens, or with one decision for all tokens, and
compares the losses window by window. A difference within about two standard errors is no evidence that the model uses
the information in its decisions. The standard error treats windows as independent, so give one window per document
(`text_data.document_windows`): windows of one document resemble each other.

The model is not changed: a control affects only forward passes in its own context (see `taps`).
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.taps import HOOK_NAMES, TapInfo, edited, record

BATCH = 8
"""Windows per forward pass; a control shuffles decisions among the tokens of one pass."""


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

    The model must be in eval mode.
    """
    losses = []
    for part in windows.split(batch):
        part = part.to(model.device)
        logits = model(part, use_cache=False).logits[:, :-1].float()
        losses.append(F.cross_entropy(logits.transpose(1, 2), part[:, 1:], reduction="none").mean(dim=1).cpu())
    return torch.cat(losses).double().numpy()


def count_decisions(model: VersatileFFNForCausalLM, windows: torch.Tensor, batch: int = BATCH) -> Decisions:
    """Count loops and routed experts of every layer over windows [window, token].

    Raises ValueError for a model that chooses neither.
    """
    loops, experts, gated = (part in model.config.parts for part in ("depth", "width", "gate"))
    if not loops and not experts:
        raise ValueError(
            f"a model with ffn {model.config.ffn!r} decides on no loops and no experts: only its loss counts"
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


@contextmanager
def always_loops(model: VersatileFFNForCausalLM, *, loops: int) -> Iterator[None]:
    """Every token takes `loops` loops in every layer; lambda, where there is one, follows."""
    if not 1 <= loops <= model.config.max_loops:
        raise ValueError(f"loops must be 1..{model.config.max_loops}, got {loops}")
    check_decides(model, "depth")

    def choose(choice: torch.Tensor, hook: TapInfo) -> torch.Tensor:
        return torch.full_like(choice, loops - 1)

    with edited(dict.fromkeys(tap_names(model, "loop_choice"), choose)):
        yield


@contextmanager
def shuffled_loops(model: VersatileFFNForCausalLM, *, seed: int) -> Iterator[None]:
    """Permute the loops that each layer chose at random among all tokens of the batch; lambda, if any, follows.

    How many tokens take how many loops is unchanged.
    """
    check_decides(model, "depth")
    random = torch.Generator().manual_seed(seed)

    def shuffle(choice: torch.Tensor, hook: TapInfo) -> torch.Tensor:
        return choice.flatten()[torch.randperm(choice.numel(), generator=random).to(choice.device)].view_as(choice)

    with edited(dict.fromkeys(tap_names(model, "loop_choice"), shuffle)):
        yield


@contextmanager
def shuffled_experts(model: VersatileFFNForCausalLM, *, seed: int) -> Iterator[None]:
    """Permute each layer's chosen experts, with their weights, at random among the routed tokens of the batch."""
    check_decides(model, "width")
    gated = "gate" in model.config.parts
    random = torch.Generator().manual_seed(seed)
    orders: dict[int, torch.Tensor] = {}  # layer -> the token whose experts each token gets, in the current pass

    def draw(seen: torch.Tensor, hook: TapInfo) -> torch.Tensor:
        """Draw a layer's permutation. `seen` is lambda [..., 1] or, without a gate, the router logits [..., expert]."""
        tokens = seen[..., 0].flatten()
        order = torch.arange(len(tokens), device=tokens.device)
        routed = (tokens > 0).nonzero().squeeze(-1) if gated else order.clone()
        order[routed] = routed[torch.randperm(len(routed), generator=random).to(routed.device)]
        orders[hook.layer()] = order
        return seen

    def deal(chosen: torch.Tensor, hook: TapInfo) -> torch.Tensor:
        return chosen.flatten(0, -2)[orders[hook.layer()]].view_as(chosen)

    drawing = dict.fromkeys(tap_names(model, "gate" if gated else "expert_logits"), draw)
    dealing = dict.fromkeys([*tap_names(model, "expert_ids"), *tap_names(model, "expert_weights")], deal)
    with edited(drawing | dealing):
        yield


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


def run_controls(
    model: VersatileFFNForCausalLM, windows: torch.Tensor, own: np.ndarray, *, seed: int = 0, batch: int = BATCH
) -> dict[str, Difference]:
    """Run all controls: name -> difference from the model's `own` losses [window].

    Names: `loops_shuffled`, `experts_shuffled`, and `always_1_loops` to `always_{max_loops}_loops`, except for
    decisions that the model does not make. Standard errors are over documents if every window is from another document.
    """
    loops, experts = (part in model.config.parts for part in ("depth", "width"))

    def difference(control: Callable, **settings) -> Difference:
        with control(model, **settings):
            return paired_difference(window_losses(model, windows, batch), own)

    differences = {}
    if loops:
        differences["loops_shuffled"] = difference(shuffled_loops, seed=seed)
    if experts:
        differences["experts_shuffled"] = difference(shuffled_experts, seed=seed)
    if loops:
        for count in range(1, model.config.max_loops + 1):
            differences[f"always_{count}_loops"] = difference(always_loops, loops=count)
    return differences


def check_decides(model: VersatileFFNForCausalLM, part: Literal["depth", "width"]) -> None:
    """Raise ValueError if the model chooses no loops ("depth") or no experts ("width")."""
    if part not in model.config.parts:
        what = {"depth": "loops (no depth head)", "width": "experts (no router)"}[part]
        raise ValueError(
            f"a model with ffn {model.config.ffn!r} does not decide on {what}: there is nothing to control"
        )
