"""TracePair: a trace A and a second trace B, their alignment, and where they took other loops or experts.

B is of another text, of another model or training step, or of the same text under other interventions. Differences are
B minus A, at the tokens of A. A token that is not aligned has none, which is never 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from beartype import beartype
from jaxtyping import Bool, Float, jaxtyped

from analysis.aggregate import ordinary
from analysis.compare.alignment import NOT_ALIGNED, Alignment, aligned
from analysis.what_if.comparison import experts_ran
from analysis.words.labels import SPACE, how_many, isolated, short_label
from hooks.interventions import in_words
from hooks.trace import RoutingTrace

AT_STEP = " at step "
"""Stands in the name of a model that `load_model(..., step=)` loaded, before the step."""
NAME_LETTERS = 48
"""Letters of the text of B by which it is called."""
What = Literal["text", "model", "step", "interventions"]
Values = Callable[[RoutingTrace], np.ndarray]
"""A trace -> values [layer, token] or [token]."""


@dataclass(frozen=True)
class Flips:
    """Cells (layer x token) that decided otherwise in B than in A."""

    cells: int
    """Cells that are compared: tokens that say the same in both, after the first difference of two texts."""
    loops: int
    """Of these, cells that took other loops."""
    routed: int
    """Cells that took as many loops and routed in both."""
    experts: int
    """Of these, cells with another set of experts."""

    @property
    def loop_share(self) -> float:
        """Share of the cells that took other loops; NaN without cells."""
        return self.loops / self.cells if self.cells else float("nan")

    @property
    def expert_share(self) -> float:
        """Share of the cells that routed in both, and looped alike, that took other experts; NaN without such cells."""
        return self.experts / self.routed if self.routed else float("nan")


@dataclass(frozen=True, eq=False)
class TracePair:
    """Two traces beside each other."""

    a: RoutingTrace
    b: RoutingTrace
    null: tuple[Flips, ...] = ()
    """Flips in pairs of paraphrases, read by the same model: what another wording alone does. Empty if not known."""

    @property
    def routing(self) -> RoutingTrace:
        """The trace whose tokens figures draw: A."""
        return self.a

    @cached_property
    def alignment(self) -> Alignment:
        """Which tokens stand at the same place."""
        return aligned(self.a, self.b)

    @property
    def step(self) -> int | None:
        """The training step of B's weights if B is a kept checkpoint of A's model, which its name says."""
        name, _, step = str(self.b.meta.get("model")).rpartition(AT_STEP)
        return int(step) if name == self.a.meta.get("model") and step.isdecimal() else None

    @property
    def what(self) -> What:
        """What B differs in. If it is several things, the first of: training step, model, text, interventions."""
        a, b = self.a.meta, self.b.meta
        if self.step is not None:
            return "step"
        if a.get("weights_sha256") != b.get("weights_sha256") or a.get("model") != b.get("model"):
            return "model"
        return "text" if a.get("text") != b.get("text") else "interventions"

    @property
    def name_of_b(self) -> str:
        """What B is, in a few words, not escaped: it can hold the text of a visitor."""
        if self.what == "step":
            return f"step {self.step:,} of the training"
        if self.what == "model":
            return f"model {self.b.meta.get('model')}"
        if self.what == "interventions":
            return in_words(self.b.interventions) or "the model's own choices"
        told = "".join(token for token, added in zip(self.b.tokens, self.b.special, strict=True) if not added)
        return f"“{isolated(short_label(told.replace(SPACE, ' ').strip(), NAME_LETTERS))}”"

    @property
    def layers_match(self) -> bool:
        """Whether the layers of both can be set beside each other: both have as many."""
        return self.a.num_layers == self.b.num_layers

    @property
    def experts_match(self) -> bool:
        """Whether expert e of a layer is the same slice of weights in both, or one step of its training."""
        same_size = self.a.expert_logits.shape[::2] == self.b.expert_logits.shape[::2]
        return same_size and self.what != "model"

    @property
    def why_no_layers(self) -> str | None:
        """Why there is no difference by layer, in a sentence; None if there is one."""
        if self.layers_match:
            return None
        return (
            f"A has {how_many(self.a.num_layers, 'layer')} and B {self.b.num_layers}, so no layer of one belongs to a "
            "layer of the other."
        )

    @property
    def why_no_experts(self) -> str | None:
        """Why the experts cannot be compared, in a sentence; None if they can."""
        if why_not := self.why_no_layers:
            return why_not
        if self.experts_match:
            return None
        return "Experts of different models have nothing in common but their numbers, so there is no difference."


def on_a(pair: TracePair, values: Values) -> tuple[np.ndarray, np.ndarray]:
    """Values of A and of B, both [..., token of A]: means over the tokens of a group, NaN where nothing is aligned.

    A group of one token of each has the values themselves.
    """
    alignment = pair.alignment
    sides = []
    for trace, group in ((pair.a, alignment.group_a), (pair.b, alignment.group_b)):
        means = _group_means(values(trace), group, len(alignment.same))
        sides.append(_at_tokens(means, alignment.group_a))
    return sides[0], sides[1]


def difference(pair: TracePair, values: Values) -> Float[np.ndarray, "..."]:
    """B minus A at the tokens of A, as `on_a`. ValueError if values are by layer and the layers do not match."""
    a, b = on_a(pair, values)
    if a.shape != b.shape:
        raise ValueError(pair.why_no_layers)
    return b - a


def logprob_difference(pair: TracePair) -> Float[np.ndarray, " token"]:
    """log p of what the tokens of a group say, B minus A, nats, at the tokens of A; NaN where not aligned.

    log p of several tokens is their sum. Only what says the same in both has a difference, and only what has a log p in
    both.
    """
    alignment = pair.alignment
    sums = []
    for trace, group in ((pair.a, alignment.group_a), (pair.b, alignment.group_b)):
        logprob = np.where(ordinary(trace), trace.logprob, np.nan)
        sums.append(_group_sums(logprob, group, len(alignment.same)))
    change = np.where(alignment.same, sums[1] - sums[0], np.nan)
    return _at_tokens(change, alignment.group_a)


def compared_tokens(pair: TracePair) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of A and of B that `Flips` compares: one of each, that say the same; of two texts those that come after
    the first difference."""
    tokens_a, tokens_b = pair.alignment.pairs.T
    counted = ordinary(pair.a)[tokens_a]
    if pair.what == "text":
        counted = counted & (tokens_a >= pair.alignment.first_difference)
    return tokens_a[counted], tokens_b[counted]


