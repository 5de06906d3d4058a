"""Router and depth head of an upcycled model, fitted in closed form to what the dense model does with a text.

Both heads read the residual stream H without a norm and without a bias. In a trained model some direction of H hardly
changes from token to token, and a ridge regression of the number 1 on H finds it: it serves as the bias. What the heads
are fitted to:

- the depth head to the entropy of the dense model's next-token prediction: the less sure the model is, the more loops.
  It is an ordinal classifier: loops = 1 + the number of thresholds below s(H), with s the fitted entropy and the
  thresholds at the quantiles that deal out the wanted shares of loops;
- the router to the part of the dense FFN's update that each expert's slice writes, <f_e(H), f(H)> / |f(H)|^2,
  standardised for each expert over the text, so that no expert starts with more tokens than another.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sample_models.distil.losses import Lesson, Streams, relative_errors
from sample_models.distil.own_loops import output_of_each_loop_count, own_loops
from sample_models.feed_forward import DenseFFN
from sample_models.modeling_versatile import VersatileFFNForCausalLM

RIDGE = 1e-3
"""Ridge penalty, as a share of the mean variance of a hidden unit."""

NEAREST_SPREAD = 2.0
"""Standard deviation of the refitted depth logits around their mean over loops."""

LEAST_RANK = 0.02
"""Added to a rank before its logarithm, so that the very first token does not rule the fit."""

COST_WINDOWS = 12
"""Windows on which each layer's loops are compared with the usual ones."""

DEPTH_MARGIN = 4.0
"""Logits between neighbouring numbers of loops when s(H) is one standard deviation from their threshold."""


@dataclass(frozen=True, eq=False)
class DenseReading:
    """What the dense model did with a text of n tokens, the first of each window left out."""

    hidden: list[torch.Tensor]
    """H of each layer [n, d]."""
    entropy: torch.Tensor
    """Entropy in nats of the next-token prediction [n]."""


@torch.no_grad()
def read_dense_model(teacher: VersatileFFNForCausalLM, windows: torch.Tensor, batch: int = 4) -> DenseReading:
    """H of every layer and the entropy of the predictions over windows [window, token].

    The first token of a window is left out: a sink of attention whose stream is far larger than any other.
    """
    hidden: list[list[torch.Tensor]] = [[] for _ in teacher.model.layers]
    handles = [
        layer.hook_resid_mid.register_forward_hook(lambda module, inputs, output, seen=seen: seen.append(output[:, 1:]))
        for layer, seen in zip(teacher.model.layers, hidden, strict=True)
    ]
    entropies = []
    try:
        for part in windows.split(batch):
            log_probs = teacher(part, use_cache=False).logits[:, 1:].float().log_softmax(dim=-1)
            entropies.append(-(log_probs.exp() * log_probs).sum(dim=-1))
    finally:
        for handle in handles:
            handle.remove()
    return DenseReading([torch.cat(seen).flatten(0, 1).float() for seen in hidden], torch.cat(entropies).flatten())


