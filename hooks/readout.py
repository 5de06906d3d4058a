"""LogitDirection: the direction in the residual stream that a logit reads, as numpy arrays."""

from dataclasses import dataclass

import numpy as np
from beartype import beartype
from jaxtyping import Float, jaxtyped


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, eq=False)
class LogitDirection:
    """The direction that a logit, or the difference of two logits, reads from the normed stream at one token."""

    token: int
    target_id: int
    target: str
    """Display string of the target."""
    distractor_id: int | None
    """None: the plain logit of the target."""
    distractor: str | None
    vector: Float[np.ndarray, " hidden"]
    """Unembedding of the target, minus that of the distractor, times the final norm's weight."""
    value: float
    """The logit (difference) that the model's own head gives for the captured stream."""


__all__ = ["LogitDirection"]
