"""LensTrace: what the model would predict from each recursion state of one token, read in two ways."""

from dataclasses import dataclass, fields

import numpy as np
from beartype import beartype
from jaxtyping import Bool, Float, Int, jaxtyped

from hooks.trace import RoutingTrace

STATE, EXIT, OUTPUT = 0, 1, 2
"""Kinds of reading: the state as it is, leaving the layer after a loop, the stream after the layer."""


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, eq=False)
class LensTrace:
    """Next-token distributions read at one token, each summed up in a few numbers. Axis `read`: one reading.

    Of kind STATE, final norm and unembedding read H(0)..H(max_loops) of every layer as they are; nothing else runs.
    Of kind EXIT, this layer was made to leave after loop 1..max_loops at this token: lambda follows, the token's width
    path and all later layers run with it. Where it left anyway, nothing is changed. Of kind OUTPUT, the stream after
    every layer is read as it is.
    """

    routing: RoutingTrace
    token: int
    target_id: int
    target: str
    kind: Int[np.ndarray, " read"]
    layer: Int[np.ndarray, " read"]
    loop: Int[np.ndarray, " read"]
    """Loops done: 0 is H(0). For OUTPUT the loops that ran."""
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
    """Of the distribution read, nats."""
    kl: Float[np.ndarray, " read"]
    """KL(the model's own distribution || the one read), nats: 0 for the same prediction."""
    rounding: float
    """Largest difference of a logit between the model's own pass and one of this token alone, unchanged: so far the
    exits that were not taken are off. The one that was taken in each layer is the model's own pass, bit for bit."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if isinstance(getattr(self, field.name), np.ndarray):
                getattr(self, field.name).setflags(write=False)

    def of(self, kind: int) -> np.ndarray:
        """Indices of the readings of a kind, by layer and then by loop."""
        return np.flatnonzero(self.kind == kind)


__all__ = ["EXIT", "OUTPUT", "STATE", "LensTrace"]
