"""What a distillation minimises: the two stages, and what keeps loops and experts in use."""

from dataclasses import dataclass
from functools import partial

import torch
from torch.nn import functional as F

from sample_models.distil.own_loops import own_loops
from sample_models.feed_forward import VersatileFFN
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.train_losses import AuxiliaryWeights, auxiliary_losses

Terms = dict[str, torch.Tensor]
"""Name of a term of the loss -> its value, a scalar."""


@dataclass(frozen=True)
class Objective:
    """Factors of the terms of the loss."""

    kl: float
    """Of stage 2: KL divergence from the teacher's next-token distribution to the student's, nats per token."""
    cross_entropy: float
    """Of stage 2: next-token cross-entropy, nats per token."""
    streams: float
    """Of stage 2: relative squared error of the residual stream after a layer, mean over layers."""
    loop_cost: float
    """Mean loops of a token and layer, expected by the depth head."""
    auxiliary: AuxiliaryWeights
    """Load balance, router z-loss and entropy of the mean depth choice."""


class Streams:
    """H and Y of every layer in a model's last forward pass, each [b p d]; as a context it ends with its block."""

    def __init__(self, model: VersatileFFNForCausalLM):
        self.mid: list[torch.Tensor] = []
        self.post: list[torch.Tensor] = []
        self._handles = []
        for layer in model.model.layers:
            for tap, seen in ((layer.hook_resid_mid, self.mid), (layer.hook_resid_post, self.post)):
                self._handles.append(tap.register_forward_hook(partial(_keep_output, seen)))

    def clear(self) -> None:
        self.mid.clear()
        self.post.clear()

    def __enter__(self) -> "Streams":
        return self

    def __exit__(self, *error) -> None:
        for handle in self._handles:
            handle.remove()


def _keep_output(seen: list[torch.Tensor], module, inputs, output: torch.Tensor) -> None:
    seen.append(output)


