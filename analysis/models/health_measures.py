"""Measures of the health checks: costs of shuffling, writes of experts, and whether decisions follow content."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import t as student

from analysis.aggregate import ordinary, share
from analysis.experts import choice_counts
from hooks.health_record import HealthRecord, TextHealth

CHOICES_PER_EXPERT = 20
"""Least routed choices per expert in a layer: with fewer, loads can be outside the bounds by chance alone."""


@dataclass(frozen=True)
class Cost:
    """What a control costs over several texts, in nats per token."""

    mean: float
    """Over all tokens that count."""
    error: float
    """Standard error of the mean, clustered over texts, since tokens of one text are not independent; NaN for one."""
    texts: int
    tokens: int
    changed: float
    """Share of the cells whose decision was another one; NaN if there are none."""

    @property
    def reach(self) -> float:
        """Half of the 95% interval of the mean: Student's t with texts - 1 degrees of freedom times the error."""
        return float(student.ppf(0.975, self.texts - 1) * self.error) if self.texts > 1 else float("nan")

    @property
    def is_shown(self) -> bool:
        """Whether the whole interval lies above zero."""
        return self.mean - self.reach > 0


def cost_of(texts: list[TextHealth], control: str) -> Cost:
    """What one of `hooks.health.CONTROLS` costs over the texts."""
    by_text = [each for text in texts if len(each := cost_by_token(text, control))]
    cells, changed = (sum(getattr(text.controls[control], of) for text in texts) for of in ("cells", "changed"))
    mean, error = mean_and_error(by_text)
    return Cost(mean, error, len(by_text), sum(map(len, by_text)), float(share(changed, np.array(cells))))


def cost_by_token(text: TextHealth, control: str) -> Float[np.ndarray, " token"]:
    """Nats that a control costs at every ordinary token but the first of the text, mean over draws."""
    cost = text.trace.logprob - text.controls[control].logprob.mean(axis=0)
    return cost[ordinary(text.trace) & np.isfinite(text.trace.logprob)]


def expert_writes(texts: list[TextHealth]) -> tuple[np.ndarray, np.ndarray]:
    """Share of loop 1's step that chosen experts write, at their own tokens and at any token, both [layer], 0..1.

    The second is the mean over all permutations of the layer's choices among its routed tokens, in closed form. NaN in
    a layer with fewer than `CHOICES_PER_EXPERT` routed choices per expert.
    """
    trace = texts[0].trace
    shares = np.concatenate([text.step_shares[:, ordinary(text.trace)] for text in texts], axis=1)
    ran, ids = (
        np.concatenate([getattr(text.trace, name)[:, ordinary(text.trace)] for text in texts], axis=1)
        for name in ("width_ran", "expert_ids")
    )
    chosen = (ids[..., None, :] == np.arange(trace.num_experts)[:, None]).any(axis=-1)  # [layer, token, expert]
    own, others = np.full((2, trace.num_layers), np.nan)
    for layer in np.flatnonzero(enough_routed(texts)):
        writes, choices = shares[layer, ran[layer]], chosen[layer, ran[layer]]
        own[layer] = (writes * choices).sum(axis=1).mean()
        others[layer] = (writes.mean(axis=0) * choices.mean(axis=0)).sum()
    return own, others


def enough_routed(texts: list[TextHealth]) -> Bool[np.ndarray, " layer"]:
    """Whether a layer has at least `CHOICES_PER_EXPERT` routed choices per expert."""
    choices = sum(choice_counts(text.trace).sum(axis=(1, 2)) for text in texts)
    return choices >= CHOICES_PER_EXPERT * texts[0].trace.num_experts


def loop_counts(record: HealthRecord) -> Int[np.ndarray, "layer loop"]:
    """Number of ordinary tokens of all texts at each number of loops."""
    numbers = np.arange(1, record.texts[0].trace.max_loops + 1)
    at = [(text.trace.loops[..., None] == numbers)[:, ordinary(text.trace)].sum(axis=1) for text in record.texts]
    return np.sum(at, axis=0)


