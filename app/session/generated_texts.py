"""Which of the visitor's texts the model wrote in part: their traces say so, here and in what is exported of them."""

from dataclasses import replace
from typing import Any

import streamlit as st

from app.limits import MOST_TEXTS
from hooks.trace import RoutingTrace

KEY = "generated_texts"


def remember(model: str, trace: RoutingTrace) -> None:
    """Remember how the text of a trace came to be; the last MOST_TEXTS are."""
    told = {name: trace.meta[name] for name in ("generated", "chat") if name in trace.meta}
    kept = {**st.session_state.get(KEY, {}), (model, trace.meta["text"]): (told, [])}
    st.session_state[KEY] = dict(list(kept.items())[-MOST_TEXTS:])


def told_of(model: str, text: str, trace: RoutingTrace) -> RoutingTrace:
    """The trace of a text, with what is remembered of how the text came to be; always the same object for one trace.

    That holds for the last two traces: the model's own, and the one under interventions.
    """
    kept: dict[tuple[str, str], tuple[dict[str, Any], list[tuple[RoutingTrace, RoutingTrace]]]]
    kept = st.session_state.get(KEY, {})
    if (model, text) not in kept:
        return trace
    told, marked = kept[model, text]
    for plain, found in marked:
        if plain is trace:
            return found
    marked[:] = [*marked, (trace, replace(trace, meta=trace.meta | told))][-2:]
    return marked[-1][1]


__all__ = ["KEY", "remember", "told_of"]
