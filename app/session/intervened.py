"""The interventions of one visitor, as far as they fit a text, and the traces under them."""

import re
from functools import lru_cache

import streamlit as st

from app.limits import MOST_STEPS
from app.server import captures
from hooks.interventions import Intervention
from hooks.trace import RoutingTrace
from sample_models.intervention import Sizes

KEY = "interventions"
PAST, FUTURE = "interventions_before", "interventions_undone"
"""Keys in the session of the steps that undo and redo go to."""
Interventions = tuple[Intervention, ...]


def chosen_interventions() -> Interventions:
    """What the visitor has set, whether or not it fits the current text."""
    return st.session_state.get(KEY, ())


def put(interventions: Interventions) -> None:
    """Make these the visitor's interventions, in a step that undo takes back."""
    session, before = st.session_state, chosen_interventions()
    if interventions != before:
        session[PAST] = [*session.get(PAST, []), before][-MOST_STEPS:]
        session[KEY], session[FUTURE] = interventions, []


def sizes_of_trace(trace: RoutingTrace) -> Sizes:
    """What interventions must fit to change this text in this model."""
    return Sizes(trace.num_layers, trace.max_loops, trace.num_experts, trace.parts, trace.num_tokens)


def misfits(interventions: Interventions, sizes: Sizes) -> dict[Intervention, str]:
    """The interventions that do not fit a model and a text -> why, in a sentence without its end."""
    return {each: why for each in interventions if (why := _why_not(each, sizes))}


def fitting(interventions: Interventions, model: str, text: str) -> Interventions:
    """Those that fit a text in a model, which is traced for that if it has not been."""
    if not interventions:
        return ()
    apart = misfits(interventions, sizes_of_trace(captures.trace_of(model, text)))
    return tuple(each for each in interventions if each not in apart)


def trace_under_them(model: str, text: str) -> RoutingTrace:
    """The trace of a text under those of the visitor's interventions that fit it."""
    return captures.trace_of(model, text, fitting(chosen_interventions(), model, text))


@lru_cache(maxsize=1024)
def _why_not(intervention: Intervention, sizes: Sizes) -> str:
    try:
        intervention.check(sizes)
    except ValueError as error:
        return plainly(error)
    return ""


def plainly(error: ValueError) -> str:
    """The message of an intervention for visitors, who know neither its class nor Python's way to write a range."""
    return re.sub(r"(\d)\.\.(\d)", r"\1 to \2", re.sub(r"^(Force|Drop|Use)\w+: ", "", str(error)))


__all__ = [
    "FUTURE", "KEY", "PAST", "Interventions", "chosen_interventions", "fitting", "misfits", "plainly", "put",
    "sizes_of_trace", "trace_under_them",
]  # fmt: skip
