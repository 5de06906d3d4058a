"""One routing per text: a pass in which the layers take over what a trace of the text says that they decided.

A pass over the same text computes the same sums in another order where other tensors are listened to, or texts share
it. Where two choices are all but equal, rounding would then decide anew, and two figures of one text could name
different loops or experts. Replayed, they cannot.
"""

from collections.abc import Iterable

import numpy as np
import torch

from hooks.capturing import capture
from hooks.reading import refuse_other_model, refuse_without_routing
from hooks.trace import RoutingTrace
from hooks.windows import Window
from sample_models.loading import LoadedModel
from sample_models.taps import HOOK_NAMES, Edit, TapInfo

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
"""Tap -> the decisions of its own layer that an edit there changes; taps that come after all decisions are not here."""


def routing_of(loaded: LoadedModel, text: str | RoutingTrace) -> RoutingTrace:
    """The trace of a text: itself if it was made by this model, else the text is traced.

    Raises ValueError for a trace of another model, a model without routing, or a text without tokens.
    """
    if isinstance(text, str):
        return capture(loaded, text)
    refuse_without_routing(loaded)
    refuse_other_model(loaded, text)
    return text


def decided(trace: RoutingTrace, tokens: slice) -> dict[str, np.ndarray]:
    """Hook name -> what the trace says was decided there of some tokens of the text, [token, ...]."""
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


def replayed(trace: RoutingTrace, window: Window) -> dict[str, Edit]:
    """Edits that put the trace's loops, lambda, experts and weights at a window's own tokens into the pass over it.

    Those that it overlaps with the former window it reads anew, as it did when the trace was made: what it decided on
    them stands in no trace.
    """
    own = window.own_part

    def put(values: np.ndarray) -> Edit:
        def edit(tensor: torch.Tensor, hook: TapInfo) -> torch.Tensor:
            tensor = tensor.clone()
            tensor[0, own] = torch.tensor(values, dtype=tensor.dtype, device=tensor.device)
            return tensor

        return edit

    return {name: put(values) for name, values in decided(trace, slice(window.own, window.end)).items()}


def undisturbed(name: str, edits: Iterable[str]) -> bool:
    """Whether the decision at hook `name` is made before, or without regard to, what these hook names hold."""

    def disturbs(edit: str) -> bool:
        (_, layer, within), (_, edited_layer, edited_within) = name.split(".", 2), edit.split(".", 2)
        if layer == edited_layer:
            return within in DECIDED_FROM.get(edited_within, ())
        return int(edited_layer) < int(layer)

    return not any(map(disturbs, edits))


__all__ = ["decided", "replayed", "routing_of", "undisturbed"]
