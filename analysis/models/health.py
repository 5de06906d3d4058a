"""Health: can a model's routing be trusted? Every check compares one measured number with a bound.

A verdict holds for the texts that were measured. The bounds are rules of thumb: they lie between the trained samples
and models with planted faults (untrained heads, a random router, a single loop, a silenced expert, routing by position,
tau left at its start).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from analysis.aggregate import share
from analysis.experts import choice_counts
from analysis.explain.near_miss import TwoPrecisions, precision_numbers
from analysis.models.health_measures import (
    Cost,
    cost_of,
    enough_routed,
    expert_writes,
    experts_follow_content,
    loop_counts,
    loops_follow_content,
    mean_over_texts,
)
from analysis.models.sampling import draw_agreement, drawn_weight
from analysis.words.labels import how_many
from analysis.words.numbers import number, percent
from hooks.health_record import HealthRecord

Status = Literal["healthy", "effect not shown", "sick", "not measured"]
"""Effect not shown: the measured effect is within the range of chance, so the texts tell neither that nor whether."""

LEAST_AGREEMENT = 0.5
"""Least share of draws that agree with eval, mean over layers. Untrained heads: 0.3 to 0.4; trained sample: 0.8."""
LEAST_WEIGHT = 0.6
"""Least weight of the drawn loops at the final tau, mean over layers. At tau 5 at most 0.5, at 0.1 at least 0.9."""
MOST_AT_ONE_LOOP = 0.95
"""Largest share of a layer's tokens that may take the same number of loops."""
LOAD_BOUNDS = 0.32, 2.4
"""Least and most load of an expert, in units of an even load: 4% and 30% of eight experts."""
LEAST_POSITION = 0.2
"""Smaller agreement with the position, beyond chance, is noise."""
MOST_FLIPS = 0.05
"""Largest share of decisions that may differ in bfloat16."""
LEAST_COST, LEAST_TOKENS = 0.05, 200
"""Shuffled loops are of no use if their cost is below so many nats with its whole 95% interval, over so many tokens.
Trained samples: 0.1 and more."""
LEAST_FIT, FIT_ERRORS = 1.15, 3.0
"""Least ratio of what chosen experts write at their own tokens to what they would write at others, mean over layers.
Below it, shuffled experts must cost FIT_ERRORS standard errors. Ratios: trained samples 1.37 and more, random routers
0.97 to 1.03, checkpoints of the small sample 1.01, 1.05 (step 61), 1.22 (245), 1.39 (980) and 1.45 (3,000)."""


@dataclass(frozen=True)
class Check:
    """One check, its result and what it means."""

    name: str
    status: Status
    figure: str
    """The measured number with its unit, in words."""
    meaning: str
    """What the number means, and what to do if the model is sick."""


def health_checks(record: HealthRecord) -> list[Check]:
    """All checks of a model. If its weights are not finite, only the weights are checked."""
    checks = [check_weights(record)]
    needing: dict[str, Callable[[HealthRecord], Check]] = {
        "loops matter": check_loops_matter,
        "experts fit their tokens": check_expert_fit,
        "depth head is sure": check_sureness,
        "tau was annealed": check_tau,
        "content decides loops": check_content_of_loops,
        "content decides experts": check_content_of_experts,
        "all loops in use": check_loops,
        "experts share the load": check_experts,
        "precision": check_precision,
    }
    for name, check in needing.items():
        checks.append(
            check(record)
            if record.texts
            else Check(name, "not measured", "", "Take an earlier checkpoint with finite weights first.")
        )
    return checks


def is_healthy(checks: list[Check]) -> bool:
    """Whether no check is sick. A check whose effect was not shown, or that was not measured, does not count."""
    return all(check.status != "sick" for check in checks)


def verdict(checks: list[Check]) -> str:
    """One line: healthy, or which checks failed; then those whose effect was not shown, and those not measured.

    The name of a check says what a healthy model does: without its quotes it would read as what was found.
    """
    named = {
        status: ", ".join(check.name for check in checks if check.status == status)
        for status in ("effect not shown", "not measured")
    }
    left_open = [f"{status}: {names}" for status, names in named.items() if names]
    failed = [f"“{check.name}”" for check in checks if check.status == "sick"]
    of = how_many(len(checks), "check")
    text = f"sick, since it failed {len(failed)} of {of}: {', '.join(failed)}" if failed else "healthy"
    return text + (f" ({'; '.join(left_open)})" if left_open else "")


def check_weights(record: HealthRecord) -> Check:
    """Every weight must be a finite number."""
    bad = sum(record.not_finite.values())
    where = f", first in {next(iter(record.not_finite))}" if bad else ""
    return Check(
        "weights",
        "sick" if bad else "healthy",
        f"{bad:,} of {record.parameters:,} not finite{where}",
        "A weight that is infinite or not a number spoils every output that it reaches: take an earlier checkpoint.",
    )


