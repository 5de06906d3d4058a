"""Replays the decisions of a trace in another pass over the same text.

Another pass may compute the same sums in another order, because it records other tensors or shares a batch. Where two
choices are nearly equal, rounding could then decide differently, and two figures of one text could show different loops
or experts. With the decisions of the trace replayed they cannot.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import torch

from hooks.capturing import capture, routing_fields
from hooks.intervening import edits_of
from hooks.reading import refuse_other_model, refuse_without_routing
from hooks.trace import RoutingTrace
from hooks.windows import Window
from sample_models.loading import LoadedModel
from sample_models.taps import HOOK_NAMES, Edit, TapInfo, composed

_LOOPS = ("mlp.hook_loop_choice", "mlp.hook_lambda")
_EXPERTS = ("mlp.hook_expert_indices", "mlp.hook_expert_weights")
DECIDED_FROM = {
    "hook_resid_pre": _LOOPS + _EXPERTS,
    "hook_resid_mid": _LOOPS + _EXPERTS,
    "mlp.hook_in": _LOOPS + _EXPERTS,
    "mlp.hook_depth_logits": _LOOPS,
    "mlp.hook_loop_choice": _LOOPS,
    "mlp.hook_lambda": _LOOPS[1:],
    "mlp.hook_router_logits": _EXPERTS,
    "mlp.hook_expert_indices": _EXPERTS[:1],
    "mlp.hook_expert_weights": _EXPERTS[1:],
}
"""Tap -> the decisions of its own layer that an edit there changes. Taps behind all decisions are not listed."""


def trace_of(loaded: LoadedModel, text: str | RoutingTrace) -> RoutingTrace:
    """The trace to replay: `text` itself if it is a trace made by this model; a plain text is traced.

    Raises ValueError for a trace of another model, a model without routing, or a text without tokens.
    """
    if isinstance(text, str):
        return capture(loaded, text)
    refuse_without_routing(loaded)
    refuse_other_model(loaded, text)
    return text


def decided(trace: RoutingTrace, tokens: slice) -> dict[str, np.ndarray]:
    """Hook name -> the decision of the trace there for `tokens`, [token, ...]."""
    by_field = {
        "loop_choice": trace.loops[:, tokens] - 1,  # a choice counts from 0
        "gate": trace.gate[:, tokens, None],
        "expert_ids": trace.expert_ids[:, tokens],
        "expert_weights": trace.expert_weights[:, tokens],
    }
    return {
        HOOK_NAMES[field].format(layer): values[layer]
        for field, values in by_field.items()
        for layer in range(trace.num_layers)
    }


def replayed(loaded: LoadedModel, trace: RoutingTrace, window: Window) -> dict[str, Edit]:
    """Edits that put the trace's loops, lambda, experts and weights of a window's own tokens into the pass over it.

    The tokens that it shares with the window before are routed by the pass itself, as they were when the trace was
    made: no trace holds this window's decisions about them. Interventions of the trace are repeated.
    """
    own = window.own_part

    def put(values: np.ndarray) -> Edit:
        def edit(tensor: torch.Tensor, hook: TapInfo) -> torch.Tensor:
            tensor = tensor.clone()
            tensor[0, own] = torch.tensor(values, dtype=tensor.dtype, device=tensor.device)
            return tensor

        return edit

    own_decisions = {name: put(values) for name, values in decided(trace, slice(window.own, window.end)).items()}
    return composed(edits_of(loaded, trace, window), own_decisions)


def rerouted(trace: RoutingTrace, first: int, routed: Mapping[str, np.ndarray]) -> RoutingTrace:
    """The trace with the routing of the tokens from `first` on replaced by `routed`: field -> [layer, token, ...]."""
    fields = routing_fields(routed)
    if not fields["loops"].size:
        return trace
    changed = {name: getattr(trace, name).copy() for name in fields}
    for name, values in changed.items():
        values[:, first : first + fields[name].shape[1]] = fields[name]
    return replace(trace, **changed)


def undisturbed(name: str, edits: Iterable[str]) -> bool:
    """Whether edits at these hook names cannot change the decision at hook `name`."""

    layer, within = _place(name)
    for edited_layer, edited_within in map(_place, edits):
        if edited_layer < layer or (edited_layer == layer and within in DECIDED_FROM.get(edited_within, ())):
            return False
    return True


@cache
def _place(name: str) -> tuple[int, str]:
    """Layer of a hook name, and the tap in it. There are few names, which are asked for thousands of times."""
    _, layer, within = name.split(".", 2)
    return int(layer), within


__all__ = ["decided", "replayed", "rerouted", "trace_of", "undisturbed"]
