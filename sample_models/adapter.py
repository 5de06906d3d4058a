"""`Adapter`: what a family of models must say for its models to be traced. `AdaptedConfig`: the answer for one model.

A trace needs six tensors of every layer, those of `taps.HOOK_NAMES`. An adapter puts a tap at each that its models
have. What they do not have, `AdaptedConfig.parts` and `tapped` say, and the trace says so too.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from sample_models.taps import HOOK_NAMES, Tap

EXPERT_FIELDS = ("expert_logits", "expert_ids", "expert_weights")
DEPTH_FIELDS = ("depth_logits", "loop_choice")
CHECK_TOKENS = 24


@dataclass(frozen=True, eq=False)
class AdaptedConfig:
    """What the explorer asks of a model's configuration; everything else is that of transformers."""

    own: PreTrainedConfig
    family: str
    parts: frozenset[str]
    """What the model decides for every token: some of "width", "depth" and "gate"."""
    num_hidden_layers: int
    """Layers of the trace."""
    tapped: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """Field of `HOOK_NAMES` -> the layers in which the model has it."""
    num_experts: int = 1
    num_experts_per_tok: int = 1
    max_loops: int = 1
    weights_over_all: bool = False
    """Whether an expert's weight is its probability among all experts, so that those of a token sum to less than 1."""
    notes: tuple[str, ...] = ()
    """Sentences on what readers of a trace must know about the model."""
    gates_trained: None = None
    """Nobody says whether the routing of such a model was trained."""

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "own"), name)


class Adapter(ABC):
    """One family of models."""

    family: ClassVar[str]
    """Its name, as in `adapter_families.FAMILIES`."""
    parameter_parts: ClassVar[Mapping[str, str]]
    """Word in a parameter's name -> the part of the model that it belongs to; the first word that matches counts."""

    @abstractmethod
    def adapted(self, model: PreTrainedModel) -> AdaptedConfig:
        """Sizes and parts of a model. Raises ValueError if it is none that this adapter understands."""

    def unembed(self, model: PreTrainedModel, stream: torch.Tensor) -> torch.Tensor:
        """Logits [..., vocab] that the model reads from its stream [..., hidden] after a layer."""
        return model.lm_head(model.model.norm(stream)) / getattr(model.config, "logits_scaling", 1)

    @abstractmethod
    def attach(self, model: PreTrainedModel) -> None:
        """Put a tap at every decision that `adapted` names; the model's numbers stay."""

    @abstractmethod
    def check(self, model: PreTrainedModel, config: AdaptedConfig) -> None:
        """Raise ValueError with a sentence if what the taps record is not what the model decided."""


def add_tap(module: nn.Module, name: str, layer: int) -> None:
    """Add the tap of a name such as "blocks.{}.hook_resid_pre" to a module, under the last part of the name."""
    tap = Tap()
    tap.name = name.format(layer)
    tap.train(module.training)
    module.add_module(_leaf(name), tap)


def at_tap(module: nn.Module, field: str, tensor: torch.Tensor) -> torch.Tensor:
    """Pass a tensor through the tap of a field of `HOOK_NAMES`, looked up each time: hook points replace taps."""
    return getattr(module, _leaf(HOOK_NAMES[field]))(tensor)


@torch.no_grad()
def run_to_check(model: PreTrainedModel) -> None:
    """Run the model once, over token ids that are spread over the vocabulary.

    Raises ValueError with a sentence if its logits are not finite.
    """
    ids = torch.arange(CHECK_TOKENS, device=model.device)[None] * model.config.vocab_size // CHECK_TOKENS
    if not model(ids, use_cache=False).logits.isfinite().all():
        raise ValueError("its logits are not finite, so its weights are damaged or overflow: try another dtype")


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


__all__ = [
    "DEPTH_FIELDS", "EXPERT_FIELDS", "AdaptedConfig", "Adapter", "add_tap", "at_tap", "run_to_check",
]  # fmt: skip
