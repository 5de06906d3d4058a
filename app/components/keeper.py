"""Lets the visitor's browser tab keep texts and choices, and tells the app when the tab has something to give back."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import streamlit as st

from app.components import script
from app.session.kept_work import ForTheTab
from app.session.widgets import component_event

KEY = "keeper"
_component = st.components.v2.component(
    "keeper", html="<span></span>", css=":host { display: none }", js=script("sending.js", "keeper.js")
)


def keeper(
    page: str, told: ForTheTab, address: str | None, on_restore: Callable[[Any], None], on_stored: Callable[[Any], None]
) -> None:
    """Tell the tab what to keep; `address` is a query that replaces that of the address without a step in the history.

    `on_restore(answer)` is called with what the tab kept, `on_stored({"number", "stored"})` when it has the list.
    """

    def restored() -> None:
        if (answer := component_event(KEY, "restore")) is not None:
            on_restore(answer)

    def stored() -> None:
        if (answer := component_event(KEY, "stored")) is not None:
            on_stored(answer)

    _component(
        key=KEY,
        data={**asdict(told), "page": page, "address": address},
        on_restore_change=restored,
        on_stored_change=stored,
        on_reconnect_change=lambda: None,  # the rerun is all that is wanted
    )
