"""Events and selections of the open page's widgets."""

from typing import Any

import streamlit as st


def component_event(key: str, event: str) -> Any:
    """The value of an event that a component has just sent; None if it sent none or is on a page that was left."""
    return getattr(st.session_state.get(key), event, None)


def selected_row(key: str) -> int | None:
    """The row selected in a table; None if there is none or the table is on a page that was left."""
    table = st.session_state.get(key)
    return table.selection.rows[0] if table and table.selection.rows else None
