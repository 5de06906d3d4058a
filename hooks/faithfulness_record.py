"""Faithfulness: the runs of one text that must agree. `analysis.models.faithfulness` judges them."""

from dataclasses import dataclass

from hooks.trace import RoutingTrace


@dataclass(frozen=True, eq=False)
class OtherRun:
    """The same text through the same weights in another way."""

    gap: float
    """Largest absolute difference of a logit from the plain run's."""
    trace: RoutingTrace


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """The measurements for one model and one text."""

    layers: int
    """Layers of the model according to its configuration."""
    captured: list[int]
    """Layers whose hook points all recorded something; `trace` and the other runs hold only these."""
    trace: RoutingTrace
    """The routing as every page shows it: the fast path, with the hook points that a trace records."""
    largest_logit: float
    """Largest absolute logit, to which the differences are compared."""
    unhooked_gap: float
    """Largest absolute difference of a logit from the same weights without any hook."""
    forced_gap: float
    """Largest absolute difference of a logit when every token is forced to leave after the loops that it chose."""
    readable: OtherRun
    """The run that computes every path separately and in full, as in the equations; the fast path merges them."""
    batched: OtherRun
    """The run in a batch with a longer text, padded on the right."""


__all__ = ["Faithfulness", "OtherRun"]
