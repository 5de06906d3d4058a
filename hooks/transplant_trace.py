"""TransplantTrace: two traces, and each text again with the routing of the other one."""

from dataclasses import dataclass

import numpy as np

from hooks.trace import RoutingTrace

TRANSPLANTED: dict[str, tuple[str, ...]] = {
    "everything": ("loops", "gate", "experts"),
    "loops": ("loops", "gate"),
    "experts": ("experts",),
}
"""What is taken from the other trace -> `UseRouting.parts`."""


@dataclass(frozen=True, eq=False)
class TransplantTrace:
    """Two traces with as many tokens, and what their models do under each other's routing.

    `into_a` and `into_b` hold one trace for every entry of TRANSPLANTED, in its order: the text of A (or B) in its own
    model, token by token and layer by layer with decisions of the other one.
    """

    a: RoutingTrace
    b: RoutingTrace
    into_a: tuple[RoutingTrace, ...]
    into_b: tuple[RoutingTrace, ...]

    def __post_init__(self) -> None:
        for own, changed in ((self.a, self.into_a), (self.b, self.into_b)):
            same = all(np.array_equal(own.token_ids, each.token_ids) for each in changed)
            if len(changed) != len(TRANSPLANTED) or not same:
                raise ValueError(f"each text must be traced {len(TRANSPLANTED)} times, with the same tokens")

    @property
    def routing(self) -> RoutingTrace:
        """The trace A."""
        return self.a


def why_no_transplant(a: RoutingTrace, b: RoutingTrace) -> str | None:
    """Why the routing of two traces cannot be exchanged, in one sentence; None if it can."""
    for what, one, other in (
        ("tokens", a.num_tokens, b.num_tokens),
        ("layers", a.num_layers, b.num_layers),
        ("experts in a layer", a.num_experts, b.num_experts),
        ("loops at most", a.max_loops, b.max_loops),
    ):
        if one != other:
            return f"A has {one:,} {what} and B {other:,}; routing can be exchanged only between equal numbers."
    return None


__all__ = ["TRANSPLANTED", "TransplantTrace", "why_no_transplant"]
