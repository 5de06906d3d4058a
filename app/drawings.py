"""The charts of the open page: what Streamlit was given, what they show by now, and the marks of the selection."""

from dataclasses import dataclass

import plotly.graph_objects as go
import streamlit as st

from app import state
from hooks.trace import RoutingTrace


@dataclass
class Drawing:
    """A chart in the browser, which stays while only the selection moves."""

    number: int
    """In the chart's layout.meta, so that the browser side knows it."""
    same: tuple
    """What must not change for the chart to stay and be redrawn in place."""
    trace: RoutingTrace
    """Kept so that its id in `same` names no other trace."""
    first: go.Figure
    first_content: str | None = None
    now: str | None = None
    """Plotly JSON that stands there by now, if it ever became another than the first."""


def remember_marks(figure: str, marks: list[dict]) -> None:
    """Keep the selection marks of a figure of this run for the browser side, which draws them over it."""
    st.session_state.setdefault("marks", {})[figure] = marks


def taken_marks() -> dict[str, list[dict]]:
    """The marks of all figures of this run, once."""
    return st.session_state.pop("marks", {})


def enter_page(page: str) -> bool:
    """Note the page that is open; whether it was entered with this run. Its figures are then drawn from scratch."""
    session = st.session_state
    entered, session.open_page = session.get("open_page") != page, page
    if entered:
        session.drawings = {}
    return entered


def first_drawing(key: str, figure: go.Figure, options: dict[str, str]) -> go.Figure:
    """The drawing to hand to Streamlit for a figure of this page: `figure`, or the one it stands in for.

    Streamlit throws a chart away and builds a new one whenever its content differs. So for a selection that moves, the
    chart that the page first drew is handed over again, and `redrawings` tells the browser side what it shows by now.
    """
    trace, view, drawings = state.current_trace(), state.current_view(), st.session_state.drawings
    same = (id(trace), view.theme, view.level, view.window, tuple(options.items()), figure.layout.height)
    drawing = drawings.get(key)
    if drawing is None or drawing.same != same:
        number = st.session_state.drawings_made = st.session_state.get("drawings_made", 0) + 1
        drawing = drawings[key] = Drawing(number, same, trace, figure)
    figure.layout.meta = {**(figure.layout.meta or {}), "drawing": drawing.number}
    content = figure.to_json()
    drawing.first_content = drawing.first_content or content
    if drawing.now or content != drawing.first_content:
        drawing.now = content
    return drawing.first


def redrawings() -> dict[int, str]:
    """Charts of this page that by now show another content than Streamlit has: their number -> Plotly JSON."""
    return {drawing.number: drawing.now for drawing in st.session_state.drawings.values() if drawing.now}
