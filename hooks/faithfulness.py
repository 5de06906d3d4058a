"""Runs one text in the ways that must agree: hooked and unhooked, fast and readable, alone and in a batch."""

import copy
from collections.abc import Iterable

import torch
from transformer_lens.hook_points import HookPoint

from hooks.capturing import refuse_without_routing, routing_names, routing_trace, tokenise
from hooks.faithfulness_record import Faithfulness, OtherRun
from hooks.hook_points import HOOK_NAMES, Recording, edited, instrument, record
from hooks.trace import RoutingTrace
from sample_models.loading import LoadedModel
from sample_models.modeling_versatile import Tap, VersatileFFNForCausalLM

MORE_TOKENS = 8
"""Tokens by which the other text of the batch is longer: so much padding the text gets."""


@torch.inference_mode()
def measure_faithfulness(loaded: LoadedModel, text: str) -> Faithfulness:
    """Run a text five times and keep the largest differences, and what was routed each time.

    Safe to call from several threads. Hooks that somebody left on the model take part, as they do in every trace.

    Raises ValueError if the text holds no token, if the model has no routing, or if no layer of it can be captured.
    """
    refuse_without_routing(loaded)
    instrument(loaded.model)
    ids, special = tokenise(loaded, text)
    model, layers, count = loaded.model, loaded.config.num_hidden_layers, len(ids)
    alone = torch.tensor([ids], device=model.device)
    longer = [*ids[1:], *ids, *[ids[0]] * MORE_TOKENS][: count + MORE_TOKENS]
    pair = torch.tensor([ids + [0] * MORE_TOKENS, longer], device=model.device)
    inside = [f"blocks.{layer}.mlp.hook_{part}" for layer in range(layers) for part in ("depth_out", "expert_out")]

    logits, seen = _run(model, alone, layers)
    captured = _captured(seen, layers)
    if not captured:
        raise ValueError(f"no layer of {loaded.name} passes its hook points: load the model again")

    def traced(logits: torch.Tensor, seen: Recording) -> RoutingTrace:
        routing = {
            field: torch.stack([seen[names[layer]][0, :count] for layer in captured])
            for field, names in routing_names(layers).items()
        }
        return routing_trace(loaded, text, ids, special, routing, logits)

    def other(ids: torch.Tensor, more: Iterable[str] = ()) -> OtherRun:
        found, passed = _run(model, ids, layers, more)
        return OtherRun(_gap(found[:count], logits), traced(found[:count], passed))

    choices = {name: seen[name] for name in map(HOOK_NAMES["loop_choice"].format, captured)}
    with edited({name: lambda _, chosen=chosen: chosen.clone() for name, chosen in choices.items()}):
        told = model(alone, use_cache=False).logits
    return Faithfulness(
        layers=layers,
        captured=captured,
        trace=traced(logits, seen),
        largest_logit=float(logits.abs().max()),
        told_gap=_gap(told[0], logits),
        unhooked_gap=_gap(unhooked(model)(alone, use_cache=False).logits[0], logits),
        readable=other(alone, inside),
        batched=other(pair),
    )


def unhooked(model: VersatileFFNForCausalLM) -> VersatileFFNForCausalLM:
    """The same model with plain taps and without a hook anywhere, over the same weights: nothing is copied of these."""
    modules = list(model.modules())
    instead = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    instead |= {
        id(hooks): type(hooks)() for each in modules for hooks in (each._forward_hooks, each._forward_pre_hooks)
    }
    instead |= {id(each): Tap() for each in modules if isinstance(each, HookPoint | Tap)}
    return copy.deepcopy(model, instead)


def _run(model, ids: torch.Tensor, layers: int, more: Iterable[str] = ()) -> tuple[torch.Tensor, Recording]:
    """Logits [token, vocab] of the first text, and what passed the hook points of the routing."""
    routing = {name for names in routing_names(layers).values() for name in names}
    with record(routing | set(more), lambda name, tensor: tensor if name in routing else None) as seen:
        logits = model(ids, use_cache=False).logits[0]
    return logits, seen


def _captured(seen: Recording, layers: int) -> list[int]:
    return [layer for layer in range(layers) if all(names[layer] in seen for names in routing_names(layers).values())]


def _gap(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first.float() - second.float()).abs().max())


__all__ = ["measure_faithfulness", "unhooked"]
