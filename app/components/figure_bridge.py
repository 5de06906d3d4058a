"""Clicks on the page's figures select a token and a layer, and the selection is drawn over the figures.

Streamlit builds a chart anew whenever its content changes, which takes a tenth of a second and flickers. Therefore the
marks of the selection do not belong to the charts, and what else depends on the selection is updated in place here.
"""

from collections.abc import Callable

import streamlit as st

from analysis.view import Theme
from app.components import script
from app.session.widgets import told

KEY = "figure_bridge"
_component = st.components.v2.component(
    "figure_bridge",
    html="<span></span>",
    css=":host { display: none }",
    js=script("telling.js", "drawing_order.js", "dimming.js", "figure_bridge.js"),
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
) -> None:
    """Listen to the figures of `page` and draw `marks` (container key -> Plotly shapes) over them.

    `redrawn` (layout.meta.drawing -> Plotly JSON) is what figures show instead of what Streamlit was given: updated in
    place.
    `on_select(token, layer)` runs before the redraw, with None for what the click did not name. Tick labels of `token`
    and `layer` turn bold. The app runs again as soon as the browser shows another theme than `theme`.
    `on_room(pixels)` runs when the page's column is less wide than figures are commonly drawn for (0: as wide as that)
    and `room` does not say so already.
    """

    def selected() -> None:
        if chosen := told(KEY, "select"):
            on_select(chosen["token"], chosen["layer"])

    def measured() -> None:
        if (pixels := told(KEY, "room")) is not None:
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
        on_room_change=measured,
        on_theme_change=lambda: None,  # the run itself is what is wanted
    )
