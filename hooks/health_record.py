"""HealthRecord: the measurements of a health check, as numpy arrays. `analysis.models.health` judges them."""

from dataclasses import dataclass

import numpy as np
from beartype import beartype
from jaxtyping import Float, Int, jaxtyped

from hooks.trace import RoutingTrace


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, eq=False)
class ControlRun:
    """A text with decisions replaced by one control of `sample_models.controls`. Axis `draw`: random shuffles."""

    logprob: Float[np.ndarray, "draw token"]
    """log p(this token | the tokens before it), nats; NaN for the first."""
    cells: int
    """Cells, layer x token, of all draws that the control could decide otherwise; of experts, those that routed."""
    changed: int
    """Those of them whose decision was another one."""


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, eq=False)
class TextHealth:
    """One text of a health check. Axis `draw`: random disturbances of one kind."""

    trace: RoutingTrace
    """The routing in float32."""
    half: RoutingTrace
    """The routing with the same weights in bfloat16."""
    orders: Int[np.ndarray, "draw token"]
    """Permutations: the index of the token that is put at each position. Special tokens stay where they are."""
    reordered_loops: Int[np.ndarray, "draw layer token"]
    """Loops that ran at each position with the tokens in that order."""
    reordered_experts: Int[np.ndarray, "draw layer token k"]
    """Experts chosen at each position in that order. Count them only where fewer than max_loops loops ran."""
    controls: dict[str, ControlRun]
    """Control of `sample_models.controls` -> its run, shuffling among the tokens of this text (or of each window)."""
    step_shares: Float[np.ndarray, "layer token expert"]
    """Each expert's share of loop 1's step: its output projected on D_1, the sum of all outputs; rows sum to 1."""


@dataclass(frozen=True, eq=False)
class HealthRecord:
    """The measurements of a health check of one model."""

    model: str
    texts: list[TextHealth]
    """Empty if a weight is not finite, since nothing else is measured then."""
    tau: float | None
    """Gumbel temperature in the model's configuration: what training ended with; None if none was recorded."""
    gates_trained: bool
    """Whether router and depth head were trained, according to the configuration."""
    parameters: int
    not_finite: dict[str, int]
    """Parameter name -> entries that are infinite or not a number; only those that have any."""


__all__ = ["ControlRun", "HealthRecord", "TextHealth"]