def check_loops_matter(record: HealthRecord) -> Check:
    """Shuffling the loops among a text's tokens must cost loss: a causal test of the depth head."""
    name, cost = "loops matter", cost_of(record.texts, "loops_shuffled")
    if cost.texts < 2:
        return Check(name, "not measured", f"{cost.texts} text with {cost.tokens} tokens", "Give two texts or more.")
    useless = cost.tokens >= LEAST_TOKENS and cost.mean + cost.reach < LEAST_COST
    status: Status = "healthy" if cost.is_shown else "sick" if useless else "effect not shown"
    loops, gate, within = (
        cost_of(record.texts, control)
        for control in ("loops_alone_shuffled", "lambda_alone_shuffled", "loops_shuffled_within_token_type")
    )
    return Check(
        name,
        status if record.gates_trained else "sick",
        f"{_nats(cost.mean)} nats per token when loops, and λ with them, are shuffled within texts (standard error "
        f"{number(cost.error, 3)} over {cost.texts} texts, {cost.tokens:,} tokens; {percent(cost.changed)} of choices "
        f"changed); loops alone {_told(loops)}, λ alone {_told(gate)}, among equal tokens only {_told(within)}, where "
        f"{percent(within.changed)} changed",
        _untrained_gates(record)
        + (
            f"The 95% interval over texts must lie above 0. If all of it lies below {LEAST_COST:g}, it does not "
            "matter which token takes which loops, as with untrained gates. A cost does not show that the chosen "
            "loops are the best, since the model was trained with these only."
        ),
    )


def check_expert_fit(record: HealthRecord) -> Check:
    """Chosen experts must write more at their own tokens than at others, or shuffling them must cost loss."""
    name, trace = "experts fit their tokens", record.texts[0].trace
    cost, scale = (cost_of(record.texts, control) for control in ("experts_shuffled", "without_experts"))
    own, others = expert_writes(record.texts)
    if trace.num_experts == trace.expert_ids.shape[2] or cost.texts < 2 or not np.isfinite(own).any():
        remedy = "Give more texts, or a model that has more experts than a token takes."
        return Check(name, "not measured", "too few routed tokens or texts, or no choice of experts", remedy)
    fits = np.nanmean(own) / np.nanmean(others) >= LEAST_FIT
    matters = cost.is_shown if fits else cost.mean > FIT_ERRORS * cost.error
    status: Status = "healthy" if matters else "effect not shown" if fits else "sick"
    return Check(
        name,
        status if record.gates_trained else "sick",
        f"a token's chosen experts write {percent(np.nanmean(own))} of its first step (projected on it), experts "
        f"of other tokens {percent(np.nanmean(others))}; shuffled they cost {_nats(cost.mean)} nats per token "
        f"(standard error {number(cost.error, 3)} over {cost.texts} texts), removing all experts costs {_told(scale)}",
        _untrained_gates(record)
        + f"Experts fit their tokens if they write {LEAST_FIT:g} times what those of other tokens do or more. That "
        "their choice also matters to the predictions is shown only by a cost whose 95% interval over texts lies above "
        f"0. Below that ratio, and with a cost within {FIT_ERRORS:g} standard errors, any experts would do, as with an "
        "untrained router.",
    )


def check_sureness(record: HealthRecord) -> Check:
    """Most draws with Gumbel noise on eval's depth logits must agree with eval's choice (`models.sampling`)."""
    by_layer = mean_over_texts(record, lambda text: draw_agreement(text.trace, draws=8).mean(axis=0))
    return Check(
        "depth head is sure",
        "healthy" if by_layer.mean() >= LEAST_AGREEMENT else "sick",
        f"{percent(by_layer.mean())} of draws give the loops that evaluation picks; fewest in layer "
        f"{by_layer.argmin()} ({percent(by_layer.min())})",
        "Gumbel noise is added to the depth logits of evaluation, layer by layer; in training a draw also changes "
        f"the layers above. Below {LEAST_AGREEMENT:.0%} training ran different loops than evaluation would, and the "
        "logits are nearly even: the depth head was not trained, or not for long.",
    )


def check_tau(record: HealthRecord) -> Check:
    """At the final tau, the drawn loops must have most of the weight in the mixture behind the gradient.

    Not measured without a tau. The authors' checkpoints record none: their released code keeps it at 5, but a fork may
    lower it.
    """
    if record.tau is None:
        return Check(
            "tau was annealed",
            "not measured",
            "the checkpoint records no tau",
            "Tau changes no choice, only the gradient. The authors' released trainer records none and never lowers it "
            "from 5, where half of the gradient or more comes from loops that did not run. Ask who trained the model.",
        )
    weight = mean_over_texts(
        record, lambda text: drawn_weight(text.trace, [record.tau], draws=8)[0].mean(axis=0)
    ).mean()
    return Check(
        "tau was annealed",
        "healthy" if weight >= LEAST_WEIGHT else "sick",
        f"tau {record.tau:g} gives the drawn loops {percent(weight)} of the mixture",
        f"Tau changes no choice, only the gradient. Below {LEAST_WEIGHT:.0%} training ended with gradients of loops "
        "that did not run. Lower tau during training, to about 0.1.",
    )


def check_content_of_loops(record: HealthRecord) -> Check:
    """When tokens are reordered, loops must follow the token more than the position."""
    return _check_content("loops", *loops_follow_content(record.texts), "See “all loops in use”.")


