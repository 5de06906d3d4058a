"""HealthRecord: a model over a few texts, plain and disturbed, as numpy arrays. `analysis.models.health` judges it."""

from dataclasses import dataclass

import numpy as np
from beartype import beartype
from jaxtyping import Float, Int, jaxtyped

from hooks.trace import RoutingTrace


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, eq=False)
class TextHealth:
    """One text of a health check. `draw` counts the disturbances of one kind, from 0."""

    trace: RoutingTrace
    """The model as it is, in float32."""
    half: RoutingTrace
    """The same weights in bfloat16."""
    orders: Int[np.ndarray, "draw token"]
    """Other orders: at each place, the index of the token that is put there. Those that the tokenizer added stay."""
    reordered_loops: Int[np.ndarray, "draw layer token"]
    """Loops that ran at each place when the tokens stood in that order."""
    reordered_experts: Int[np.ndarray, "draw layer token k"]
    """Experts chosen at each place then. Count them only where fewer than all loops ran: the others did not route."""
    shuffled_logprob: Float[np.ndarray, "draw token"]
    """log p(this token | those before), nats, when the loops of every layer were dealt out anew among the tokens."""
    shuffled_experts_logprob: Float[np.ndarray, "draw token"]
    """The same when the experts, with their weights, were dealt out anew among the tokens of a layer that routed."""
    step_shares: Float[np.ndarray, "layer token expert"]
    """Each expert's share of the first step: its write along D_1, which is the sum of all; rows sum to 1."""


@dataclass(frozen=True, eq=False)
class HealthRecord:
    """What a health check measured of one model."""

    model: str
    texts: list[TextHealth]
    """Empty if a weight is not finite: then nothing else was measured."""
    tau: float | None
    """Gumbel temperature in the model's configuration: what training ended with; None if none was recorded."""
    gates_trained: bool
    """What the configuration says of router and depth head."""
    parameters: int
    not_finite: dict[str, int]
    """Parameter name -> entries that are infinite or not a number; only those that have any."""


__all__ = ["HealthRecord", "TextHealth"]