def loops_follow_content(texts: list[TextHealth]) -> tuple[np.ndarray, np.ndarray]:
    """How far loops follow the token, and the position, when tokens are reordered, both [layer]: 1 always, 0 chance.

    Agreement of the loops before and after, of the moved token and at the same position, corrected for chance as in
    Cohen's kappa: (agreement - chance) / (1 - chance), with chance from how often each number of loops ran. Only tokens
    that changed their position count, and not those that stood or came to stand first: in large models the first place
    is an attention sink whatever stands there. NaN in a layer where all took the same loops.
    """
    numbers = np.arange(1, texts[0].trace.max_loops + 1)
    return _following(
        texts, lambda text: (text.trace.loops[..., None] == numbers, text.reordered_loops[..., None] == numbers)
    )


def experts_follow_content(texts: list[TextHealth]) -> tuple[np.ndarray, np.ndarray]:
    """The same for chosen experts: agreement is the share of them that stays, over pairs that routed both times."""
    numbers = np.arange(texts[0].trace.num_experts)[:, None]

    def chosen(text: TextHealth) -> tuple[np.ndarray, np.ndarray]:
        routed = text.reordered_loops < text.trace.max_loops
        before, after = (ids[..., None, :] == numbers for ids in (text.trace.expert_ids, text.reordered_experts))
        return before.any(axis=-1) & text.trace.width_ran[..., None], after.any(axis=-1) & routed[..., None]

    return _following(texts, chosen)


def _following(
    texts: list[TextHealth], chosen: Callable[[TextHealth], tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """Agreement with the token and with the position, both [layer].

    `chosen` gives what was decided, [layer, token, choice] before and [draw, layer, token, choice] after.
    """
    moved, by_token, by_place = [], [], []
    for text in texts:
        before, reordered = chosen(text)
        for order, after in zip(text.orders, reordered, strict=True):
            place = np.arange(len(order))
            places = np.flatnonzero((order != place) & (order > 0) & (place > 0))
            moved.append(after[:, places])
            by_token.append(before[:, order[places]])
            by_place.append(before[:, places])
    after, token, place = (np.concatenate(parts, axis=1) for parts in (moved, by_token, by_place))
    return _kappa(after, token), _kappa(after, place)


def _kappa(after: np.ndarray, before: np.ndarray) -> Float[np.ndarray, " layer"]:
    """Agreement beyond chance of two choices [layer, pair, choice], over pairs that have a choice in both."""
    both = after.any(axis=2) & before.any(axis=2)  # [layer, pair]
    after, before, pairs = after & both[..., None], before & both[..., None], both.sum(axis=1)
    size = share(before.sum(axis=(1, 2)), pairs)  # of what is chosen at once: one number of loops, k experts
    agreement = share((after & before).sum(axis=(1, 2)), pairs) / size
    chance = (after.sum(axis=1) * before.sum(axis=1)).sum(axis=1) / np.maximum(pairs, 1) ** 2 / size
    return share(agreement - chance, 1 - chance)


def mean_and_error(by_text: Sequence[Float[np.ndarray, " token"]]) -> tuple[float, float]:
    """Mean over the tokens of all texts, and its standard error clustered over texts: NaN for fewer than two.

    The error takes texts as independent and the tokens of one text as they come: it rests on the sum over each text of
    the differences from the mean.
    """
    texts, tokens = len(by_text), sum(map(len, by_text))
    if not tokens:
        return float("nan"), float("nan")
    mean = float(np.concatenate(by_text).mean())
    if texts < 2:
        return mean, float("nan")
    sums = np.array([(each - mean).sum() for each in by_text])
    return mean, float(np.sqrt(texts / (texts - 1) * np.square(sums).sum()) / tokens)


def mean_over_texts(record: HealthRecord, of: Callable[[TextHealth], np.ndarray]) -> Float[np.ndarray, " layer"]:
    """Mean over texts of `of(text)` [layer], weighted by their number of ordinary tokens."""
    weights = [int(ordinary(text.trace).sum()) for text in record.texts]
    return np.average([of(text) for text in record.texts], axis=0, weights=weights)


__all__ = [
    "CHOICES_PER_EXPERT", "Cost", "cost_by_token", "cost_of", "enough_routed", "expert_writes",
    "experts_follow_content", "loop_counts", "loops_follow_content", "mean_and_error", "mean_over_texts",
]  # fmt: skip
