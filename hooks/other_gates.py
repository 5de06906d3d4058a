"""Runs a text under other gates than the learned one: their loss against the FFN passes that they take."""

import dataclasses
from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch

from hooks.capturing import capture
from hooks.depth_effects import DepthEffects
from hooks.frontier_record import SCOPES, Frontier, GateSweep
from hooks.hook_points import instrument
from hooks.interventions import ForceGate, ForceLoops, Intervention, UseRouting
from hooks.reading import read, refuse_intervened, refuse_other_model, refuse_without_routing
from hooks.trace import RoutingTrace
from sample_models.loading import LoadedModel
from sample_models.taps import HOOK_NAMES, Edit, TapInfo, edited

RANDOM_DEALS = 8
SHIFTS = (-2.0, -1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 2.0)
"""Of E[L], in loops."""
QUANTILES = (0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 0.95)
"""Of the confidences in the model's own pass: the thresholds of the confidence rules."""
ORACLE_COSTS = 4
"""Points of the oracle between one loop and the cost of its free choice; one more lies at the learned gate's cost."""
STEPS = 11
"""Of lambda from 0 to 1."""
LENS_ROWS = 64
"""Tokens whose logit lens is computed at a time."""
Point = tuple[str, float, float, float]
Result = TypeVar("Result")
Steps = Generator[float, None, Result]
"""Work in steps of one pass: it yields the share done, 0..1, and returns its result."""


def frontier(loaded: LoadedModel, effects: DepthEffects) -> Frontier:
    """The points of all gates for a text whose depth effects are known; the oracle needs them.

    Tokens without effects keep their loops under the oracle. Raises ValueError for a trace of another model or with
    interventions.
    """
    return finished(frontier_steps(loaded, effects))


def gate_sweep(loaded: LoadedModel, trace: RoutingTrace, layer: int, token: int) -> GateSweep:
    """The predictions with every lambda, for one cell, its layer and the whole model.

    Raises ValueError for a trace of another model or with interventions, or a layer or token that is not there.
    """
    return finished(gate_sweep_steps(loaded, trace, layer, token))


