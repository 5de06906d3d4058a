"""Comparison: one text in one model before and after interventions, and what became of losses and routing.

An intervention names cells (layer x token) and decides there otherwise. What it does reaches later layers of the same
token and, through attention, later layers of later tokens. The cells so reached decide for themselves, on another
input: those that decide otherwise are the cascade.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from beartype import beartype
from jaxtyping import Bool, Float, Int, jaxtyped

from analysis.aggregate import ordinary
from analysis.difficulty import surprisal
from hooks.trace import RoutingTrace


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, eq=False)
class Comparison:
    """Two traces of one text in one model. ValueError if they are not of the same tokens, layers and experts."""

    before: RoutingTrace
    """Usually the model's own choices; it may have interventions too."""
    after: RoutingTrace
    kl: Float[np.ndarray, " token"]
    """KL(before || after) of the distributions of the next token after each token, nats."""

    def __post_init__(self) -> None:
        first, second = self.before, self.after
        same = first.expert_logits.shape == second.expert_logits.shape
        if not same or not np.array_equal(first.token_ids, second.token_ids) or len(self.kl) != first.num_tokens:
            raise ValueError(
                "a comparison must be of one text in one model, with one KL for each token, got "
                f"{first.num_layers} layers x {first.num_tokens} tokens and {second.num_layers} x "
                f"{second.num_tokens}: trace one text twice"
            )
        self.kl.setflags(write=False)

    @property
    def routing(self) -> RoutingTrace:
        """The trace with the interventions."""
        return self.after

    @property
    def changed(self) -> bool:
        """Whether there is anything to compare: the interventions of both traces are not the same."""
        return self.before.interventions != self.after.interventions


@dataclass(frozen=True)
class Losses:
    """Mean of -log p over the ordinary tokens that have one, nats per token; NaN if none has."""

    before: float
    after: float
    tokens: int
    """How many tokens the means are over."""


@dataclass(frozen=True)
class CascadeNumbers:
    """What the cells (layer x ordinary token) did that no intervention names."""

    reached: int
    """Cells that come after a named one, in a later layer of this or a later token."""
    loops: int
    """Reached cells that took other loops."""
    experts: int
    """Reached cells that took as many loops but other experts, among those that routed both times."""
    routed_in_both: int
    """Reached cells that took as many loops and routed both times."""
    first_layer: int | None
    """Lowest layer with such a change; None if nothing changed."""


def logprob_change(both: Comparison) -> Float[np.ndarray, " token"]:
    """log p of each token, after minus before, nats; NaN for those without one and those that the tokenizer added."""
    return surprisal(both.before) - surprisal(both.after)


def losses(both: Comparison) -> Losses:
    """The losses of the text before and after."""
    counted = np.isfinite(surprisal(both.before)) & np.isfinite(surprisal(both.after))
    if not counted.any():
        return Losses(float("nan"), float("nan"), 0)
    before, after = (float(surprisal(trace)[counted].mean(dtype=float)) for trace in (both.before, both.after))
    return Losses(before, after, int(counted.sum()))


def named_cells(trace: RoutingTrace) -> Bool[np.ndarray, "layer token"]:
    """The cells that the interventions of a trace name, whether or not they decided otherwise than the model there."""
    named = np.zeros(trace.loops.shape, dtype=bool)
    for each in trace.interventions:
        layers = slice(None) if each.layers is None else list(each.layers)
        tokens = np.arange(trace.num_tokens) if each.tokens is None else np.array(each.tokens)
        named[layers] |= np.isin(np.arange(trace.num_tokens), tokens)
    return named


def forced_cells(both: Comparison) -> Bool[np.ndarray, "layer token"]:
    """The cells that interventions of either trace name."""
    return named_cells(both.before) | named_cells(both.after)


def reached_cells(both: Comparison) -> Bool[np.ndarray, "layer token"]:
    """The cells that no intervention names, but that read what a named cell wrote.

    These are the later layers of the named tokens and of the tokens after them, within the window that reads them.
    """
    trace, named = both.after, forced_cells(both)
    lowest = np.where(named.any(axis=0), named.argmax(axis=0), trace.num_layers)
    reached = np.zeros_like(named)
    for window in trace.windows:
        first_named = np.minimum.accumulate(lowest[window.first : window.end])[window.own_part]
        reached[:, window.own : window.end] = np.arange(trace.num_layers)[:, None] > first_named
    return reached & ~named


