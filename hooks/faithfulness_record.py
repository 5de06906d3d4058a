"""Faithfulness: one text run in ways that must agree, as numpy arrays. `analysis.models.faithfulness` judges it."""

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
    """What was measured for one model and one text."""

    layers: int
    """Layers of the model, by its configuration."""
    captured: list[int]
    """Layers whose routing passed all hook points; `trace` and the other runs hold these alone."""
    trace: RoutingTrace
    """As every page shows it: the fast path, with the hook points that a trace listens to."""
    largest_logit: float
    """Largest absolute logit: the differences are judged beside it."""
    unhooked_gap: float
    """Largest absolute difference of a logit from the same weights without any hook."""
    told_gap: float
    """Largest absolute difference of a logit when every token is told to leave after the loops that it chose."""
    readable: OtherRun
    """Every path computed in full and apart, as the equations say it, where the fast path merges them."""
    batched: OtherRun
    """In one pass with another, longer text, padded behind."""


__all__ = ["Faithfulness", "OtherRun"]
