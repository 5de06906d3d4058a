"""What a page or a figure needs a model to decide, and the sentence that stands in its place if a model does not.

A trace names the parts of its model (`RoutingTrace.parts`). Only this module says who needs which, for the pages, the
figures, the exports and the command line alike.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from hooks.trace_checks import PARTS
from sample_models.adapter_families import LOOPED

DEPTH, WIDTH, GATE, ALL = ("depth",), ("width",), ("gate",), ("depth", "gate", "width")
PAGES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("difficulty", "recursion", "near_misses", "validity"), DEPTH),
    "gate": GATE,
    "experts": WIDTH,
    **dict.fromkeys(("walkthrough", "write_ledger", "geometry", "cost"), ALL),
    **dict.fromkeys(("what_decides", "forced_depth", "expert_knock_outs", "compare"), ALL),
}
"""Page by its name in the address -> what its model must decide; nothing for the others."""
FIGURES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("loops_by_layer", "difficulty_map", "difficulty_surprisal", "difficulty_by_loops"), DEPTH),
    **dict.fromkeys(("loop_map", "loop_shares", "depth_choice", "depth_logits", "depth_margin"), DEPTH),
    **dict.fromkeys(("near_miss_map", "flip_distance", "attention_by_loops"), DEPTH),
    **dict.fromkeys(("gate_map", "gate_levels", "gate_along_text"), GATE),
    **dict.fromkeys(("expert_tokens", "expert_map", "expert_path", "expert_load", "expert_load_by_layer"), WIDTH),
    **dict.fromkeys(("expert_pairs", "layers_alike"), WIDTH),
    **{"run_loops": DEPTH, "run_gate": GATE, "run_load": WIDTH, "run_balance": WIDTH},
    **dict.fromkeys(("compute_map", "cost_ledger", "cost_by_layer", "cost_map", "layer_schematic"), ALL),
    "drawn_loops": ALL,  # of others it is not known how their training draws
}
"""Figure of a trace or a run -> what its model must decide; nothing for the others."""
KINDS: Mapping[str, tuple[str, ...]] = dict.fromkeys(
    ("PathTrace", "Attribution", "SliceTrace", "Embedding", "TwoPrecisions", "TrainingTrace")
    + ("KnockOutTrace", "KnockOutStudy", "DepthEffects", "Frontier", "GateSweep", "Study")
    + ("TracePair", "FigurePair", "TransplantTrace"),
    ALL,
)
"""Type of another result than a trace -> what a model must decide to have one; nothing for the others."""
QUANTITIES = {"Difficulty": "depth", "Gate": "gate", "Loops": "depth", "Experts": "width"}
"""What the tokens can be coloured by -> the part that it is of."""
SUMMARY = {"difficulty": "depth", "gate": "gate", "did_not_route": "width"}
"""Column of the summary of a prompt -> the part that it is of; the others are of the text."""
_LACKING = {
    "width": "chooses no experts",
    "depth": "chooses no number of loops",
    "gate": "has no gate (λ) between a width path and a depth path",
}


def parts_of(meta: Mapping[str, Any]) -> frozenset[str]:
    """The parts that the `meta` of a trace or of a result names; all of them unless it says otherwise."""
    return frozenset(meta.get("parts", PARTS))


def why_lacking_result(kind: type, meta: Mapping[str, Any]) -> str | None:
    """Why a model has no result of a kind (`FigureSpec.of`), in a sentence; None if it can have one."""
    if kind.__name__ == "Comparison" and not parts_of(meta):
        return "This model decides nothing about its tokens, so there is nothing to change."
    if kind.__name__ in ("AttentionTrace", "LensTrace") and meta.get("family") == LOOPED:
        return "This model runs its layers several times, so there is no single pass of a layer to show here."
    return why_lacking(KINDS.get(kind.__name__, ()), meta)


def why_lacking(needed: Iterable[str], meta: Mapping[str, Any]) -> str | None:
    """Why something that needs these parts is not there for a model, in a sentence; None if the model has them."""
    needed, had = tuple(needed), parts_of(meta)
    lacking = [part for part in needed if part not in had]
    if not lacking:
        return None
    name = f"a {meta['family']}" if meta.get("family") else "of another kind"
    if len(needed) == len(PARTS):
        return f"This needs a VersatileFFN, in which experts, loops and λ work together, and this model is {name}."
    return f"This model is {name} and {_LACKING[lacking[0]]}, so there is nothing to show here."


__all__ = [
    "ALL",
    "DEPTH",
    "FIGURES",
    "GATE",
    "KINDS",
    "PAGES",
    "QUANTITIES",
    "SUMMARY",
    "WIDTH",
    "parts_of",
    "why_lacking",
]
__all__ += ["why_lacking_result"]
