"""DepthEffects: what each number of loops would have done to the predictions, as numpy arrays."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

import numpy as np
from beartype import beartype
from jaxtyping import Bool, Float, jaxtyped

from hooks.trace import RoutingTrace

Gate = Literal["follows", "held"]
GATES: tuple[Gate, ...] = ("follows", "held")
"""The two ways to force loops, in the order of the axis `gate`: lambda follows them, or stays as the model chose it."""
Objective = Literal["own", "later"]


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, eq=False)
class DepthEffects:
    """What a text's predictions lose or gain when one token takes another number of loops in one layer.

    One cell (layer, token) is forced at a time, as by `ForceLoops(loops, layer, token, gate)`; all else is decided by
    the model anew. Changes are of log p, in nats, and positive for a better prediction. The number of loops that the
    model chose has exactly 0. NaN where a token was not run, and for the last token, after which nothing is predicted.
    Entry 0 of the axis `loop` is one loop.
    """

    routing: RoutingTrace
    own: Float[np.ndarray, "gate loop layer token"]
    """Change of the log p of the token that follows: the token's own next prediction."""
    later: Float[np.ndarray, "gate loop layer token"]
    """Mean change over the token's own next prediction and all later ones in the window that owns the token."""
    rounding: float
    """Largest change of a log p in a rerun in which nothing was forced: what is not larger means nothing. NaN before
    anything was run."""

    def __post_init__(self) -> None:
        for values in (self.own, self.later):
            values.setflags(write=False)

    @classmethod
    def none_of(cls, routing: RoutingTrace) -> "DepthEffects":
        """Effects of a text of which no token was run yet."""
        empty = np.full((len(GATES), routing.max_loops, *routing.loops.shape), np.nan, np.float32)
        return cls(routing, empty, empty.copy(), float("nan"))

    @property
    def ran(self) -> Bool[np.ndarray, " token"]:
        """Which tokens were run."""
        return np.isfinite(self.own).all(axis=(0, 1, 2))

    @property
    def nbytes(self) -> int:
        """Bytes of the changes."""
        return self.own.nbytes + self.later.nbytes

    @property
    def complete(self) -> bool:
        """Whether every token was run that can be."""
        return bool(self.ran[:-1].all())

    def of(self, objective: Objective, gate: Gate) -> Float[np.ndarray, "loop layer token"]:
        """The changes by one objective, in one of the two ways to force loops."""
        return getattr(self, objective)[GATES.index(gate)]

    def with_tokens(self, parts: "list[TokenEffects]") -> "DepthEffects":
        """These effects and those of further tokens."""
        own, later, rounding = self.own.copy(), self.later.copy(), self.rounding
        for part in parts:
            own[..., part.token], later[..., part.token] = part.own, part.later
            rounding = float(np.fmax(rounding, part.rounding))
        return dataclasses.replace(self, own=own, later=later, rounding=rounding)


@dataclass(frozen=True, eq=False)
class TokenEffects:
    """The effects of one token, in all layers."""

    token: int
    own: Float[np.ndarray, "gate loop layer"]
    later: Float[np.ndarray, "gate loop layer"]
    rounding: float
    """As in `DepthEffects`; NaN where it was not measured."""


def tokens_to_run(trace: RoutingTrace) -> list[int]:
    """The tokens whose loops can be forced with an effect on a prediction: all but the last."""
    return list(range(trace.num_tokens - 1))


def work_of(trace: RoutingTrace, token: int) -> int:
    """How much there is to rerun for a token, relative to others: the tokens from it on in its window."""
    return trace.window_of(token).end - token


def sweep_bytes(trace: RoutingTrace) -> int:
    """Bytes in memory of what all cells of the largest window begin from, in float32."""
    tokens = max(window.end - window.own for window in trace.windows)
    return 4 * len(GATES) * trace.max_loops * trace.num_layers * tokens * trace.meta["config"]["hidden_size"]


__all__ = ["GATES", "DepthEffects", "Gate", "Objective", "TokenEffects", "sweep_bytes", "tokens_to_run", "work_of"]