def ridge(hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Weights [target, d] of the ridge regression of targets [n, target] on H [n, d], without a bias."""
    gram = hidden.double().T @ hidden.double()
    gram += RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    return torch.linalg.solve(gram, hidden.double().T @ targets.double()).T.float()


def depth_weights(hidden: torch.Tensor, signal: torch.Tensor, shares: list[float]) -> torch.Tensor:
    """Weights [loop, d] of a depth head that deals out loops by a signal [n], in about these shares (one per loop)."""
    signal = (signal - signal.mean()) / signal.std()
    slope, constant = ridge(hidden, torch.stack([signal, torch.ones_like(signal)], dim=1))
    fitted = hidden @ slope
    slope, fitted = slope / fitted.std(), fitted / fitted.std()
    cuts = torch.tensor(shares).cumsum(0)[:-1] / sum(shares)
    thresholds = fitted.quantile(cuts)
    # logit(l) = margin * (l * s - the sum of the first l - 1 thresholds): neighbours are equal where s is a threshold.
    offsets = torch.cat([torch.zeros(1), thresholds.cumsum(0)])
    return DEPTH_MARGIN * (torch.arange(1, len(shares) + 1)[:, None] * slope - offsets[:, None] * constant)


def router_weights(hidden: torch.Tensor, ffn: DenseFFN, experts: int) -> torch.Tensor:
    """Weights [expert, d] of a router that prefers the experts whose slice writes most of the dense FFN's update."""
    units = ffn.activations(hidden).float()  # [n, f]
    update = units @ ffn.down_proj.weight.float().T
    written = (units * (update @ ffn.down_proj.weight.float())).unflatten(-1, (experts, -1)).sum(dim=-1)
    parts = written / update.square().sum(dim=-1, keepdim=True)
    parts = (parts - parts.mean(dim=0)) / parts.std(dim=0)
    weights = ridge(hidden, torch.cat([parts, torch.ones(len(parts), 1)], dim=1))
    slopes, constant = weights[:-1], weights[-1]
    fitted = hidden @ slopes.T
    return (slopes - fitted.mean(dim=0)[:, None] * constant) / fitted.std(dim=0)[:, None]


@torch.no_grad()
def fit_gates(
    student: VersatileFFNForCausalLM, teacher: VersatileFFNForCausalLM, windows: torch.Tensor, shares: list[float]
) -> None:
    """Set every router and depth head of the student from what its dense teacher does with windows [window, token]."""
    reading = read_dense_model(teacher, windows)
    for hidden, layer, dense in zip(reading.hidden, student.model.layers, teacher.model.layers, strict=True):
        layer.mlp.depth_head.weight.copy_(depth_weights(hidden, reading.entropy, shares))
        layer.mlp.router.weight.copy_(router_weights(hidden, dense.mlp, layer.mlp.num_experts))


def nearest_loops_weights(hidden: torch.Tensor, errors: torch.Tensor, shares: Sequence[float]) -> torch.Tensor:
    """Weights [loop, d] of a depth head that prefers the loops with the smallest error, in these shares.

    hidden: [n, d]; errors: [n, loop]. A number of loops that is worse for most tokens goes to those that lose least by
    it. So what counts is a token's rank, from 0 to 1, among all tokens by what it loses with this number against the
    usual one, which has the largest share. The logits are the ridge regression of -log(rank) on H, 0 for the usual
    number, plus a constant for each number of loops, which is found by iteration so that the wanted shares come out.
    Ranks instead of errors, since a few tokens have a hundred times the errors of others; logarithms, since only the
    first ranks are chosen.
    """
    wanted = torch.tensor(shares) / sum(shares)
    usual = int(wanted.argmax())
    losses = errors - errors[:, usual, None]
    gains = -(losses.argsort(dim=0).argsort(dim=0) / len(losses) + LEAST_RANK).log()
    gains[:, usual] = 0
    weights = ridge(hidden, torch.cat([gains - gains.mean(dim=0), torch.ones(len(hidden), 1)], dim=1))
    slopes, constant = weights[:-1], weights[-1]
    fitted = hidden @ slopes.T
    scale = NEAREST_SPREAD / (fitted - fitted.mean(dim=1, keepdim=True)).std()
    logits, offsets = scale * fitted, torch.zeros(len(shares))
    for step in range(400):
        dealt = torch.bincount((logits + offsets).argmax(dim=-1), minlength=len(shares)) / len(hidden)
        offsets += (1 - step / 400) * (wanted.log() - dealt.clamp_min(1e-3).log()).clamp(-1, 1) * 0.5
    return scale * slopes + offsets[:, None] * constant


@dataclass(frozen=True, eq=False)
class LoopErrors:
    """What each number of loops would have cost the n tokens of a layer."""

    hidden: torch.Tensor
    """The student's H [n, d]."""
    errors: torch.Tensor
    """|Y - Y_dense|^2 / |Y_dense|^2 for each number of loops [n, loop]."""

    def depth_weights(self, shares: Sequence[float]) -> torch.Tensor:
        """Weights [loop, d] of a depth head that deals out loops by these errors, in about these shares."""
        return nearest_loops_weights(self.hidden, self.errors, shares)


@torch.no_grad()
def loop_errors(
    student: VersatileFFNForCausalLM, teacher: VersatileFFNForCausalLM, windows: torch.Tensor
) -> list[LoopErrors]:
    """The errors of every layer over windows [window, token], the first token of each left out.

    Y comes from the student's own H, and Y_dense is the dense model's stream after the same layer: the same share of an
    update counts for less where the update is small.
    """
    ffns = [layer.mlp for layer in student.model.layers]
    seen: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[] for _ in ffns]
    with Streams(student) as ours, Streams(teacher) as theirs, own_loops(student):
        for part in windows.split(4):
            for model, streams in ((teacher, theirs), (student, ours)):
                streams.clear()
                model.model(part, use_cache=False)
            for so_far, ffn, hidden, target in zip(seen, ffns, ours.mid, theirs.post, strict=True):
                outputs, target = output_of_each_loop_count(ffn, hidden), target.unsqueeze(-2)
                errors = relative_errors(outputs, target, target)  # [b p loop]
                so_far.append((hidden[:, 1:].flatten(0, 1).float(), errors[:, 1:].flatten(0, 1)))
    return [LoopErrors(*(torch.cat(each) for each in zip(*parts, strict=True))) for parts in seen]


