"""The recorded tensors of a pass as fields of a trace, for every model: what a layer does not have is filled in.

What is filled in says nothing, and the trace says where: in a layer without a router the gate is 0, so that no token
has routed there; and what a model does not decide at all is not among the trace's `parts`.
"""

from collections.abc import Mapping

import numpy as np
import torch

from hooks.passes import to_numpy
from sample_models.adapter import AdaptedConfig
from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.taps import HOOK_NAMES

Names = Mapping[str, list[str | None]]
"""Field of a RoutingTrace -> the name of its tap in every layer, None where a layer has none."""


def names_of(config: VersatileFFNConfig | AdaptedConfig) -> Names:
    """The taps of all fields that a model has in some layer."""
    layers = range(config.num_hidden_layers)
    tapped = config.tapped if isinstance(config, AdaptedConfig) else dict.fromkeys(HOOK_NAMES, frozenset(layers))
    return {
        field: [pattern.format(layer) if layer in tapped.get(field, ()) else None for layer in layers]
        for field, pattern in HOOK_NAMES.items()
    }


def tap_names(names: Names) -> list[str]:
    """All taps that there are."""
    return [name for of_field in names.values() for name in of_field if name is not None]


def routing_of_tokens(
    config: VersatileFFNConfig | AdaptedConfig,
    names: Names,
    seen: Mapping[str, torch.Tensor],
    row: int,
    own: slice,
) -> dict[str, np.ndarray]:
    """Field of the trace -> its numbers [layer, token, ...] for the tokens `own`, given by bounds, of a row of a pass.

    `seen` holds the recorded tensors [row, token, ...] by the name of their tap.
    """
    tokens = own.stop - own.start
    found = {}
    for field, of_field in names.items():
        if all(name is not None for name in of_field):
            found[field] = to_numpy(torch.stack([seen[name][row, own] for name in of_field]))
        else:
            found[field] = np.stack(
                [
                    _nothing(config, names, field, layer, tokens) if name is None else to_numpy(seen[name][row, own])
                    for layer, name in enumerate(of_field)
                ]
            )
    return found


def _nothing(config, names: Names, field: str, layer: int, tokens: int) -> np.ndarray:
    """What stands for a field that a layer does not have."""
    experts, chosen = config.num_experts, config.num_experts_per_tok
    match field:
        case "depth_logits":
            return np.zeros((tokens, config.max_loops), np.float32)
        case "loop_choice":
            return np.zeros(tokens, np.int64)
        case "gate":
            return np.full((tokens, 1), names["expert_ids"][layer] is not None, np.float32)
        case "expert_logits":
            return np.zeros((tokens, experts), np.float32)
        case "expert_ids":
            return np.tile(np.arange(chosen), (tokens, 1))
        case _:
            return np.full((tokens, chosen), 1 / chosen, np.float32)


__all__ = ["Names", "names_of", "routing_of_tokens", "tap_names"]
