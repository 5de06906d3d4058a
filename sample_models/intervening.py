"""Applies interventions to the passes of a model: edits at the taps of its decisions, for certain layers and tokens.

The decisions of a layer are changed together, so that lambda knows the loops that were chosen, and the weights the
logits of all experts. Nothing but decisions is edited: the layer computes its output from them as it always does, the
fast way, and a token whose decisions stay has the same output bit for bit.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.expert_choice import ExpertChoice
from sample_models.intervention import Intervention, Sizes
from sample_models.interventions import (
    DropExpert,
    DropPath,
    ForceExperts,
    ForceGate,
    ForceLoops,
    ForceTopK,
    UseRouting,
)
from sample_models.lambda_gate import width_share
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.taps import HOOK_NAMES, Edit, TapInfo, edited, told_positions

DEPTH_SLICES = "blocks.{}.mlp.hook_depth_slices"
Counted = Callable[[torch.Tensor], None]
"""Is told of a layer's cells [...] which of them are decided otherwise."""


@contextmanager
def intervened(
    model: VersatileFFNForCausalLM, interventions: Sequence[Intervention], *, counted: Counted | None = None
) -> Iterator[None]:
    """Apply interventions to the passes of a model in this context; each row of a pass begins at the text's beginning.

    With cached keys and values, as in `generate`, tokens are counted on from those before. `counted` is called in every
    layer with what became of its loops, and with what became of the experts of its routed tokens.

    Raises ValueError for an intervention that does not fit the model.
    """
    check_interventions(interventions, sizes_of(model.config))
    with edited(intervention_edits(model.config, interventions, device=model.device, counted=counted)):
        yield


def sizes_of(config: VersatileFFNConfig, tokens: int | None = None) -> Sizes:
    """What interventions in a model, and a text of so many tokens, must fit."""
    return Sizes(config.num_hidden_layers, config.max_loops, config.num_experts, config.parts, tokens)


def check_interventions(interventions: Sequence[Intervention], sizes: Sizes) -> None:
    """Raise ValueError unless these are interventions that fit."""
    if not isinstance(interventions, tuple | list):
        raise ValueError(f"interventions must be a tuple of them, got {type(interventions).__name__}")
    for each in interventions:
        if not isinstance(each, Intervention):
            raise ValueError(f"interventions must be values such as ForceLoops(4), got {type(each).__name__}")
        each.check(sizes)


def most_experts(config: VersatileFFNConfig, interventions: Sequence[Intervention]) -> int:
    """Most experts that a token can have under these: k of the model, unless one of them gives it more."""
    counts = [config.num_experts_per_tok]
    for each in interventions:
        if isinstance(each, ForceTopK):
            counts.append(each.k)
        elif isinstance(each, ForceExperts):
            counts.append(len(each.experts))
        elif isinstance(each, UseRouting) and "experts" in each.parts:
            counts.append(each.routing.expert_ids.shape[2])
        elif isinstance(each, DropExpert) and each.path != "depth" and each.then == "mean":
            counts.append(config.num_experts)
    return max(counts)


def intervention_edits(
    config: VersatileFFNConfig,
    interventions: Sequence[Intervention],
    *,
    first: Sequence[int] = (0,),
    own: Sequence[int] = (0,),
    device: torch.device | str = "cpu",
    counted: Counted | None = None,
) -> dict[str, Edit]:
    """Hook name -> edit, to apply interventions to passes whose rows begin at the positions `first` of their texts.

    Each row owns its tokens from position `own` on. One entry of `first` and `own` stands for all rows.
    """
    rows = torch.tensor([[*first], [*own]], device=device)
    experts = most_experts(config, interventions)
    edits: dict[str, Edit] = {}
    for layer in range(config.num_hidden_layers):
        here = [each for each in interventions if each.layers is None or layer in each.layers]
        edits |= _Layer(config, layer, here, rows, experts, counted).edits()
    return edits


