"""Runs one text in several ways that must agree: hooked and unhooked, fast and readable, alone and in a batch."""

import copy
from collections.abc import Iterable
from typing import NamedTuple

import torch

from hooks.capturing import Part, routing_names, routing_trace, window_part
from hooks.faithfulness_record import Faithfulness, OtherRun
from hooks.hook_points import instrument
from hooks.passes import run_rows
from hooks.reading import Reading, read, refuse_intervened, refuse_without_routing
from hooks.trace import RoutingTrace
from hooks.windows import Window
from sample_models.loading import LoadedModel
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.taps import HOOK_NAMES, Recording, Tap, edited

MORE_TOKENS = 8
"""The other text of the batch has this many more tokens, and the measured one gets as much padding."""


@torch.inference_mode()
def measure_faithfulness(loaded: LoadedModel, text: str | RoutingTrace) -> Faithfulness:
    """Run a text five times, window by window, and return the largest differences and the routing of each run.

    Of a trace only the tokens and windows are used. Hooks that were left on the model take part, as they do in every
    trace. Safe to call from several threads.

    Raises ValueError if the text holds no token, if the model has no routing, if no layer of it can be captured, or for
    a trace of another model or with interventions.
    """
    refuse_without_routing(loaded)
    if isinstance(text, RoutingTrace):
        refuse_intervened(text, "this check")
    instrument(loaded.model)
    reading = read(loaded, text)
    plain = unhooked(loaded.model)
    by_window = [_in_window(loaded, plain, reading, window) for window in reading.windows]

    def whole(name: str) -> OtherRun:
        gaps, parts = zip(*(measured.runs[name] for measured in by_window), strict=True)
        return OtherRun(max(gaps), routing_trace(loaded, reading, parts))

    return Faithfulness(
        layers=loaded.config.num_hidden_layers,
        captured=by_window[0].captured,
        trace=whole("alone").trace,
        largest_logit=max(measured.largest_logit for measured in by_window),
        forced_gap=max(measured.forced_gap for measured in by_window),
        unhooked_gap=max(measured.unhooked_gap for measured in by_window),
        readable=whole("readable"),
        batched=whole("batched"),
    )


class _Measured(NamedTuple):
    """The measurements over one window of the text."""

    captured: list[int]
    largest_logit: float
    forced_gap: float
    unhooked_gap: float
    runs: dict[str, tuple[float, Part]]
    """Name of a run -> (largest difference of a logit from the run "alone", routing)."""


def _in_window(loaded: LoadedModel, plain: VersatileFFNForCausalLM, reading: Reading, window: Window) -> _Measured:
    model, layers, ids = loaded.model, loaded.config.num_hidden_layers, reading.ids[window.first : window.end]
    count = len(ids)
    longer = [*ids[1:], *ids, *[ids[0]] * MORE_TOKENS][: count + MORE_TOKENS]
    inside = [f"blocks.{layer}.mlp.hook_{part}" for layer in range(layers) for part in ("depth_out", "expert_out")]
    runs = {
        "alone": _run(model, [ids], layers),
        "readable": _run(model, [ids], layers, inside),
        "batched": _run(model, [ids, longer], layers),
    }
    logits, seen = runs["alone"]
    captured = [
        layer for layer in range(layers) if all(names[layer] in seen for names in routing_names(layers).values())
    ]
    if not captured:
        raise ValueError(f"the hook points of {loaded.name} recorded no layer: load the model again")
    choices = {name: seen[name] for name in map(HOOK_NAMES["loop_choice"].format, captured)}
    with edited({name: lambda choice, hook: choices[hook.name].clone() for name in choices}):
        forced = run_rows(model, [ids])[0].logits
    names = {field: [of_field[layer] for layer in captured] for field, of_field in routing_names(layers).items()}
    return _Measured(
        captured=captured,
        largest_logit=float(logits.abs().max()),
        forced_gap=_gap(forced, logits),
        unhooked_gap=_gap(run_rows(plain, [ids])[0].logits, logits),
        runs={
            name: (
                _gap(run_logits[0, :count], logits[0]),
                window_part(loaded, reading, window, names, passed, run_logits),
            )
            for name, (run_logits, passed) in runs.items()
        },
    )


def unhooked(model: VersatileFFNForCausalLM) -> VersatileFFNForCausalLM:
    """The same model with plain taps and without any hook; it shares the weights, and none is copied."""
    modules = list(model.modules())
    instead = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    instead |= {
        id(hooks): type(hooks)() for module in modules for hooks in (module._forward_hooks, module._forward_pre_hooks)
    }
    instead |= {id(module): Tap() for module in modules if isinstance(module, Tap)}
    return copy.deepcopy(model, instead)


def _run(model, rows: list[list[int]], layers: int, more: Iterable[str] = ()) -> tuple[torch.Tensor, Recording]:
    """Logits [row, token, vocab], and the tensors recorded at the hook points of the routing."""
    routing = {name for names in routing_names(layers).values() for name in names}
    output, seen = run_rows(model, rows, routing | set(more), lambda name, tensor: tensor if name in routing else None)
    return output.logits, seen


def _gap(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first.float() - second.float()).abs().max())


__all__ = ["measure_faithfulness", "unhooked"]