def check_content_of_experts(record: HealthRecord) -> Check:
    """When tokens are reordered, experts must follow the token. Only layers with enough routed choices count."""
    enough = enough_routed(record.texts)
    content, position = (np.where(enough, agreement, np.nan) for agreement in experts_follow_content(record.texts))
    return _check_content("experts", content, position, "See “experts share the load”.")


def _check_content(what: str, content: np.ndarray, position: np.ndarray, otherwise: str) -> Check:
    name = f"content decides {what}"
    measurable = np.isfinite(content) & np.isfinite(position)
    if not measurable.any():
        return Check(name, "not measured", f"no layer's {what} differ", otherwise)
    led = np.flatnonzero(measurable & (position > np.maximum(content, LEAST_POSITION)))
    where = f"; by position in layer {', '.join(map(str, led))}" if len(led) else ""
    return Check(
        name,
        "sick" if len(led) else "healthy",
        f"{what} follow the token by {number(np.nanmean(content))}, the position by "
        f"{number(np.nanmean(position))}{where}",
        "Agreement beyond chance (0 none, 1 all), mean over layers, when the tokens are put in another order. The "
        "first place does not count: in many models it is a sink of attention, whatever stands there. A layer "
        f"whose {what} stay with the position has learnt positions and not words.",
    )


def check_loops(record: HealthRecord) -> Check:
    """No layer may give nearly all tokens the same number of loops."""
    counts = loop_counts(record)
    shares = share(counts, counts.sum(axis=1, keepdims=True))
    most = np.nan_to_num(shares.max(axis=1))
    worst = int(most.argmax())
    return Check(
        "all loops in use",
        "sick" if most[worst] > MOST_AT_ONE_LOOP and counts.shape[1] > 1 else "healthy",
        f"at most {percent(most[worst])} of a layer's tokens at one number of loops (layer {worst}, "
        f"{int(shares[worst].argmax()) + 1})",
        f"Above {MOST_AT_ONE_LOOP:.0%} the depth head of that layer has collapsed and decides nothing. An entropy term "
        "in the loss, or a slower tau, prevents this.",
    )


def check_experts(record: HealthRecord) -> Check:
    """No expert may get almost none or almost all of a layer's routed choices."""
    counts = sum(choice_counts(text.trace).sum(axis=1) for text in record.texts)  # [layer, expert]
    experts = counts.shape[1]
    enough = enough_routed(record.texts)
    low, high = (bound / experts for bound in LOAD_BOUNDS)
    if not enough.any() or experts == 1:
        text = f"at most {counts.sum(axis=1).max()} routed choices in a layer"
        return Check("experts share the load", "not measured", text, "Give more text, or a model with more experts.")
    loads = counts[enough] / counts[enough].sum(axis=1, keepdims=True)
    layers = np.flatnonzero(enough)
    outside = sorted({f"{layers[layer]}:{expert}" for layer, expert in np.argwhere((loads < low) | (loads > high))})
    named = ", ".join(outside[:6]) + (", …" if len(outside) > 6 else "")
    left_out = "" if enough.all() else f"; {np.sum(~enough)} layer(s) with too few routed tokens left out"
    return Check(
        "experts share the load",
        "sick" if outside else "healthy",
        f"{percent(loads.min(), 1)} to {percent(loads.max(), 1)} of a layer's routed choices"
        + (f"; outside (layer:expert) {named}" if outside else "")
        + left_out,
        f"Below {low:.1%} an expert is dead, and above {min(high, 1):.0%} it takes too much: load balancing was too "
        "weak.",
    )


def _told(cost: Cost) -> str:
    """A cost and in brackets its standard error."""
    return f"{_nats(cost.mean)} ({number(cost.error, 3)})"


def _nats(value: float) -> str:
    return number(value, 3, signed=True)


def check_precision(record: HealthRecord) -> Check:
    """Nearly all decisions must be the same in bfloat16 as in float32."""
    by_text = [precision_numbers(TwoPrecisions(text.trace, text.half)) for text in record.texts]
    loops = sum(counts.loops_differ for counts in by_text) / max(sum(counts.pairs for counts in by_text), 1)
    both = sum(counts.routed_in_both for counts in by_text)
    experts = sum(counts.experts_differ for counts in by_text) / max(both, 1)
    return Check(
        "precision",
        "sick" if max(loops, experts) > MOST_FLIPS else "healthy",
        f"bfloat16 flips {percent(loops, 1)} of the loops and {percent(experts, 1)} of the experts",
        f"Above {MOST_FLIPS:.0%} the decisions depend on rounding: the logits are too close, or the weights too large.",
    )


def _untrained_gates(record: HealthRecord) -> str:
    return "" if record.gates_trained else "The configuration says that the gates were not trained. "


__all__ = [
    "Check", "Status", "check_content_of_experts", "check_content_of_loops", "check_experts", "check_expert_fit",
    "check_loops", "check_loops_matter", "check_precision", "check_sureness", "check_tau", "check_weights",
    "health_checks", "is_healthy", "verdict",
]  # fmt: skip
