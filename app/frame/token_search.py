"""The token search: a form for a text and one condition on the routing. Matches are marked in the token strip."""

import streamlit as st

from analysis.words.search import MEASURES, Quantity, measures_of
from app.session.search_form import (
    QUANTITY_KEY,
    TEXT_KEY,
    clear_search,
    found_tokens,
    part_key,
    query_of_form,
    set_part,
    value_range,
)
from hooks.trace import RoutingTrace

OPEN = "find"
WHERE_WORDS = {"any": "in any layer", "mean": "mean over layers"}
HELP = (
    "Finds tokens that contain a text or that meet a condition on their routing. In the strip, n and N step "
    "through them."
)


def token_search(trace: RoutingTrace) -> None:
    """The button and its popover with the form. The search stays active until it is cleared."""
    popover = st.popover("Find", icon=":material/search:", key=OPEN, on_change="rerun")
    if not popover.open:
        return
    with popover:
        st.caption(HELP)
        st.text_input(
            "Text",
            key=TEXT_KEY,
            placeholder="Text, which may span several tokens",
            max_chars=200,
            persist_state="session",
        )
        quantity = st.selectbox(
            "Condition",
            measures_of(trace),
            index=None,
            key=QUANTITY_KEY,
            placeholder="No condition",
            format_func=str.capitalize,
            persist_state="session",
        )
        if quantity:
            _condition(trace, quantity)
        matches, query = found_tokens(trace)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"{len(matches)} of {trace.num_tokens} tokens match." if query else "No search yet.")
            st.space("stretch")
            st.button("Clear", on_click=clear_search, disabled=not query)


def _condition(trace: RoutingTrace, quantity: Quantity) -> None:
    """The widgets for comparison, value and layer of a condition on `quantity`."""
    measure, query = MEASURES[quantity], query_of_form(trace)
    columns = st.columns(3)
    if measure.comparisons:
        low, high, _, step = value_range(trace, quantity)
        set_part(quantity, "comparison", query.comparison)
        set_part(quantity, "value", query.value)
        columns[0].selectbox(
            "Compare", measure.comparisons, key=part_key(quantity, "comparison"), persist_state="session"
        )
        columns[1].number_input("Value", low, high, step=step, key=part_key(quantity, "value"), persist_state="session")
    if measure.where:
        set_part(quantity, "where", query.where)
        columns[2].selectbox(
            "Where",
            [*measure.where, *range(trace.num_layers)],
            key=part_key(quantity, "where"),
            format_func=lambda where: WHERE_WORDS.get(where, f"in layer {where}"),
            persist_state="session",
        )
