"""Held-out measurements of a model: its loss, what its heads decide, and what those decisions are worth.

What a decision is worth is its control: the same windows once more with the decisions shuffled among tokens, or with
one for all, and the difference in loss window by window. A difference within about two standard errors shows no
information in the decisions that the model uses. The standard error is over windows and takes them as independent: give
one window per document (`text_data.document_windows`), since windows of one document resemble each other.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from sample_models.feed_forward import DepthPath, RoutedFFN, VersatileFFN
from sample_models.modeling_versatile import VersatileFFNForCausalLM

BATCH = 8
"""Windows per forward pass, and thus the windows among whose tokens a control shuffles."""


@dataclass(frozen=True, eq=False)
class Decisions:
    """What router and depth head decided over a text, counted; of a model with only one of them, only what it has.

    What is derived from counts that are None is None too.
    """

    loop_counts: np.ndarray | None
    """[layer, loop] tokens that took so many loops; index 0 is one loop. None without a depth head."""

    expert_counts: np.ndarray | None
    """[layer, expert] assignments of routed tokens (top-k each); tokens that did not route are not in it. None without
    a router."""

    gated: bool = True
    """Whether lambda decides who routes (ffn "versatile"); else every token does."""

    @property
    def loop_shares(self) -> np.ndarray | None:
        """[layer, loop] share of tokens that took so many loops; each row sums to 1."""
        if self.loop_counts is None:
            return None
        return self.loop_counts / self.loop_counts.sum(axis=1, keepdims=True)

    @property
    def loop_entropy(self) -> np.ndarray | None:
        """[layer] entropy in nats of the loops over all tokens: 0 if all take the same, log(max_loops) if even."""
        if self.loop_counts is None:
            return None
        return np.array([entropy(row) for row in self.loop_counts])

    @property
    def expert_load(self) -> np.ndarray | None:
        """[layer, expert] share of the routed assignments; each row sums to 1, NaN in a layer that routed no token."""
        if self.expert_counts is None:
            return None
        total = self.expert_counts.sum(axis=1, keepdims=True)
        return np.divide(self.expert_counts, total, out=np.full(self.expert_counts.shape, np.nan), where=total > 0)

    @property
    def not_routed(self) -> np.ndarray | None:
        """[layer] share of tokens with all loops taken (lambda = 0), which a versatile FFN does not route.

        None without both heads. With both but no gate between them (ffn "average"), every token is routed all the same.
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
    """Entropy in nats of the distribution that these counts make."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def unigram_entropy(windows: torch.Tensor) -> float:
    """Entropy in nats of the distribution of the tokens of these very windows.

    It is the loss of the best guess that ignores all context, and flatters that guess: the counts come from the text
    that is being guessed, not from the training text.
    """
    return entropy(np.bincount(windows.numpy().ravel()))


@torch.no_grad()
def window_losses(model: VersatileFFNForCausalLM, windows: torch.Tensor, batch: int = BATCH) -> np.ndarray:
    """[window] mean next-token cross-entropy in nats of each window of token ids [window, token]; the model in eval."""
    losses = []
    for part in windows.split(batch):
        part = part.to(model.device)
        logits = model(part, use_cache=False).logits[:, :-1].float()
        losses.append(F.cross_entropy(logits.transpose(1, 2), part[:, 1:], reduction="none").mean(dim=1).cpu())
    return torch.cat(losses).double().numpy()


def count_decisions(model: VersatileFFNForCausalLM, windows: torch.Tensor, batch: int = BATCH) -> Decisions:
    """Count loops and routed experts of every layer over windows [window, token], as far as the model decides them.

    Raises ValueError for a model whose FFN decides neither.
    """
    ffns = [layer.mlp for layer in model.model.layers]
    loops, experts, gated = (isinstance(ffns[0], kind) for kind in (DepthPath, RoutedFFN, VersatileFFN))
    if not loops and not experts:
        raise ValueError(
            f"a model with ffn {model.config.ffn!r} decides on no loops and no experts: only its loss counts"
        )
    loop_counts = np.zeros((len(ffns), model.config.max_loops), dtype=np.int64) if loops else None
    expert_counts = np.zeros((len(ffns), model.config.num_experts), dtype=np.int64) if experts else None
    choices: dict[int, torch.Tensor] = {}

    def count_loops(layer: int):
        def hook(module, inputs, choice):
            choices[layer] = choice
            loop_counts[layer] += torch.bincount(choice.flatten().cpu(), minlength=loop_counts.shape[1]).numpy()

        return hook

    def count_experts(layer: int):
        def hook(module, inputs, indices):
            routed = indices[choices[layer] < model.config.max_loops - 1] if gated else indices
            expert_counts[layer] += torch.bincount(routed.flatten().cpu(), minlength=expert_counts.shape[1]).numpy()

        return hook

    with ExitStack() as hooks:
        for layer, ffn in enumerate(ffns):
            if loops:
                hooked(hooks, ffn.hook_loop_choice.register_forward_hook(count_loops(layer)))
            if experts:
                hooked(hooks, ffn.hook_expert_indices.register_forward_hook(count_experts(layer)))
        window_losses(model, windows, batch)
    return Decisions(loop_counts, expert_counts, gated)


@contextmanager
def always_loops(model: VersatileFFNForCausalLM, *, loops: int) -> Iterator[None]:
    """Every token takes `loops` loops in every layer; lambda, where there is one, follows."""
    if not 1 <= loops <= model.config.max_loops:
        raise ValueError(f"loops must be 1..{model.config.max_loops}, got {loops}")

    def choose(module, inputs, choice):
        return torch.full_like(choice, loops - 1)

    with ExitStack() as hooks:
        for ffn in deciding_ffns(model, DepthPath):
            hooked(hooks, ffn.hook_loop_choice.register_forward_hook(choose))
        yield


@contextmanager
def shuffled_loops(model: VersatileFFNForCausalLM, *, seed: int) -> Iterator[None]:
    """The loops that a layer chose are dealt out anew among all tokens of the batch; lambda, if any, follows.

    How many tokens take how many loops stays as the layer chose it; which tokens they are becomes chance.
    """
    random = torch.Generator().manual_seed(seed)

    def shuffle(module, inputs, choice):
        return choice.flatten()[torch.randperm(choice.numel(), generator=random).to(choice.device)].view_as(choice)

    with ExitStack() as hooks:
        for ffn in deciding_ffns(model, DepthPath):
            hooked(hooks, ffn.hook_loop_choice.register_forward_hook(shuffle))
        yield


@contextmanager
def shuffled_experts(model: VersatileFFNForCausalLM, *, seed: int) -> Iterator[None]:
    """The experts that a layer chose, each set with its weights, are dealt out anew among the batch's routed tokens."""
    random = torch.Generator().manual_seed(seed)

    def shuffle_layer(ffn: RoutedFFN) -> Iterator[RemovableHandle]:
        order = torch.empty(0, dtype=torch.long)
        gated = isinstance(ffn, VersatileFFN)

        def draw(module, inputs, seen):
            """From lambda [..., 1], who is routed; without a gate every token is, from its logits [..., expert]."""
            nonlocal order
            tokens = seen[..., 0].flatten()
            order = torch.arange(len(tokens), device=tokens.device)
            routed = (tokens > 0).nonzero().squeeze(-1) if gated else order.clone()
            order[routed] = routed[torch.randperm(len(routed), generator=random).to(routed.device)]

        def deal(module, inputs, chosen):
            return chosen.flatten(0, -2)[order].view_as(chosen)

        yield (ffn.hook_lambda if gated else ffn.hook_router_logits).register_forward_hook(draw)
        yield ffn.hook_expert_indices.register_forward_hook(deal)
        yield ffn.hook_expert_weights.register_forward_hook(deal)

    with ExitStack() as hooks:
        for ffn in deciding_ffns(model, RoutedFFN):
            for handle in shuffle_layer(ffn):
                hooked(hooks, handle)
        yield


