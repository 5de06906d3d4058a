"""Find: a small form for a text and one condition on the routing. What it finds is marked in the token strip."""

import numpy as np
import streamlit as st

from analysis.recursion import NEAR_MISS
from analysis.search import MEASURES, Quantity, Query, described, matching_tokens
from hooks.trace import RoutingTrace

OPEN, TEXT, QUANTITY = "find", "find_text", "find_quantity"
WHERE_WORDS = {"any": "in any layer", "mean": "mean over layers"}
HELP = "Tokens that hold a text, or that were routed as you ask. In the strip, n and N step through them."


def token_search(trace: RoutingTrace) -> None:
    """The button, and while it is open the form. Whatever is set there counts until it is cleared."""
    popover = st.popover("Find", icon=":material/search:", key=OPEN, on_change="rerun")
    if not popover.open:
        return
    with popover:
        st.caption(HELP)
        st.text_input(
            "Text",
            key=TEXT,
            placeholder="Text, also across tokens",
            max_chars=200,
            persist_state="session",
        )
        quantity = st.selectbox(
            "Condition",
            list(MEASURES),
            index=None,
            key=QUANTITY,
            placeholder="No condition",
            format_func=str.capitalize,
            persist_state="session",
        )
        if quantity:
            _condition(trace, quantity)
        found, query = found_tokens(trace)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"{len(found)} of {trace.num_tokens} tokens." if query else "Nothing is looked for.")
            st.space("stretch")
            st.button("Clear", on_click=clear_search, disabled=not query)


def found_tokens(trace: RoutingTrace) -> tuple[list[int], str]:
    """Tokens that are looked for, ascending, and the query in words; an empty one if nothing is looked for."""
    query = _query(trace)
    return np.flatnonzero(matching_tokens(trace, query)).tolist(), described(query)


def clear_search() -> None:
    st.session_state[TEXT], st.session_state[QUANTITY] = "", None


def _condition(trace: RoutingTrace, quantity: Quantity) -> None:
    """How the quantity compares with which value, and where; kept within what the model has."""
    measure, wanted = MEASURES[quantity], _query(trace)
    columns = st.columns(3)
    if measure.comparisons:
        low, high, _, step = _range(trace, quantity)
        _set(quantity, "comparison", wanted.comparison)
        _set(quantity, "value", wanted.value)
        columns[0].selectbox("Compare", measure.comparisons, key=_key(quantity, "comparison"), persist_state="session")
        columns[1].number_input("Value", low, high, step=step, key=_key(quantity, "value"), persist_state="session")
    if measure.where:
        _set(quantity, "where", wanted.where)
        columns[2].selectbox(
            "Where",
            [*measure.where, *range(trace.num_layers)],
            key=_key(quantity, "where"),
            format_func=lambda where: WHERE_WORDS.get(where, f"in layer {where}"),
            persist_state="session",
        )


def _query(trace: RoutingTrace) -> Query:
    """What the form says. Another model may have fewer layers, loops or experts: then the nearest that it has."""
    session = st.session_state
    text, quantity = session.get(TEXT) or "", session.get(QUANTITY)
    if not quantity:
        return Query(text)
    measure = MEASURES[quantity]
    where = session.get(_key(quantity, "where"))
    if where not in (*measure.where, *range(trace.num_layers)):
        where = measure.where[0] if measure.where else "any"
    if not measure.comparisons:
        return Query(text, quantity, where=where)
    low, high, start, _ = _range(trace, quantity)
    value = session.get(_key(quantity, "value"))
    return Query(
        text,
        quantity,
        comparison=session.get(_key(quantity, "comparison")) or measure.comparisons[0],
        value=min(max(start if value is None else value, low), high),
        where=where,
    )


def _range(trace: RoutingTrace, quantity: Quantity) -> tuple:
    """Smallest and largest value to ask for, the one that the form begins with, and the step."""
    return {
        "loops": (1, trace.max_loops, trace.max_loops, 1),
        "first expert": (0, trace.num_experts - 1, 0, 1),
        "any chosen expert": (0, trace.num_experts - 1, 0, 1),
        "difficulty": (0.0, 1.0, 0.8, 0.05),
        "margin of the loops": (0.0, 50.0, NEAR_MISS, 0.05),
        "surprisal": (0.0, 50.0, 5.0, 0.5),
    }[quantity]


def _key(quantity: Quantity, part: str) -> str:
    return f"find_{quantity}_{part}"


def _set(quantity: Quantity, part: str, value) -> None:
    """Give a widget its value before it is drawn, if that differs: without this it would begin with its own."""
    if st.session_state.get(_key(quantity, part)) != value:
        st.session_state[_key(quantity, part)] = value