def finished(steps: Steps[Result]) -> Result:
    """The result of work in steps, done at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def frontier_steps(loaded: LoadedModel, effects: DepthEffects) -> Steps[Frontier]:
    """`frontier` in steps."""
    trace = effects.routing
    _check(loaded, trace)
    yield 0.0
    plans = []
    for plan in _plans(loaded, effects):
        plans.append(plan)
        if plan[0] in ("change", "entropy") and plans[-2][0] != plan[0]:
            yield 0.0  # the thresholds of this rule took a pass
    points: list[Point] = [("learned", 0.0, *_measures(trace))]
    for done, (rule, setting, interventions, edits) in enumerate(plans, start=1):
        points.append((rule, setting, *_measures(_run(loaded, trace, interventions, edits))))
        yield done / len(plans)
    rule, *columns = zip(*points, strict=True)
    return Frontier(trace, list(rule), *(np.array(column, np.float64) for column in columns))


def gate_sweep_steps(loaded: LoadedModel, trace: RoutingTrace, layer: int, token: int) -> Steps[GateSweep]:
    """`gate_sweep` in steps."""
    _check(loaded, trace)
    yield 0.0
    gates, own = np.linspace(0, 1, STEPS), np.full(STEPS, np.nan)
    loss = np.full((len(SCOPES), STEPS), np.nan)
    places = {"cell": (layer, token), "layer": (layer, None), "model": (None, None)}
    for number, scope in enumerate(SCOPES):
        for step, gate in enumerate(gates):
            forced = _run(loaded, trace, (ForceGate(float(gate), *places[scope]),))
            change = (trace.logprob - forced.logprob)[token + 1 if scope == "cell" else 1 :]
            if len(change):
                loss[number, step] = change.mean()
                own[step] = change[0] if scope == "cell" else own[step]
            yield (number * STEPS + step + 1) / loss.size
    return GateSweep(trace, layer, token, gates, loss, own)


def _check(loaded: LoadedModel, trace: RoutingTrace) -> None:
    refuse_without_routing(loaded)
    refuse_other_model(loaded, trace)
    refuse_intervened(trace, "what other gates would do")
    instrument(loaded.model)


def _run(
    loaded: LoadedModel,
    trace: RoutingTrace,
    interventions: tuple[Intervention, ...] = (),
    edits: dict[str, Edit] | None = None,
) -> RoutingTrace:
    with edited(edits) if edits else nullcontext():
        return capture(loaded, read(loaded, trace), interventions=interventions)


def _measures(trace: RoutingTrace) -> tuple[float, float]:
    """(mean loops of the text's own tokens, their mean surprisal where they have one)."""
    own, known = ~trace.special, np.isfinite(trace.logprob)
    lost = -trace.logprob[own & known].astype(np.float64)
    return float(trace.loops[:, own].mean()), float(lost.mean()) if len(lost) else float("nan")


def _plans(
    loaded: LoadedModel, effects: DepthEffects
) -> Iterator[tuple[str, float, tuple[Intervention, ...], dict[str, Edit] | None]]:
    """(rule, setting, interventions, edits) of every pass but the model's own."""
    trace = effects.routing
    for loops in range(1, trace.max_loops + 1):
        yield "always", loops, (ForceLoops(loops),), None
    for seed in range(RANDOM_DEALS):
        yield "random", seed, (_use_loops(trace, _dealt(trace, seed)),), None
    for price, loops in _oracles(effects):
        yield "oracle", price, (_use_loops(trace, loops),), None
    for shift in SHIFTS:
        yield "threshold", shift, (), _live(loaded, lambda layer, hidden, logits, by=shift: _near(logits, by))
    for rule, confidence in (("change", _step_lengths), ("entropy", _lens_entropies)):
        for threshold in np.quantile(_own_confidences(loaded, trace, confidence), QUANTILES).tolist():
            yield rule, threshold, (), _live(loaded, _leaves_below(loaded, confidence, threshold))


def _use_loops(trace: RoutingTrace, loops: np.ndarray) -> UseRouting:
    return UseRouting(dataclasses.replace(trace, loops=loops), parts=("loops",))


def _dealt(trace: RoutingTrace, seed: int) -> np.ndarray:
    """The loops [layer, token] dealt anew among the text's own tokens of each layer."""
    random, loops, own = np.random.default_rng(seed), trace.loops.copy(), np.flatnonzero(~trace.special)
    loops[:, own] = random.permuted(loops[:, own], axis=1)
    return loops


def _oracles(effects: DepthEffects) -> Iterator[tuple[float, np.ndarray]]:
    """(price of a loop, loops [layer, token]): the free choice, and those at certain costs."""
    trace, own = effects.routing, ~effects.routing.special
    following = np.array([trace.window_of(token).end - token for token in range(trace.num_tokens)])
    following[-1] = 0
    gain = effects.of("later", "follows").astype(np.float64) * following  # of the whole text, nats

    def at(price: float) -> np.ndarray:
        value = gain - price * np.arange(1, trace.max_loops + 1)[:, None, None]
        best = value.max(axis=0)
        stay = np.take_along_axis(value, trace.loops[None] - 1, axis=0)[0] >= best  # also where it was not run: NaN
        return np.where(stay | np.isnan(best), trace.loops, np.nan_to_num(value, nan=-np.inf).argmax(axis=0) + 1)

    def cost(loops: np.ndarray) -> float:
        return float(loops[:, own].mean())

    free = at(0.0)
    yield 0.0, free
    top = float(np.nanmax(np.abs(gain), initial=0.0)) * 2
    wanted = [*np.linspace(1, cost(free), ORACLE_COSTS + 2)[1:-1], cost(trace.loops)]
    for target in sorted(each for each in wanted if each < cost(free)):
        low, high = 0.0, top
        for _ in range(40):
            price = (low + high) / 2
            low, high = (price, high) if cost(at(price)) > target else (low, price)
        yield high, at(high)


# Gates that decide during the pass -----------------------------------------------------------------------------------

Decide = Callable[[int, torch.Tensor, torch.Tensor], torch.Tensor]
"""(layer, H [b p d], depth logits [b p loop]) -> loops [b p]."""
Confidence = Callable[[LoadedModel, int, torch.Tensor], torch.Tensor]
"""(model, layer, H [b p d]) -> how unsure it is after every loop [b p loop]: the smaller, the surer."""


def _live(loaded: LoadedModel, decide: Decide) -> dict[str, Edit]:
    """Edits with which a rule chooses the loops in a pass, in every layer from what reaches it."""
    edits: dict[str, Edit] = {}
    for layer in range(loaded.config.num_hidden_layers):
        seen: dict[str, torch.Tensor] = {}

        def see(tensor: torch.Tensor, hook: TapInfo, seen: dict = seen) -> torch.Tensor:
            seen[hook.name.rsplit(".", 1)[1]] = tensor
            return tensor

        def choose(choice: torch.Tensor, hook: TapInfo, seen: dict = seen, layer: int = layer) -> torch.Tensor:
            return decide(layer, seen["hook_in"], seen["hook_depth_logits"]).to(choice.dtype) - 1

        edits |= {
            f"blocks.{layer}.mlp.hook_in": see,
            HOOK_NAMES["depth_logits"].format(layer): see,
            HOOK_NAMES["loop_choice"].format(layer): choose,
        }
    return edits


def _near(logits: torch.Tensor, shift: float) -> torch.Tensor:
    """E[L] + shift, rounded."""
    most = logits.shape[-1]
    loops = torch.arange(1, most + 1, device=logits.device, dtype=torch.float32)
    return (logits.float().softmax(dim=-1) @ loops + shift).round().clamp(1, most).long()


def _leaves_below(loaded: LoadedModel, confidence: Confidence, threshold: float) -> Decide:
    def decide(layer: int, hidden: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        sure = confidence(loaded, layer, hidden) < threshold
        sure[..., -1] = True  # after the last loop every token leaves
        return sure.int().argmax(dim=-1) + 1

    return decide


def _states(loaded: LoadedModel, layer: int, hidden: torch.Tensor) -> list[torch.Tensor]:
    """H(0) to H(max_loops)."""
    states, ffn = [hidden], loaded.model.model.layers[layer].mlp
    for _ in range(loaded.config.max_loops):
        states.append(ffn.loop(states[-1]))
    return states


def _step_lengths(loaded: LoadedModel, layer: int, hidden: torch.Tensor) -> torch.Tensor:
    """Length of every loop's step relative to the state before it [b p loop]."""
    states = _states(loaded, layer, hidden)
    steps = [(after - before).norm(dim=-1) / before.norm(dim=-1) for before, after in pairwise(states)]
    return torch.stack(steps, dim=-1)


def _lens_entropies(loaded: LoadedModel, layer: int, hidden: torch.Tensor) -> torch.Tensor:
    """Entropy of the logit lens on the state after every loop [b p loop], nats."""
    states = torch.stack(_states(loaded, layer, hidden)[1:], dim=-2)  # [b p loop d]
    found = []
    for rows in states.flatten(0, -2).split(LENS_ROWS):
        logs = loaded.model.lm_head(loaded.model.model.norm(rows)).float().log_softmax(dim=-1)
        found.append(-torch.einsum("rv,rv->r", logs.exp(), logs))
    return torch.cat(found).view(states.shape[:-1])


def _own_confidences(loaded: LoadedModel, trace: RoutingTrace, confidence: Confidence) -> np.ndarray:
    """All confidences of the model's own pass, from which the thresholds are taken."""
    found: list[np.ndarray] = []

    def note(layer: int, hidden: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        found.append(confidence(loaded, layer, hidden).float().cpu().numpy().ravel())
        return logits.argmax(dim=-1) + 1

    _run(loaded, trace, (), _live(loaded, note))
    return np.concatenate(found)


__all__ = ["Steps", "finished", "frontier", "frontier_steps", "gate_sweep", "gate_sweep_steps"]
