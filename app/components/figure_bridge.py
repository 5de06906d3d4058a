"""Clicks on the page's figures select a token and a layer, and the selection is drawn over the figures.

Streamlit draws a chart anew whenever its content changes. The marks of the selection therefore do not belong to the
charts: a click that changes nothing else moves the marks and redraws no chart.
"""

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


def figure_bridge(
    *, on_select: Callable[[int | None, int | None], None], marks: dict[str, list[dict]], token: int, layer: int
) -> None:
    """Listen to the page's figures and draw `marks` (container key -> Plotly shapes) over them.

    `on_select(token, layer)` runs before the redraw, with None for what the click did not name. Tick labels of `token`
    and `layer` turn bold.
    """

    def selected() -> None:
        chosen = st.session_state[KEY].select
        if chosen:
            on_select(chosen["token"], chosen["layer"])

    _component(key=KEY, data={"marks": marks, "token": token, "layer": layer}, on_select_change=selected)
