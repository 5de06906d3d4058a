"""Connects the page's figures with the app: clicks select a token and a layer, and the selection is drawn over them.

Streamlit rebuilds a chart whenever its content changes, which takes a tenth of a second and flickers. So the selection
marks are an overlay and no part of the charts, and content that depends on the selection is updated in place here.
"""

from collections.abc import Callable
from typing import Any

import streamlit as st

from analysis.view import Theme
from app.components import script
from app.session.widgets import component_event

KEY = "figure_bridge"
_component = st.components.v2.component(
    "figure_bridge",
    html="<span></span>",
    css=":host { display: none }",
    js=script("sending.js", "drawing_order.js", "dimming.js", "figure_bridge.js"),
)


def figure_bridge(
    *,
    page: str,
    on_select: Callable[[int | None, int | None], None],
    marks: dict[str, list[dict]],
    redrawn: dict[int, str],
    token: int,
    layer: int,
    theme: Theme,
    room: int,
    on_room: Callable[[int], None],
    on_part: Callable[[Any, Any, Any], None] = lambda *_: None,
) -> None:
    """Listen to the figures of `page` and draw `marks` (container key -> Plotly shapes) over them.

    Figures in `redrawn` (layout.meta.drawing -> Plotly JSON) are updated in place to that content.
    `on_select(token, layer)` is called before the rerun, with None for what the clicked point does not name. Tick
    labels of `token` and `layer` turn bold. The app is rerun when the browser's theme is no longer `theme`.
    `on_part(what, value, layer)` is called likewise for a clicked part of a figure of a run.
    `on_room(pixels)` is called when the width of the page's column is no longer `room`; 0 stands for the full width
    for which figures are drawn by default.
    """

    def selected() -> None:
        if chosen := component_event(KEY, "select"):
            on_select(chosen["token"], chosen["layer"])

    def parted() -> None:
        if chosen := component_event(KEY, "part"):
            on_part(chosen["what"], chosen["value"], chosen["layer"])

    def measured() -> None:
        if (pixels := component_event(KEY, "room")) is not None:
            on_room(pixels)

    _component(
        key=KEY,
        data={
            "page": page,
            "marks": marks,
            "redrawn": {str(number): content for number, content in redrawn.items()},
            "token": token,
            "layer": layer,
            "theme": theme,
            "room": room,
        },
        on_select_change=selected,
        on_part_change=parted,
        on_room_change=measured,
        on_theme_change=lambda: None,  # the rerun is all that is wanted
    )
