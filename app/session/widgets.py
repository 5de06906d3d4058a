"""Events and selections of the open page's widgets."""

from typing import Any

import streamlit as st


def component_event(key: str, event: str) -> Any:
    """The value of an event that a component has just sent; None if it sent none or is on a page that was left."""
    return getattr(st.session_state.get(key), event, None)


def selected_row(key: str) -> int | None:
    """The row selected in a table; None if there is none or the table is on a page that was left."""
    return next(iter(_selected_rows(key)), None)


def select_rows(key: str, rows: list[int]) -> None:
    """Select rows of a table that is drawn later in this run; nothing is sent where they are selected already."""
    if _selected_rows(key) != rows:
        st.session_state[key] = {"selection": {"rows": rows, "columns": [], "cells": []}}


def _selected_rows(key: str) -> list[int]:
    table = st.session_state.get(key)
    return list(table["selection"]["rows"]) if table else []
