"""The token search form's values, clamped to the layers, loops and experts that the model has."""

import numpy as np
import streamlit as st

from analysis.recursion import NEAR_MISS
from analysis.words.search import MEASURES, Quantity, Query, described, matching_tokens, measures_of
from hooks.trace import RoutingTrace

TEXT_KEY, QUANTITY_KEY = "find_text", "find_quantity"


def query_of_form(trace: RoutingTrace) -> Query:
    """The query in the form. After a change of model, numbers beyond its layers, loops or experts are clamped."""
    session = st.session_state
    text, quantity = session.get(TEXT_KEY) or "", session.get(QUANTITY_KEY)
    if quantity not in measures_of(trace):
        return Query(text)
    measure = MEASURES[quantity]
    where = session.get(part_key(quantity, "where"))
    if where not in (*measure.where, *range(trace.num_layers)):
        where = session.layer if measure.one_layer else measure.where[0] if measure.where else "any"
    if not measure.comparisons:
        return Query(text, quantity, where=where)
    low, high, start, _ = value_range(trace, quantity)
    value = session.get(part_key(quantity, "value"))
    return Query(
        text,
        quantity,
        comparison=session.get(part_key(quantity, "comparison")) or measure.comparisons[0],
        value=min(max(start if value is None else value, low), high),
        where=where,
    )


def found_tokens(trace: RoutingTrace) -> tuple[list[int], str]:
    """Indices of the matching tokens, ascending, and the query in words, empty if the form is empty."""
    query = query_of_form(trace)
    return np.flatnonzero(matching_tokens(trace, query)).tolist(), described(query)


def clear_search() -> None:
    """Empty the form."""
    st.session_state[TEXT_KEY], st.session_state[QUANTITY_KEY] = "", None


def search_expert(expert: int, layer: int) -> None:
    """Search for the tokens that chose an expert of a layer, in place of what the form held."""
    asked: Quantity = "any chosen expert"
    values = {"comparison": "is", "value": expert, "where": layer}
    st.session_state[TEXT_KEY], st.session_state[QUANTITY_KEY] = "", asked
    for part, value in values.items():
        st.session_state[part_key(asked, part)] = value


def value_range(trace: RoutingTrace, quantity: Quantity) -> tuple:
    """Smallest value, largest value, initial value and step of the form's number field."""
    return {
        "loops": (1, trace.max_loops, trace.max_loops, 1),
        "first expert": (0, trace.num_experts - 1, 0, 1),
        "any chosen expert": (0, trace.num_experts - 1, 0, 1),
        "difficulty": (0.0, 1.0, 0.8, 0.05),
        "margin of the loops": (0.0, 50.0, NEAR_MISS, 0.05),
        "surprisal": (0.0, 50.0, 5.0, 0.5),
    }[quantity]


def kind_of_value(quantity: Quantity) -> type:
    """int or float, as the form's number field has it."""
    return int if quantity in ("loops", "first expert", "any chosen expert") else float


def part_key(quantity: Quantity, part: str) -> str:
    """Key of the widget for a part of the condition: "comparison", "value" or "where"."""
    return f"find_{quantity}_{part}"


def set_part(quantity: Quantity, part: str, value) -> None:
    """Set a widget's value before it is drawn, so that it does not start with its own default."""
    if st.session_state.get(part_key(quantity, part)) != value:
        st.session_state[part_key(quantity, part)] = value