class Lesson:
    """A student beside its teacher, with the losses of both stages on a batch of token ids [b p]."""

    def __init__(
        self,
        student: VersatileFFNForCausalLM,
        teacher: VersatileFFNForCausalLM,
        heads: tuple[torch.Tensor, torch.Tensor],
        objective: Objective,
        *,
        compiled: bool,
    ):
        """`heads`: the output heads [vocab, d] of student and teacher."""
        self.student, self.teacher, self.objective = student, teacher, objective
        self.head, self.teacher_head = heads
        self.ffns: list[VersatileFFN] = [layer.mlp for layer in student.model.layers]
        self.streams, self.teacher_streams = Streams(student), Streams(teacher)
        self.prediction_losses = torch.compile(prediction_losses) if compiled else prediction_losses

    def ask_teacher(self, ids: torch.Tensor) -> torch.Tensor:
        """The teacher's final states [b p d]; `teacher_streams` then holds what went before."""
        self.teacher_streams.clear()
        with torch.no_grad():
            return self.teacher.model(ids, use_cache=False).last_hidden_state

    def layer_by_layer(self, ids: torch.Tensor) -> tuple[torch.Tensor, Terms]:
        """Stage 1: every layer's FFN reads the teacher's H and is held to the teacher's Y.

        The loss is the mean over layers and tokens of log(1 + |error|^2 / |update|^2). No gradient passes from layer to
        layer, so that errors of early layers do not drown the later ones.
        """
        self.ask_teacher(ids)
        errors = []
        with own_loops(self.student):
            for ffn, hidden, target in zip(self.ffns, *self._teachers_layers(), strict=True):
                errors.append(relative_errors(ffn(hidden), target, target - hidden))
        loss = torch.stack([error.log1p().mean() for error in errors]).mean()
        return loss, {"error": _clamped_mean(errors)} | self.auxiliary_terms(self.teacher_streams.mid)

    def end_to_end(
        self, ids: torch.Tensor, labels: torch.Tensor, *, straight_through: bool
    ) -> tuple[torch.Tensor, Terms]:
        """Stage 2: the student reads its own stream, held to the teacher's predictions and streams, and to the text.

        A `straight_through` pass draws the loops with Gumbel noise and runs all of them, as in the paper: only it
        trains the depth head. Any other runs for each token the loops that it will take in eval mode.
        """
        final = self.ask_teacher(ids)
        self.streams.clear()
        self.student.train()
        if straight_through:
            hidden = self.student.model(ids, use_cache=False).last_hidden_state
        else:
            with own_loops(self.student):
                hidden = self.student.model(ids, use_cache=False).last_hidden_state
        kl, cross_entropy = self.prediction_losses(hidden, final, self.head, self.teacher_head, labels)
        ours, theirs = self.streams.post, self.teacher_streams.post
        error = _clamped_mean([relative_errors(a, b, b) for a, b in zip(ours, theirs, strict=True)])
        factors = self.objective
        loss = factors.kl * kl + factors.cross_entropy * cross_entropy + factors.streams * error
        return loss, {"kl": kl, "loss": cross_entropy, "error": error} | self.auxiliary_terms(self.streams.mid)

    def auxiliary_terms(self, hidden: list[torch.Tensor]) -> Terms:
        """Load balance, z-loss, depth entropy and expected loops, means over layers, from H of each layer [b p d]."""
        with torch.autocast(hidden[0].device.type, enabled=False):
            terms = auxiliary_losses(self.ffns, hidden)
            expected = [_expected_loops(ffn, h) for ffn, h in zip(self.ffns, hidden, strict=True)]
            return terms | {"loops": torch.stack(expected).mean()}

    def with_auxiliary(self, loss: torch.Tensor, terms: Terms) -> torch.Tensor:
        """The whole loss of a step."""
        auxiliary = self.objective.auxiliary
        for name in ("load_balance", "router_z", "depth_entropy"):
            loss = loss + auxiliary.factor(name) * terms[name]
        return loss + self.objective.loop_cost * terms["loops"]

    def _teachers_layers(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        return self.teacher_streams.mid, self.teacher_streams.post


def relative_errors(ours: torch.Tensor, theirs: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """|ours - theirs|^2 / |scale|^2 of every token [...], from [... d]."""
    return (ours - theirs).float().square().sum(dim=-1) / (scale.float().square().sum(dim=-1) + 1e-6)


def prediction_losses(
    hidden: torch.Tensor,
    teacher_hidden: torch.Tensor,
    head: torch.Tensor,
    teacher_head: torch.Tensor,
    labels: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """KL(teacher || student) and cross-entropy in nats per token, from final states [b p d] and heads [vocab d]."""
    log_probs = F.linear(hidden.to(head.dtype), head).flatten(0, 1).float().log_softmax(dim=-1)
    target = F.linear(teacher_hidden.to(teacher_head.dtype), teacher_head).flatten(0, 1).float().log_softmax(dim=-1)
    kl = (target.exp() * (target - log_probs)).sum(dim=-1).mean()
    return kl, F.nll_loss(log_probs, labels.flatten())


def _clamped_mean(errors: list[torch.Tensor]) -> torch.Tensor:
    """Mean over layers and tokens; a token counts for 10 at most, since a few sinks of attention would rule it."""
    return torch.stack([error.clamp(max=10).mean() for error in errors]).mean()


def _expected_loops(ffn: VersatileFFN, hidden: torch.Tensor) -> torch.Tensor:
    """Mean over tokens of E[L], the loops that the depth head expects."""
    probs = F.linear(hidden.flatten(0, -2).float(), ffn.depth_head.weight).softmax(dim=-1)
    return (probs @ torch.arange(1, ffn.max_loops + 1, dtype=probs.dtype, device=probs.device)).mean()


__all__ = ["Lesson", "Objective", "Streams", "prediction_losses", "relative_errors"]
