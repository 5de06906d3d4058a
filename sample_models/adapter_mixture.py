"""Mixtures of experts of transformers: a router in some layers chooses k experts, which are FFNs of their own.

Their routers return (logits [n expert], weights [n k], experts [n k]) for n tokens of all rows. A tap stands at each.
Shared experts run for every token beside the chosen ones, and no router decides about them.
"""

from collections.abc import Iterator

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils.output_capturing import OutputRecorder

from sample_models.adapter import (
    EXPERT_FIELDS,
    AdaptedConfig,
    Adapter,
    add_tap,
    at_tap,
    run_to_check,
)
from sample_models.adapter_families import MOE
from sample_models.adapter_streams import attach_streams
from sample_models.taps import HOOK_NAMES, record, told_positions

TOLERANCE = 1e-2
"""Largest difference of a weight from the softmax that it must be, wide enough for half precision."""


class MixtureAdapter(Adapter):
    """Mixtral, OLMoE, Qwen-MoE and what shares the form of their routers."""

    family = MOE
    parameter_parts = {
        "embed_tokens": "token embeddings",
        "lm_head": "output head",
        "self_attn": "attention",
        "norm": "norms",
        "shared": "shared experts",
        "expert": "experts",
        "gate.weight": "routers",
        "router": "routers",
        "moe": "experts",
        "mlp": "dense FFNs",
    }

    def adapted(self, model: PreTrainedModel) -> AdaptedConfig:
        routers = dict(routers_of(model))
        if not routers:
            raise ValueError("it has no layer with a router")
        experts, chosen = ({getattr(each, name) for each in routers.values()} for name in ("num_experts", "top_k"))
        layers = len(model.model.layers)
        return AdaptedConfig(
            model.config,
            MOE,
            frozenset({"width"}),
            layers,
            tapped=dict.fromkeys(EXPERT_FIELDS, frozenset(routers)),
            num_experts=experts.pop(),
            num_experts_per_tok=chosen.pop(),
            weights_over_all=any(getattr(each, "norm_topk_prob", True) is False for each in routers.values()),
            notes=tuple(_notes(model, routers, layers)),
        )

    def attach(self, model: PreTrainedModel) -> None:
        attach_streams(model)
        for layer, router in routers_of(model):
            for field in EXPERT_FIELDS:
                add_tap(router, HOOK_NAMES[field], layer)
            router.register_forward_hook(_through_taps)

    @torch.no_grad()
    def check(self, model: PreTrainedModel, config: AdaptedConfig) -> None:
        """Every router's experts must be those of its k largest logits, and weigh by a softmax of them."""
        names = {field: [HOOK_NAMES[field].format(each) for each in config.tapped[field]] for field in EXPERT_FIELDS}
        with record(name for of_field in names.values() for name in of_field) as seen:
            run_to_check(model)
        for layer, *tensors in zip(sorted(config.tapped["expert_ids"]), *map(names.get, EXPERT_FIELDS), strict=True):
            logits, ids, weights = (seen[name] for name in tensors)
            if not logits.isfinite().all():
                raise ValueError(f"the logits of the router of layer {layer} are not finite: try another dtype or copy")
            logits = logits.float()
            least = logits.gather(-1, ids).amin(dim=-1)
            others = logits.scatter(-1, ids, -torch.inf).amax(dim=-1)
            over = logits if config.weights_over_all else logits.gather(-1, ids)
            expected = over.softmax(dim=-1)
            expected = expected.gather(-1, ids) if config.weights_over_all else expected
            if (others > least).any() or not torch.allclose(weights.float(), expected, atol=TOLERANCE):
                raise ValueError(
                    f"the experts of layer {layer} must be those of its router's largest logits, weighed by their "
                    "softmax, and are not: the explorer does not know this kind of router"
                )


def routers_of(model: PreTrainedModel) -> Iterator[tuple[int, nn.Module]]:
    """Layer -> its router, for the layers that have one: the modules whose output transformers records."""
    recorders = (getattr(module, "_can_record_outputs", None) or {} for module in (model.model, model))
    found = next((each["router_logits"] for each in recorders if "router_logits" in each), None)
    kind = found.target_class if isinstance(found, OutputRecorder) else ()
    for index, layer in enumerate(model.model.layers):
        yield from ((index, module) for module in layer.modules() if isinstance(module, kind))


def _through_taps(router: nn.Module, args: tuple, output: tuple) -> tuple:
    """The router's output, once it passed the taps [row token ...]: logits first, as in a VersatileFFN."""
    logits, weights, ids = output
    positions = told_positions()
    if positions is None:  # nobody records or edits
        return output
    rows = -1, positions.shape[-1]
    logits = at_tap(router, "expert_logits", logits.unflatten(0, rows))
    ids = at_tap(router, "expert_ids", ids.unflatten(0, rows))
    weights = at_tap(router, "expert_weights", weights.unflatten(0, rows))
    return logits.flatten(0, 1), weights.flatten(0, 1).to(output[1].dtype), ids.flatten(0, 1)


def _notes(model: PreTrainedModel, routers: dict[int, nn.Module], layers: int) -> Iterator[str]:
    if without := [str(layer) for layer in range(layers) if layer not in routers]:
        yield (
            f"Layer {without[0]} has no router, and every token passes its one FFN."
            if len(without) == 1
            else f"Layers {', '.join(without)} have no router, and every token passes their one FFN."
        )
    if any("shared" in name for name, _ in model.model.layers.named_modules()):
        yield "Beside the chosen experts a shared one runs for every token; it is not chosen and not counted."
    if any(getattr(each, "norm_topk_prob", True) is False for each in routers.values()):
        yield "An expert's weight is its probability among all experts, so the weights of a token sum to less than 1."


__all__ = ["MixtureAdapter", "routers_of"]
