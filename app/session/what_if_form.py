"""The form of the What if page: what to decide and where, by clicks on the map and in words."""

from dataclasses import dataclass
from typing import Any

import streamlit as st

from analysis.what_if.in_words import examples_of, interventions_in_words
from app.server import captures
from app.session import pending, state, what_if
from app.session.intervened import misfits, plainly, sizes_of_trace
from hooks.interventions import DropExpert, DropPath, ForceExperts, ForceGate, ForceLoops, ForceTopK, Intervention
from hooks.trace import RoutingTrace

WHAT, WHERE, PAINTING, WORDS = "what_if_decide", "what_if_where", "what_if_painting", "what_if_words"
"""Keys of the widgets of the form."""
LOOPS, GATE, EXPERTS, TOP_K = "loops", "λ", "experts", "number of experts"
WITHOUT_EXPERT, WITHOUT_PATH, WITHOUT_EXPERTS = "without an expert", "without a path", "without experts"
CELL, TOKEN, LAYER, ALL = "cell", "token", "layer", "all"
PLACES = {CELL: "this cell", TOKEN: "this token", LAYER: "this layer", ALL: "everywhere"}
"""Where -> its words. They stay the same when the selection moves, since Streamlit knows an option by its words."""
PAGE = "What if"
_PROBLEM = "what_if_words_problem"


@dataclass(frozen=True)
class Brush:
    """What the form says."""

    what: str
    value: Any
    where: str

    def intervention(self, layer: int | None, token: int | None) -> Intervention | None:
        """It as an intervention at a cell, its row, its column, or everywhere; None while there is no value.

        A place that is not needed for that may be None.
        """
        if self.value is None or self.value == ():
            return None
        layers = layer if self.where in (CELL, LAYER) else None
        tokens = token if self.where in (CELL, TOKEN) else None
        kinds = {
            LOOPS: ForceLoops,
            GATE: ForceGate,
            EXPERTS: ForceExperts,
            TOP_K: ForceTopK,
            WITHOUT_EXPERT: DropExpert,
            **dict.fromkeys((WITHOUT_PATH, WITHOUT_EXPERTS), DropPath),
        }
        return kinds[self.what](self.value, layers=layers, tokens=tokens)


def offered(trace: RoutingTrace) -> list[str]:
    """What the form can decide for the model of a trace."""
    kinds = {LOOPS: "depth", GATE: "gate", EXPERTS: "width", TOP_K: "width", WITHOUT_EXPERT: "width"}
    without = WITHOUT_PATH if "gate" in trace.parts else WITHOUT_EXPERTS
    return [*(what for what, part in kinds.items() if part in trace.parts), *([without] * ("width" in trace.parts))]


def value_key(what: str) -> str:
    """Key of the widget for the value of what is decided: a model with other sizes has a widget of its own."""
    trace = state.current_trace()
    return f"what_if_value_{what}_{trace.max_loops if what == LOOPS else trace.num_experts}"


def brush() -> Brush | None:
    """What the form says now; None before it was drawn."""
    session = st.session_state
    what, where = session.get(WHAT), session.get(WHERE)
    if what is None or where is None:
        return None
    value = "width" if what == WITHOUT_EXPERTS else session.get(value_key(what))
    return Brush(what, tuple(value) if isinstance(value, list) else value, where)


def clicked(page: str, layer: int | None, token: int | None) -> None:
    """While every click sets, have the next run set what the form says where a figure of the page was clicked.

    A click on a bar names a token or a layer alone, which is enough to set a column or a row.
    """
    if page != PAGE or not st.session_state.get(PAINTING) or (now := brush()) is None:
        return
    if (layer is None and now.where in (CELL, LAYER)) or (token is None and now.where in (CELL, TOKEN)):
        return
    if made := now.intervention(layer, token):
        pending.callback(lambda: what_if.add(made))()


def set_in_words() -> None:
    """Set what stands in the field for words; if it cannot be, keep it there and tell why below the field."""
    session, words = st.session_state, st.session_state.get(WORDS) or ""
    session[_PROBLEM] = ""
    if not words.strip():
        return
    try:
        sizes = sizes_of_trace(captures.trace_of(*state.model_and_text()))
        found = interventions_in_words(words, *examples_of(sizes)[:1])
        for why in misfits(found, sizes).values():
            raise ValueError(f"{why}.")
    except ValueError as error:
        why = plainly(error)
        session[_PROBLEM] = why[:1].upper() + why[1:]
        return
    if what_if.add_all(found):
        session[WORDS] = ""


def problem_of_words() -> str:
    """What is wrong with the words in the field; empty if nothing is."""
    return st.session_state.get(_PROBLEM, "")