class _Layer(threading.local):
    """The decisions of one layer in the pass that runs; each thread sees its own."""

    loops_chosen: torch.Tensor
    """[b p] by the depth head."""
    gate: torch.Tensor | None = None
    """lambda [b p] that the layer uses."""
    scale: torch.Tensor | None = None
    """What the experts' weights are multiplied by [b p], because a path is dropped; None for nothing."""
    logits: torch.Tensor
    """[b p expert] of the router."""
    choice: ExpertChoice

    def __init__(self, config, layer: int, here: list[Intervention], rows, experts: int, counted: Counted | None):
        self.config, self.layer, self.rows, self.experts, self.counted = config, layer, rows, experts, counted
        self.depth_forces = [each for each in here if isinstance(each, ForceLoops | ForceGate) or _uses(each, "depth")]
        self.expert_forces = [
            each for each in here if isinstance(each, ForceExperts | ForceTopK) or _uses(each, "width")
        ]
        self.dropped = [each for each in here if isinstance(each, DropExpert)]
        self.paths = [each for each in here if isinstance(each, DropPath)]

    def edits(self) -> dict[str, Edit]:
        """Hook name -> edit, at the taps that the interventions of this layer need."""
        gated = "gate" in self.config.parts
        in_width = self.expert_forces or self.paths or any(each.path != "depth" for each in self.dropped)
        found: dict[str, Edit] = {}
        if self.depth_forces:
            found["loop_choice"] = self.force_loops
        if gated and (self.depth_forces or in_width):
            found["gate"] = self.force_gate
        if in_width or self.experts > self.config.num_experts_per_tok:
            found |= {"expert_logits": self.see_logits, "expert_ids": self.choose, "expert_weights": self.weigh}
        edits = {HOOK_NAMES[field].format(self.layer): edit for field, edit in found.items()}
        if any(each.path != "width" for each in self.dropped):
            edits[DEPTH_SLICES.format(self.layer)] = self.drop_slices
        return edits

    # Edits, in the order in which the taps are passed ----------------------------------------------------------------

    def force_loops(self, choice: torch.Tensor, hook: TapInfo) -> torch.Tensor:
        self.loops_chosen = choice + 1
        loops = self.loops_chosen
        for force in self.depth_forces:
            loops = torch.where(self.where(force), self.loops_of(force, loops), loops)
        if self.counted:
            self.counted(loops != self.loops_chosen)
        return loops - 1

    def force_gate(self, incoming: torch.Tensor, hook: TapInfo) -> torch.Tensor:
        """lambda [b p 1]; `incoming` is that of the loops, which `force_loops` gave."""
        gate = incoming.squeeze(-1)
        if self.depth_forces:
            gate = self.forced_gate(gate)
        self.scale = None
        if self.paths:
            gate = self.without_paths(gate)
        self.gate = gate
        return gate[..., None]

    def see_logits(self, logits: torch.Tensor, hook: TapInfo) -> torch.Tensor:
        self.logits = logits
        return logits

    def choose(self, chosen: torch.Tensor, hook: TapInfo) -> torch.Tensor:
        """Experts [b p k], as many for every token as one of them can have."""
        choice = ExpertChoice(self.logits, chosen, over_all=self.config.weights_over_all)
        own = choice.share
        for force in self.expert_forces:
            choice.force(force, self.where(force), self.positions, self.layer)
        for drop in self.dropped:
            if drop.path != "depth":
                choice.drop(drop, self.where(drop))
        if self.paths and self.gate is None:  # a model without lambda: its width path can be dropped, no more
            for drop in self.paths:
                choice.scale(torch.where(self.where(drop), 0, torch.ones_like(choice.share[..., 0])))
        elif self.scale is not None:
            choice.scale(self.scale)
        if self.counted:
            routed = torch.ones_like(own[..., 0], dtype=torch.bool) if self.gate is None else self.gate > 0
            self.counted((choice.share != own).any(dim=-1)[routed])
        self.choice = choice
        return choice.best(self.experts)

    def weigh(self, weights: torch.Tensor, hook: TapInfo) -> torch.Tensor:
        return self.choice.weights

    def drop_slices(self, slices: torch.Tensor, hook: TapInfo) -> torch.Tensor:
        slices = slices.clone()
        for drop in self.dropped:
            if drop.path != "width":
                slices[..., drop.expert] = torch.where(self.where(drop), 0, slices[..., drop.expert])
        return slices

    # Their parts ------------------------------------------------------------------------------------------------------

    @property
    def positions(self) -> torch.Tensor:
        """Positions [b p] in their text of the tokens in this pass; b is 1 if all rows have the same."""
        told = told_positions()
        if told is None:
            raise ValueError("an intervention that names tokens needs a model that tells its layers their positions")
        return told + self.rows[0, :, None]

    def where(self, intervention: Intervention) -> torch.Tensor:
        """Whether it changes a token, [b p] or of a shape that is broadcast to it."""
        if intervention.tokens is None and not isinstance(intervention, UseRouting):
            return torch.ones(1, 1, dtype=torch.bool, device=self.rows.device)
        positions = self.positions
        here = torch.ones_like(positions, dtype=torch.bool)
        if intervention.tokens is not None:
            here = torch.isin(positions, torch.tensor(intervention.tokens, device=positions.device))
        if isinstance(intervention, UseRouting):
            here = here & (positions >= self.rows[1, :, None]) & (positions < intervention.routing.loops.shape[1])
        return here

    def of_routing(self, values, positions: torch.Tensor) -> torch.Tensor:
        """A routing's values of this layer [token] at the positions [b p]; any value where it has no such token."""
        row = torch.tensor(values[self.layer], device=positions.device)
        return row[positions.clamp(0, len(row) - 1)]

    def loops_of(self, force: Intervention, loops: torch.Tensor) -> torch.Tensor | int:
        """Loops [b p] that a force gives, from those before it."""
        if isinstance(force, ForceLoops):
            return force.loops
        if isinstance(force, UseRouting) and "loops" in force.parts:
            return self.of_routing(force.routing.loops, self.positions)
        return loops

    def forced_gate(self, incoming: torch.Tensor) -> torch.Tensor:
        """lambda [b p] under the forces; `incoming` where it follows the loops."""

        def of_loops(loops: torch.Tensor) -> torch.Tensor:
            return width_share(loops.to(incoming.dtype), self.config.max_loops)

        loops, gate = self.loops_chosen, of_loops(self.loops_chosen)
        follows = torch.ones_like(loops, dtype=torch.bool)
        for force in self.depth_forces:
            here = self.where(force)
            gate = torch.where(follows, of_loops(loops), gate)  # lambda as it is before this force
            loops = torch.where(here, self.loops_of(force, loops), loops)
            if isinstance(force, ForceGate):
                gate = torch.where(here, force.gate, gate)
            elif isinstance(force, UseRouting) and "gate" in force.parts:
                gate = torch.where(here, self.of_routing(force.routing.gate, self.positions).to(gate.dtype), gate)
            elif isinstance(force, UseRouting) or force.gate == "follows":
                follows = follows | here
                continue
            follows = follows & ~here
        return torch.where(follows, incoming, gate)

    def without_paths(self, gate: torch.Tensor) -> torch.Tensor:
        """lambda [b p] once paths are dropped; sets `scale`."""
        none = torch.zeros_like(gate, dtype=torch.bool)
        gone, kept = {"width": none, "depth": none}, {"width": none, "depth": none}
        for drop in self.paths:
            here = self.where(drop)
            gone[drop.path] = gone[drop.path] | here
            kept[drop.path] = torch.where(here, torch.tensor(drop.other == "kept", device=gate.device), kept[drop.path])
        both = gone["width"] & gone["depth"]
        self.scale = torch.where(gone["depth"] & kept["depth"], gate, torch.ones_like(gate))
        self.scale = torch.where(both | (gone["width"] & kept["width"]), 0, self.scale)
        gate = torch.where(gone["width"] & ~kept["width"], 0, gate)
        return torch.where(gone["depth"], 1, gate)


def _uses(intervention: Intervention, path: str) -> bool:
    """Whether it takes decisions of one path from another trace."""
    parts = {"depth": {"loops", "gate"}, "width": {"experts"}}[path]
    return isinstance(intervention, UseRouting) and not parts.isdisjoint(intervention.parts)


__all__ = ["check_interventions", "intervened", "intervention_edits", "most_experts", "sizes_of"]
