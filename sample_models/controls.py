"""Controls of a model's decisions: how its loss changes when they are dealt out anew, switched off, or all the same.

A control runs the same documents again and compares the losses document by document. A difference within about two
standard errors is no evidence that the model uses the information in its decisions. A trained gate never met the
decisions that a control gives it, so a part of any cost may be that alone: no control tells which decision is best.
Standard errors are over windows, so give one window per document (`text_data.document_windows`).

Loops and lambda move together in the model. They are also dealt apart, which splits the cost: `loops_alone_shuffled`
leaves every token its lambda, `lambda_alone_shuffled` its loops; `loops_shuffled_within_token_type` deals both, but
only among places that hold the same token, so it leaves what the token alone decides.

The model is not changed: a control affects only forward passes in its own context (see `taps`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch

from sample_models.evaluate import paired_difference, tap_names, window_losses
from sample_models.intervening import intervened
from sample_models.intervention import Intervention
from sample_models.interventions import DropPath, ForceLoops
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.taps import TapInfo, edited

Dealt = Literal["both", "loops", "lambda"]


@dataclass
class Cells:
    """Cells, layer x token, that a control could decide otherwise, and those whose decision it did change."""

    all: int = 0
    changed: int = 0

    def count(self, changed: torch.Tensor) -> None:
        """Add cells; `changed` [...] says of each whether its decision is another one."""
        self.all += changed.numel()
        self.changed += int(changed.sum())

    @property
    def share(self) -> float:
        """Share of the cells that changed; NaN of none."""
        return self.changed / self.all if self.all else float("nan")


@dataclass(frozen=True)
class Control:
    """The loss with decisions replaced, minus the model's own, in nats per token."""

    mean: float
    """Mean over windows."""
    standard_error: float
    """Of that mean, over windows; over documents if every window is from another one."""
    changed: float
    """Share of the cells, layer x token (of experts: those that routed), whose decision was another one."""


Condition = Callable[[], AbstractContextManager[Cells]]


@contextmanager
def always_loops(model: VersatileFFNForCausalLM, *, loops: int) -> Iterator[Cells]:
    """Every token takes `loops` loops in every layer; lambda, where there is one, follows."""
    check_decides(model, "depth")
    with _counting(model, ForceLoops(loops)) as cells:
        yield cells


@contextmanager
def shuffled_loops(
    model: VersatileFFNForCausalLM, *, seed: int, deal: Dealt = "both", within: Iterable[torch.Tensor] | None = None
) -> Iterator[Cells]:
    """Permute the loops that each layer chose, at random among all tokens of a pass.

    How many tokens take how many loops is unchanged. `deal`: "both", lambda follows the loops that a token is dealt;
    "loops", every token keeps the lambda of the loops that it chose; "lambda", it keeps its loops. `within`: token ids
    [row, token] of each pass to come, in order: loops are then dealt among equal tokens only.

    Raises ValueError for a model without a depth head, or without a gate if `deal` is not "both"; in a pass that
    `within` does not fit.
    """
    check_decides(model, "depth")
    if deal != "both":
        check_decides(model, "gate")
    random, cells = torch.Generator().manual_seed(seed), Cells()
    coming, orders = within and iter(within), {}  # layer -> the token whose loops each token is dealt, in this pass
    groups: torch.Tensor | None = None

    def shuffle(choice: torch.Tensor, hook: TapInfo) -> torch.Tensor:
        nonlocal groups
        if coming and hook.layer() == 0:
            groups = _ids_of_pass(coming, choice)
        own = choice.flatten()
        orders[hook.layer()] = order = _permutation(len(own), random, groups).to(choice.device)
        cells.count(own[order] != own)
        return choice if deal == "lambda" else own[order].view_as(choice)

    def gate(width: torch.Tensor, hook: TapInfo) -> torch.Tensor:
        order, seen = orders[hook.layer()], width.flatten()
        if deal == "lambda":
            return seen[order].view_as(width)
        own = torch.empty_like(seen)
        own[order] = seen  # lambda came from the loops that were dealt: back to the token that chose them
        return own.view_as(width)

    edits = dict.fromkeys(tap_names(model, "loop_choice"), shuffle)
    if deal != "both":
        edits |= dict.fromkeys(tap_names(model, "gate"), gate)
    with edited(edits):
        yield cells


