"""Schematic: what one layer did with one token, as numbers and as sentences that follow the drawing step by step."""

from dataclasses import dataclass
from math import isclose

import numpy as np
import pandas as pd

from analysis.words.labels import token_labels
from analysis.words.numbers import number, percent, significant
from hooks.trace import RoutingTrace
from sample_models.lambda_gate import width_share

MOST_LOOP_STEPS = 6
"""Loops that have a step each; more loops share one step."""
BEFORE_LOOPS = 3
"""Steps before the first loop: input, depth head, width path."""
MOST_NAMED = 4
"""Experts that a sentence names with their weights."""


@dataclass(frozen=True)
class LayerRun:
    """What one layer did with one token, and the sizes of the layer."""

    label: str
    """The token's label, as plain text."""
    layer: int
    token: int
    last_layer: bool
    hidden_size: int | None
    """Length of the token's vector; None where the trace does not say."""
    units: int | None
    """Hidden units of the FFN (d_ff); None where the trace does not say."""
    num_experts: int
    """Slices that the hidden units are divided into, the virtual experts."""
    top_k: int
    """Slices that the router picks."""
    loops: int
    max_loops: int
    expected_loops: float
    """E[L], the loops that the depth head expected."""
    difficulty: float
    """Soft difficulty in this layer, 0..1: the expected loops, scaled."""
    gate: float
    """lambda, the weight of the width path in the output."""
    intervened: bool
    """Whether the trace has interventions, so that what ran need not be what the model chose."""
    by_rule: bool
    """Whether lambda is what the rule makes of the loops; False if somebody edited one of the two."""
    width_ran: bool
    experts: tuple[int, ...]
    """Chosen slices, best first; empty where the width path did not run."""
    weights: tuple[float, ...]
    """Their weights, which sum to 1 but under interventions."""

    @property
    def slice_units(self) -> int | None:
        """Hidden units of a slice; None where the trace does not say."""
        return self.units // self.num_experts if self.units and self.units >= self.num_experts else None

    @property
    def named(self) -> str:
        """The token in quotation marks, with its number."""
        return f"“{self.label}” (token {self.token})"

    def step_of_loop(self, loop: int) -> int:
        """Number of the step, from 1, in which a loop is drawn; loops that did not run belong to the last that did."""
        return BEFORE_LOOPS + (1 if self.loops > MOST_LOOP_STEPS else min(loop, self.loops))

    @property
    def step_of_mixture(self) -> int:
        """Number of the last step."""
        return self.step_of_loop(self.loops) + 1


@dataclass(frozen=True)
class Step:
    """One step of the drawing."""

    name: str
    """One or two words, for a button."""
    sentence: str
    """What happens in this step, as plain text."""


def layer_run(trace: RoutingTrace, layer: int, token: int) -> LayerRun:
    """What `layer` did with `token`. IndexError if the trace has no such layer or token."""
    config, ran = trace.meta.get("config", {}), bool(trace.width_ran[layer, token])
    loops, gate = int(trace.loops[layer, token]), float(trace.gate[layer, token])
    wrote = trace.expert_ran[layer, token]
    return LayerRun(
        label=token_labels(trace)[token],
        layer=layer,
        token=token,
        last_layer=layer == trace.num_layers - 1,
        hidden_size=config.get("hidden_size"),
        units=config.get("intermediate_size"),
        num_experts=trace.num_experts,
        top_k=trace.expert_ids.shape[2],
        loops=loops,
        max_loops=trace.max_loops,
        expected_loops=float(trace.expected_loops[layer, token]),
        difficulty=float(trace.difficulty_soft[layer, token]),
        gate=gate,
        intervened=bool(trace.interventions),
        by_rule=isclose(gate, width_share(loops, trace.max_loops), abs_tol=1e-3),
        width_ran=ran,
        experts=tuple(trace.expert_ids[layer, token, wrote].tolist()),
        weights=tuple(trace.expert_weights[layer, token, wrote].tolist()),
    )


def summary(run: LayerRun) -> str:
    """The whole drawing in one sentence."""
    times = f"ran {run.loops} of at most {run.max_loops} times"
    if not run.width_ran:
        return (
            f"For {run.named}, layer {run.layer} used the depth path alone: the whole FFN {times}, and the width path "
            "did not run."
        )
    return (
        f"For {run.named}, layer {run.layer} mixed both paths: {percent(1 - run.gate)} depth path, in which the whole "
        f"FFN {times}, and {percent(run.gate)} width path, in which {_slices(run)} ran once."
    )


def layer_steps(run: LayerRun) -> tuple[Step, ...]:
    """The steps of the drawing from the input to the output; every number in them is the trace's."""
    size = f", a vector of {run.hidden_size:,} numbers" if run.hidden_size else ""
    return (
        Step("Input", f"{run.named} comes to the FFN of layer {run.layer} as H{size}: the token as attention left it."),
        Step("Depth head", _decision(run)),
        Step("Width path", _width(run)),
        *_loop_steps(run),
        Step("Mix", _mixture(run)),
    )


