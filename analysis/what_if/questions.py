"""First questions about the selected token and layer, each with the intervention that answers it."""

from collections.abc import Iterator

from analysis.view import View
from analysis.words.labels import how_many, token_label
from hooks.interventions import DropExpert, DropPath, ForceLoops, Intervention
from hooks.trace import RoutingTrace

QUESTIONS = 3


def first_questions(trace: RoutingTrace, view: View) -> list[tuple[str, Intervention]]:
    """Up to three questions that this model and the model's own choices leave open: (question, intervention)."""
    return [each for each, _ in zip(_questions(trace, view), range(QUESTIONS), strict=False)]


def _questions(trace: RoutingTrace, view: View) -> Iterator[tuple[str, Intervention]]:
    layer, token, most = view.layer, view.token, trace.max_loops
    label, ran = f"“{token_label(trace, token)}”", int(trace.loops[layer, token])
    if "depth" in trace.parts and most > 1:
        other = most if ran < most else 1
        yield (
            f"What if {label} took {how_many(other, 'loop')} in layer {layer}?",
            ForceLoops(other, layers=layer, tokens=token),
        )
        everywhere = 1 if (trace.loops[:, token] > 1).any() else most
        yield (
            f"What if {label} took {how_many(everywhere, 'loop')} in every layer?",
            ForceLoops(everywhere, tokens=token),
        )
    if trace.width_ran[layer].any() and "width" in trace.parts:
        yield f"What if no token used the experts of layer {layer}?", DropPath("width", layers=layer)
    if trace.width_ran[layer, token]:
        expert = int(trace.expert_ids[layer, token, 0])
        yield (
            f"What if {label} could not use expert {expert} in layer {layer}?",
            DropExpert(expert, layers=layer, tokens=token),
        )


__all__ = ["first_questions"]