def hooked(hooks: ExitStack, handle: RemovableHandle) -> None:
    """Remove the hook when the stack is left, whatever happened inside."""
    hooks.callback(handle.remove)


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
    """What the decisions are worth: every control's difference from the model's `own` losses [window].

    The standard errors are over documents if every window is a document of its own.
    Keys: `loops_shuffled`, `experts_shuffled`, and `always_1_loops` to `always_{max_loops}_loops`, of them those whose
    decision the model has.
    """
    loops, experts = (isinstance(model.model.layers[0].mlp, kind) for kind in (DepthPath, RoutedFFN))

    def difference(control: Callable, **settings) -> Difference:
        with control(model, **settings):
            return paired_difference(window_losses(model, windows, batch), own)

    found = {}
    if loops:
        found["loops_shuffled"] = difference(shuffled_loops, seed=seed)
    if experts:
        found["experts_shuffled"] = difference(shuffled_experts, seed=seed)
    if loops:
        for count in range(1, model.config.max_loops + 1):
            found[f"always_{count}_loops"] = difference(always_loops, loops=count)
    return found


def deciding_ffns(model: VersatileFFNForCausalLM, kind: type[DepthPath] | type[RoutedFFN]) -> list:
    """The FFN of every layer. Raises ValueError if they do not decide what those of this kind do."""
    ffns = [layer.mlp for layer in model.model.layers]
    if not all(isinstance(ffn, kind) for ffn in ffns):
        what = "loops (no depth head)" if kind is DepthPath else "experts (no router)"
        raise ValueError(
            f"a model with ffn {model.config.ffn!r} does not decide on {what}: there is nothing to control"
        )
    return ffns