def _decision(run: LayerRun) -> str:
    if run.intervened:
        return (
            f"The depth head, a small linear layer, reads H and expected {number(run.expected_loops)} loops. Under the "
            f"interventions of this trace the FFN ran {run.loops} of at most {run.max_loops} loops, and λ, the weight "
            f"of the width path, is {significant(run.gate)}."
        )
    rule = f" = ({run.max_loops} − {run.loops}) / {run.max_loops}" if run.by_rule else ""
    edited = "" if run.by_rule else " Loops or λ were edited: λ does not follow from the loops here."
    return (
        f"The depth head, a small linear layer, reads H and chooses how often the FFN runs: {run.loops} of at most "
        f"{run.max_loops} loops (it expected {number(run.expected_loops)}: difficulty {number(run.difficulty)} on a "
        f"scale from 0 to 1). This sets λ{rule} = {significant(run.gate)}, the weight of the width path.{edited}"
    )


def _width(run: LayerRun) -> str:
    size = f" of {run.slice_units:,} hidden units each" if run.slice_units else ""
    slices = f"{run.num_experts:,} slices{size}, called virtual experts"
    if not run.width_ran:
        would = "could run some" if run.intervened else f"would run {run.top_k}"
        why = "λ is 0" if run.gate <= 0 else "it was dropped"
        return (
            f"The width path {would} of the FFN’s {slices}. Here {why}, so it did not run: it is drawn dashed, and the "
            "token counts for no expert."
        )
    if run.intervened:
        return (
            f"The router, another small linear layer, picks some of the FFN’s {slices}. Under the interventions of "
            f"this trace {_slices(run, weighed=True)} ran, once, on H. The others did not run."
        )
    return (
        f"The router, another small linear layer, picks {run.top_k} of the FFN’s {slices}. For this token "
        f"{_slices(run, weighed=True)} ran, once, on H. The others did not run."
    )


def _slices(run: LayerRun, weighed: bool = False) -> str:
    """Words such as "slices 3 and 5"."""
    shown = list(zip(run.experts, run.weights, strict=True))[:MOST_NAMED]
    names = [f"{expert} (weight {number(weight)})" if weighed else str(expert) for expert, weight in shown]
    if more := len(run.experts) - len(shown):
        names.append(f"{more} more")
    return f"{'slices' if len(run.experts) > 1 else 'slice'} {_listed(names)}"


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _loop_steps(run: LayerRun) -> list[Step]:
    units = f", all {run.units:,} hidden units," if run.units else ""
    rest = run.max_loops - run.loops
    left = {0: "", 1: f" Loop {run.max_loops} did not run."}.get(
        rest, f" Loops {run.loops + 1} to {run.max_loops} did not run."
    )
    end = f" Here the token exits: H({run.loops}) is the output of the depth path.{left}"
    if run.loops > MOST_LOOP_STEPS:
        text = f"The whole FFN{units} runs {run.loops} times, each time on what it made before.{end}"
        return [Step(f"Loops 1 to {run.loops}", text)]
    steps = [f"Loop 1 of the depth path: the whole FFN{units} runs on H, and what it writes is added to H: H(1)."]
    steps += [
        f"Loop {loop}: the same FFN runs again, now on H({loop - 1}), and makes H({loop})."
        for loop in range(2, run.loops + 1)
    ]
    steps[-1] += end
    return [Step(f"Loop {loop}", text) for loop, text in enumerate(steps, 1)]


def _mixture(run: LayerRun) -> str:
    goes = "goes on to the prediction" if run.last_layer else f"goes on to layer {run.layer + 1}"
    if not run.width_ran and run.gate > 0:
        mixed = f"Y = {significant(run.gate)} × H + {significant(1 - run.gate)} × depth"
        return f"The width path wrote nothing: {mixed}. Y {goes}."
    if not run.width_ran:
        return f"Only the depth path ran, so its output is the layer’s: Y = H({run.loops}). Y {goes}."
    return (
        f"Both outputs are mixed by λ: Y = {significant(run.gate)} × width + {significant(1 - run.gate)} × depth. Y "
        f"{goes}. λ is a weight, not a share of the work: both outputs contain H."
    )


def schematic_table(trace: RoutingTrace) -> pd.DataFrame:
    """One row per layer x token: what the schematic says of it. Experts are null where the width path did not run."""
    table = trace.to_frame()
    return pd.DataFrame(
        {
            **table[["layer", "token", "text", "special", "loops"]],
            "max_loops": trace.max_loops,
            "width_ran": table["width_ran"],
            "width_weight": table["gate"],
            "depth_weight": np.float32(1) - table["gate"],
            "expert_ids": table["expert_ids"],
            "expert_weights": table["expert_weights"],
            "difficulty": table["difficulty_soft"],
        }
    )


__all__ = ["LayerRun", "Step", "layer_run", "layer_steps", "schematic_table", "summary"]