@contextmanager
def shuffled_experts(model: VersatileFFNForCausalLM, *, seed: int) -> Iterator[Cells]:
    """Permute each layer's chosen experts, with their weights, at random among the routed tokens of a pass."""
    check_decides(model, "width")
    gated = "gate" in model.config.parts
    random, cells = torch.Generator().manual_seed(seed), Cells()
    orders: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}  # layer -> giver of each token, and the routed tokens

    def draw(seen: torch.Tensor, hook: TapInfo) -> torch.Tensor:
        """Draw a layer's permutation. `seen` is lambda [..., 1] or, without a gate, the router logits [..., expert]."""
        tokens = seen[..., 0].flatten()
        order = torch.arange(len(tokens), device=tokens.device)
        routed = (tokens > 0).nonzero().squeeze(-1) if gated else order.clone()
        order[routed] = routed[_permutation(len(routed), random).to(routed.device)]
        orders[hook.layer()] = order, routed
        return seen

    def deal(chosen: torch.Tensor, hook: TapInfo) -> torch.Tensor:
        own, (order, routed) = chosen.flatten(0, -2), orders[hook.layer()]
        if not chosen.is_floating_point():  # the experts; their weights follow
            before, after = (of[routed].sort(dim=-1).values for of in (own, own[order]))
            cells.count((before != after).any(dim=-1))
        return own[order].view_as(chosen)

    drawing = dict.fromkeys(tap_names(model, "gate" if gated else "expert_logits"), draw)
    dealing = dict.fromkeys([*tap_names(model, "expert_ids"), *tap_names(model, "expert_weights")], deal)
    with edited(drawing | dealing):
        yield cells


@contextmanager
def without_experts(model: VersatileFFNForCausalLM) -> Iterator[Cells]:
    """No expert writes anything: Y_width = H, with lambda as it is. What experts are worth at all, chosen or not."""
    check_decides(model, "width")
    with _counting(model, DropPath("width")) as cells:
        yield cells


@contextmanager
def _counting(model: VersatileFFNForCausalLM, intervention: Intervention) -> Iterator[Cells]:
    cells = Cells()
    with intervened(model, [intervention], counted=cells.count):
        yield cells


def conditions(
    model: VersatileFFNForCausalLM, passes: Sequence[torch.Tensor], *, seed: int = 0
) -> dict[str, Condition]:
    """All controls of a model, by name; none for what it lacks. `passes`: token ids [row, token] of all to come."""
    loops, experts, gated = (part in model.config.parts for part in ("depth", "width", "gate"))
    found: dict[str, Condition] = {}
    if loops:
        found["loops_shuffled"] = partial(shuffled_loops, model, seed=seed)
        if gated:
            found["loops_alone_shuffled"] = partial(shuffled_loops, model, seed=seed, deal="loops")
            found["lambda_alone_shuffled"] = partial(shuffled_loops, model, seed=seed, deal="lambda")
        found["loops_shuffled_within_token_type"] = partial(shuffled_loops, model, seed=seed, within=passes)
    if experts:
        found["experts_shuffled"] = partial(shuffled_experts, model, seed=seed)
        found["without_experts"] = partial(without_experts, model)
    if loops:
        for count in range(1, model.config.max_loops + 1):
            found[f"always_{count}_loops"] = partial(always_loops, model, loops=count)
    return found


def run_controls(
    model: VersatileFFNForCausalLM, windows: torch.Tensor, own: np.ndarray, *, seed: int = 0
) -> dict[str, Control]:
    """Run all `conditions`: name -> difference from the model's `own` losses [window].

    All windows go through the layers in one pass, so a shuffle deals among the tokens of all of them and depends on
    neither a batch nor their order. Raises ValueError for fewer than two windows.
    """
    found = {}
    for name, condition in conditions(model, [windows], seed=seed).items():
        with condition() as cells:
            difference = paired_difference(window_losses(model, windows, batch=len(windows)), own)
        found[name] = Control(difference.mean, difference.standard_error, cells.share)
    return found


def check_decides(model: VersatileFFNForCausalLM, part: Literal["depth", "width", "gate"]) -> None:
    """Raise ValueError if the model chooses no loops ("depth"), no experts ("width") or no lambda ("gate")."""
    if part not in model.config.parts:
        what = {"depth": "loops (no depth head)", "width": "experts (no router)", "gate": "lambda (no gate)"}[part]
        raise ValueError(
            f"a model with ffn {model.config.ffn!r} does not decide on {what}: there is nothing to control"
        )


def _ids_of_pass(coming: Iterator[torch.Tensor], choice: torch.Tensor) -> torch.Tensor:
    """Token ids [token] of the pass that chose these loops. Raises ValueError if none is left, or it does not fit."""
    ids = next(coming, None)
    if ids is None or ids.numel() != choice.numel():
        held = "none" if ids is None else ids.numel()
        raise ValueError(f"`within` must hold the token ids of every pass: this one has {choice.numel()}, got {held}")
    return ids.flatten().cpu()


def _permutation(count: int, random: torch.Generator, groups: torch.Tensor | None = None) -> torch.Tensor:
    """A random permutation [token]; with `groups` [token] every token is sent to one of its own group."""
    order = torch.randperm(count, generator=random)
    if groups is None:
        return order
    permutation = torch.empty_like(order)
    permutation[groups.argsort(stable=True)] = order[groups[order].argsort(stable=True)]
    return permutation


__all__ = [
    "Cells", "Condition", "Control", "always_loops", "check_decides", "conditions", "run_controls", "shuffled_experts",
    "shuffled_loops", "without_experts",
]  # fmt: skip
