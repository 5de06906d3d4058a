"""TrainingTrace: one text, read by a model as it was at several steps of its training."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from beartype import beartype
from jaxtyping import Float, Int, jaxtyped

from hooks.trace import RoutingTrace
from sample_models.intermediate_checkpoints import IntermediateCheckpoint


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, eq=False)
class TrainingTrace:
    """The traces of one text at the checkpoints of a training. Axis `checkpoint`: the kept weights, first to last."""

    routing: RoutingTrace
    """The text as the finished model reads it."""
    traces: list[RoutingTrace]
    """The text as each checkpoint reads it."""
    step: Int[np.ndarray, " checkpoint"]
    """Optimiser steps done; 0 is before the first."""
    seen: Int[np.ndarray, " checkpoint"]
    """Training tokens seen so far."""
    tau: Float[np.ndarray, " checkpoint"]
    """Gumbel temperature at this step."""
    held_out: Float[np.ndarray, " checkpoint"]
    """Loss on held-out text, nats per token; NaN where it was not measured."""

    @classmethod
    def of_checkpoints(
        cls, routing: RoutingTrace, kept: Sequence[IntermediateCheckpoint], traces: Sequence[RoutingTrace]
    ) -> "TrainingTrace":
        """Join the trace by the finished model and the traces by its kept checkpoints."""
        return cls(
            routing,
            list(traces),
            step=np.array([checkpoint.step for checkpoint in kept]),
            seen=np.array([checkpoint.tokens for checkpoint in kept]),
            tau=np.array([checkpoint.tau for checkpoint in kept]),
            held_out=np.array([np.nan if checkpoint.held_out is None else checkpoint.held_out for checkpoint in kept]),
        )

    def __post_init__(self) -> None:
        if not self.traces or len(self.traces) != len(self.step):
            raise ValueError(f"there must be a trace for each of {len(self.step)} checkpoints, got {len(self.traces)}")
        for step, trace in zip(self.step.tolist(), self.traces, strict=True):
            if not np.array_equal(trace.token_ids, self.routing.token_ids):
                raise ValueError(f"the trace of step {step} must be of the same tokens as that of the finished model")
        for field in fields(self):
            if isinstance(getattr(self, field.name), np.ndarray):
                getattr(self, field.name).setflags(write=False)


__all__ = ["TrainingTrace"]