@torch.no_grad()
def refit_depth(
    lesson: Lesson,
    windows: torch.Tensor,
    shares: Sequence[float],
    *,
    steady_layers: int = 0,
    steady_shares: Sequence[float] = (),
) -> list[int]:
    """Set every depth head of a trained student to the loops that come nearest to the dense model over windows.

    Then the `steady_layers` where loops other than the usual ones cost most (`costs_of_other_loops`, over the first
    windows) are set to `steady_shares` instead. Returns these layers.
    """
    layers = loop_errors(lesson.student, lesson.teacher, windows)
    for ffn, layer in zip(lesson.ffns, layers, strict=True):
        ffn.depth_head.weight.copy_(layer.depth_weights(shares))
    if not steady_layers:
        return []
    costs = costs_of_other_loops(lesson, windows[:COST_WINDOWS], usual=int(torch.tensor(shares).argmax()))
    steady = sorted(costs.argsort(descending=True)[:steady_layers].tolist())
    for index in steady:
        lesson.ffns[index].depth_head.weight.copy_(layers[index].depth_weights(steady_shares))
    return steady


@torch.no_grad()
def costs_of_other_loops(lesson: Lesson, windows: torch.Tensor, usual: int) -> torch.Tensor:
    """What the student's own loops cost in each layer, against the choice `usual` there for all tokens.

    [layer], in nats per token: by how much KL(teacher || student) over windows [window, token] falls.
    """
    parts = windows.split(4)
    finals = [lesson.ask_teacher(part) for part in parts]

    def divergence() -> float:
        sums = 0.0
        with own_loops(lesson.student):
            for part, final in zip(parts, finals, strict=True):
                lesson.streams.clear()
                hidden = lesson.student.model(part, use_cache=False).last_hidden_state
                kl, _ = lesson.prediction_losses(hidden, final, lesson.head, lesson.teacher_head, part)
                sums += float(kl) * len(part)
        return sums / len(windows)

    own, costs = divergence(), []
    for ffn in lesson.ffns:
        hook = ffn.hook_loop_choice.register_forward_hook(lambda module, inputs, choice: torch.full_like(choice, usual))
        costs.append(own - divergence())
        hook.remove()
    return torch.tensor(costs)


__all__ = [
    "DenseReading",
    "LoopErrors",
    "costs_of_other_loops",
    "depth_weights",
    "fit_gates",
    "loop_errors",
    "nearest_loops_weights",
    "read_dense_model",
    "refit_depth",
    "ridge",
    "router_weights",
]
