"""Clicks on any figure of the page select a token and a layer."""

from collections.abc import Callable
from pathlib import Path

import streamlit as st

KEY = "figure_bridge"
_component = st.components.v2.component(
    "figure_bridge",
    html="<span></span>",
    css=":host { display: none }",
    js=(Path(__file__).parent / "figure_bridge.js").read_text(encoding="utf-8"),
)


def figure_bridge(*, on_select: Callable[[int | None, int | None], None]) -> None:
    """Listen to the page's figures; `on_select(token, layer)` runs before the redraw, None for what was not clicked."""

    def selected() -> None:
        chosen = st.session_state[KEY].select
        if chosen:
            on_select(chosen["token"], chosen["layer"])

    _component(key=KEY, on_select_change=selected)
