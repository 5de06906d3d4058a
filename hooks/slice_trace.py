"""SliceTrace: what every expert's slice of the FFN contributes to every loop of the recursion."""

from dataclasses import dataclass

import numpy as np
from beartype import beartype
from jaxtyping import Float, Int, jaxtyped

from hooks.trace import RoutingTrace


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, eq=False)
class SliceTrace:
    """The loops' steps split over the slices: D_l = sum over experts of f_e(H(l-1)), exactly, at every loop.

    The depth path has no router: it uses all slices. Loops beyond `routing.loops` did not run, but are here too.
    """

    routing: RoutingTrace
    layers: Int[np.ndarray, " row"]
    first_token: int
    norm: Float[np.ndarray, "row token loop expert"]
    """Length of f_e(H(l-1))."""
    share: Float[np.ndarray, "row token loop expert"]
    """Projection of f_e(H(l-1)) on D_l, relative to its length; over experts they sum to 1."""

    def __post_init__(self) -> None:
        for array in (self.layers, self.norm, self.share):
            array.setflags(write=False)


__all__ = ["SliceTrace"]