def flipped(pair: TracePair) -> tuple[Bool[np.ndarray, "layer pair"], Bool[np.ndarray, "layer pair"]]:
    """Where other loops were taken, and where as many loops but other experts, among those that routed in both.

    For the tokens of `compared_tokens`. Without comparable experts the second is False everywhere. ValueError if the
    layers do not match.
    """
    if why_not := pair.why_no_layers:
        raise ValueError(why_not)
    tokens_a, tokens_b = compared_tokens(pair)
    loops = pair.a.loops[:, tokens_a] != pair.b.loops[:, tokens_b]
    if not pair.experts_match:
        return loops, np.zeros_like(loops)
    unlike = (experts_ran(pair.a)[:, tokens_a] != experts_ran(pair.b)[:, tokens_b]).any(axis=-1)
    return loops, unlike & ~loops & routed_in_both(pair)


def routed_in_both(pair: TracePair) -> Bool[np.ndarray, "layer pair"]:
    """Where the width path ran in both, for the tokens of `compared_tokens`."""
    tokens_a, tokens_b = compared_tokens(pair)
    return pair.a.width_ran[:, tokens_a] & pair.b.width_ran[:, tokens_b]


def flips(pair: TracePair) -> Flips:
    """How many cells decided otherwise. All are 0 if the layers do not match: then no cell is compared."""
    if not pair.layers_match:
        return Flips(0, 0, 0, 0)
    loops, experts = flipped(pair)
    alike = routed_in_both(pair) & ~loops if pair.experts_match else np.zeros_like(loops)
    return Flips(int(loops.size), int(loops.sum()), int(alike.sum()), int(experts.sum()))


@jaxtyped(typechecker=beartype)
def losses(pair: TracePair) -> tuple[float, float]:
    """Mean surprisal per token of A and of B, each over its own tokens, nats; NaN where none has one."""
    found = []
    for trace in (pair.a, pair.b):
        read = trace.surprisal[ordinary(trace)]
        read = read[np.isfinite(read)]
        found.append(float(read.mean(dtype=float)) if read.size else float("nan"))
    return found[0], found[1]


def _group_sums(values: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """Sums [..., group] of values [..., token]."""
    counted = group != NOT_ALIGNED
    sums = np.zeros((groups, *values.shape[:-1]))
    np.add.at(sums, group[counted], np.moveaxis(values, -1, 0)[counted])
    return np.moveaxis(sums, 0, -1)


def _group_means(values: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    sizes = np.bincount(group[group != NOT_ALIGNED], minlength=groups)
    return _group_sums(values, group, groups) / np.maximum(sizes, 1)


def _at_tokens(of_groups: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Values [..., group] at every token; NaN for tokens in no group."""
    if not of_groups.shape[-1]:
        return np.full((*of_groups.shape[:-1], len(group)), np.nan)
    return np.where(group == NOT_ALIGNED, np.nan, of_groups[..., np.maximum(group, 0)])


__all__ = [
    "Flips", "TracePair", "Values", "What", "compared_tokens", "difference", "flipped", "flips", "logprob_difference",
    "losses", "on_a", "routed_in_both",
]  # fmt: skip
