"""Routing transplant: what two texts or models do under each other's loops, lambda and experts."""

from hooks.capturing import capture
from hooks.interventions import UseRouting
from hooks.reading import read
from hooks.trace import RoutingTrace
from hooks.transplant_trace import TRANSPLANTED, TransplantTrace, why_no_transplant
from sample_models.loading import LoadedModel


def transplant_routing(
    loaded: LoadedModel, a: RoutingTrace, b: RoutingTrace, *, loaded_b: LoadedModel | None = None
) -> TransplantTrace:
    """Read the text of A with the routing of B, and the text of B with the routing of A: all of it, loops and lambda
    alone, experts alone.

    `loaded` made A, and `loaded_b` made B if that is another model or training step. The interventions of each trace
    stay; the other's routing comes last. What changes is an effect of the decisions alone: the text keeps its words.

    Raises ValueError if the traces have other numbers of tokens, layers, experts or loops, or are of other models.
    """
    if why_not := why_no_transplant(a, b):
        raise ValueError(why_not)

    def under(model: LoadedModel, own: RoutingTrace, other: RoutingTrace) -> tuple[RoutingTrace, ...]:
        reading = read(model, own)
        return tuple(
            capture(model, reading, interventions=(*own.interventions, UseRouting(other, parts=parts)))
            for parts in TRANSPLANTED.values()
        )

    return TransplantTrace(a, b, under(loaded, a, b), under(loaded_b or loaded, b, a))


__all__ = ["transplant_routing"]
