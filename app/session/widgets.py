"""What the widgets of the open page say: clicks on components, and rows selected in tables."""

from typing import Any

import streamlit as st


def told(key: str, event: str) -> Any:
    """What a component has just told with an event; None if nothing, or if it went with a page that was left."""
    return getattr(st.session_state.get(key), event, None)


def selected_row(key: str) -> int | None:
    """The row that is selected in a table; None if there is none, or if the table went with a page that was left."""
    table = st.session_state.get(key)
    return table.selection.rows[0] if table and table.selection.rows else None