def experts_ran(trace: RoutingTrace) -> Bool[np.ndarray, "layer token expert"]:
    """Which experts ran in every cell."""
    ran = np.zeros(trace.expert_logits.shape, dtype=bool)
    layer, token, _ = np.nonzero(trace.expert_ran)
    ran[layer, token, trace.expert_ids[trace.expert_ran]] = True
    return ran


def other_loops(both: Comparison) -> Int[np.ndarray, "layer token"]:
    """Loops after minus before."""
    return both.after.loops - both.before.loops


def other_experts(both: Comparison) -> Bool[np.ndarray, "layer token"]:
    """Where another set of experts ran, among cells that routed both times (order and weights do not matter)."""
    both_routed = both.before.width_ran & both.after.width_ran
    return both_routed & (experts_ran(both.before) != experts_ran(both.after)).any(axis=-1)


def cascade_numbers(both: Comparison) -> CascadeNumbers:
    """How many cells decided otherwise because of what others did before them."""
    reached = reached_cells(both) & ordinary(both.after)
    loops = reached & (other_loops(both) != 0)
    routed = reached & ~loops & both.before.width_ran & both.after.width_ran
    experts = routed & other_experts(both)
    layers = np.flatnonzero((loops | experts).any(axis=1))
    return CascadeNumbers(
        reached=int(reached.sum()),
        loops=int(loops.sum()),
        experts=int(experts.sum()),
        routed_in_both=int(routed.sum()),
        first_layer=int(layers[0]) if len(layers) else None,
    )


def gained_and_lost(both: Comparison) -> tuple[list[list[str]], list[list[str]]]:
    """Of the likeliest next tokens after each token: those that are new, and those that are no longer among them."""

    def beyond(one: RoutingTrace, other: RoutingTrace) -> list[list[str]]:
        known = (set(row) for row in other.next_ids.tolist())
        rows = zip(one.next_ids.tolist(), one.next_tokens, known, strict=True)
        return [[word for each, word in zip(ids, words, strict=True) if each not in had] for ids, words, had in rows]

    return beyond(both.after, both.before), beyond(both.before, both.after)


def other_prediction(both: Comparison) -> Bool[np.ndarray, " token"]:
    """After which tokens another next token is the likeliest."""
    return both.before.next_ids[:, 0] != both.after.next_ids[:, 0]


def cascade_table(both: Comparison) -> pd.DataFrame:
    """One row per layer x token: whether an intervention names the cell or reaches it, and what it decided.

    `experts_differ` is missing unless the cell routed both times; `experts_*` are empty where it did not route.
    """
    before, after = both.before.to_frame(), both.after.to_frame()
    routed = (both.before.width_ran & both.after.width_ran).ravel()
    return before[["layer", "token", "text", "special"]].assign(
        named=forced_cells(both).ravel(),
        reached=reached_cells(both).ravel(),
        loops_before=before["loops"],
        loops_after=after["loops"],
        gate_before=before["gate"],
        gate_after=after["gate"],
        experts_before=before["expert_ids"],
        experts_after=after["expert_ids"],
        experts_differ=pd.array(np.where(routed, other_experts(both).ravel(), None), dtype="boolean"),
    )


def token_table(both: Comparison) -> pd.DataFrame:
    """One row per token: its log p, and the prediction after it, both before and after the interventions.

    `logprob_*` are those of the token itself (missing for the first). KL and the next tokens are of the prediction
    that the model makes after it. Probabilities are of the likeliest next token.
    """
    gained, lost = gained_and_lost(both)
    first, second = both.before, both.after
    return pd.DataFrame(
        {
            "token": np.arange(first.num_tokens),
            "text": first.tokens,
            "special": first.special,
            "named": forced_cells(both).any(axis=0),
            "logprob_before": first.logprob,
            "logprob_after": second.logprob,
            "change": second.logprob - first.logprob,
            "kl": both.kl,
            "next_before": [words[0] for words in first.next_tokens],
            "next_after": [words[0] for words in second.next_tokens],
            "probability_before": np.exp(first.next_logprobs[:, 0]),
            "probability_after": np.exp(second.next_logprobs[:, 0]),
            "gained": [" ".join(words) for words in gained],
            "lost": [" ".join(words) for words in lost],
        }
    )


__all__ = [
    "CascadeNumbers", "Comparison", "Losses", "cascade_numbers", "cascade_table", "experts_ran", "forced_cells",
    "gained_and_lost", "logprob_change", "losses", "named_cells", "other_experts", "other_loops", "other_prediction",
    "reached_cells", "token_table",
]  # fmt: skip
