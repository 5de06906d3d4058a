"""LensTrace: what the model would predict from each recursion state of one token."""

from dataclasses import dataclass, fields

import numpy as np
from beartype import beartype
from jaxtyping import Bool, Float, Int, jaxtyped

from hooks.trace import RoutingTrace

STATE, EXIT, OUTPUT = 0, 1, 2
"""Kinds of reading: a state, the exit after a loop, the stream after the layer."""


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, eq=False)
class LensTrace:
    """Next-token distributions read at one token, each summarised in a few numbers. Axis `read`: one reading.

    STATE: the final norm and the unembedding applied to H(0)..H(max_loops) of every layer (logit lens).
    EXIT: the token was forced to leave the layer after loop 1..max_loops, and its lambda, width path and all later
    layers were computed accordingly. For the loop at which it left anyway this is the model's own prediction. These
    may be of fewer layers than the rest.
    OUTPUT: the logit lens on the stream after every layer.
    """

    routing: RoutingTrace
    token: int
    target_id: int
    target: str
    kind: Int[np.ndarray, " read"]
    layer: Int[np.ndarray, " read"]
    loop: Int[np.ndarray, " read"]
    """Number of loops before the reading: 0 is H(0). For OUTPUT the loops that ran."""
    used: Bool[np.ndarray, " read"]
    """False for states after the loop at which the token left, and for exits that it did not take."""
    top_ids: Int[np.ndarray, "read top"]
    """Likeliest tokens, best first."""
    top_tokens: list[list[str]]
    top_probs: Float[np.ndarray, "read top"]
    rank: Int[np.ndarray, " read"]
    """Rank of the target, 1 = likeliest."""
    probability: Float[np.ndarray, " read"]
    """Probability of the target."""
    entropy: Float[np.ndarray, " read"]
    """Entropy of the distribution, nats."""
    kl: Float[np.ndarray, " read"]
    """KL(the model's own distribution || this one), nats: 0 for the same prediction."""
    rounding: float
    """Largest difference of a logit between the model's own pass and a rerun of this token alone without edits: the
    rounding error of the exits that the token did not take. The exit that it took is the model's own pass exactly."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if isinstance(getattr(self, field.name), np.ndarray):
                getattr(self, field.name).setflags(write=False)

    def of(self, kind: int) -> np.ndarray:
        """Indices of the readings of a kind, by layer and then by loop."""
        return np.flatnonzero(self.kind == kind)

    def layers_of(self, kind: int) -> np.ndarray:
        """The layers that have readings of a kind."""
        return np.unique(self.layer[self.of(kind)])


__all__ = ["EXIT", "OUTPUT", "STATE", "LensTrace"]
