"""Connects the map of a run's tokens with the app: what is drawn around tokens, and clicks on them."""

from collections.abc import Callable
from typing import Any, Literal

import streamlit as st

from app.components import script
from app.session.widgets import component_event

KEY = "map_bridge"
Drag = Literal["drawclosedpath", "drawrect", "zoom", "pan"]
_component = st.components.v2.component(
    "map_bridge", html="<span></span>", css=":host { display: none }", js=script("sending.js", "map_bridge.js")
)


def map_bridge(
    *,
    page: str,
    figure: str,
    shapes: list[dict],
    drag: Drag,
    on_area: Callable[[Any], None],
    on_point: Callable[[int], None],
) -> None:
    """Listen to the chart in the container with the key `figure`, and draw `shapes` of Plotly over it.

    `drag` is what dragging the mouse does. `on_area({"x", "y", "shown"})` is called before the rerun with the corners
    of what was drawn, in the units of the axes, and the categories that are visible; `on_point(place)` with the place
    of a clicked token in the sample.
    """

    def drawn() -> None:
        if (area := component_event(KEY, "area")) is not None:
            on_area(area)

    def clicked() -> None:
        if (point := component_event(KEY, "point")) is not None:
            on_point(point["index"])

    _component(
        key=KEY,
        data={"page": page, "figure": figure, "shapes": shapes, "drag": drag},
        on_area_change=drawn,
        on_point_change=clicked,
    )
