"""Figures about a run, which are not in the catalogue: title, option, how to read it, and its data."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import plotly.graph_objects as go
import streamlit as st

from analysis.export.tables import table_csv
from analysis.figures.figure_spec import Drawn, FigureSpec, routing_of
from analysis.figures.fitting import fit
from analysis.runs.about import AboutRun
from app.parts.data_and_code import FIRST_ROWS, TABLE_PX, WIDTH_PX, table_height
from app.parts.panel import chart, title
from app.server.runs import RunError
from app.session import drawings, run_choice
from app.session.choices import choice_key, chosen_options, forget_unless_offered
from app.session.state import current_view
from app.texts.markdown import literal

Arguments = ParamSpec("Arguments")


def of_a_run(draw: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """A part of a page that draws nothing without a run that can be shown, which the bar of the run has told, and tells
    if the run is lost meanwhile."""

    @wraps(draw)
    def part(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        if run_choice.why_none():
            return
        try:
            draw(*args, **kwargs)
        except RunError as error:
            st.text(str(error))

    return part


def run_figure(figure_spec: FigureSpec, drawn: Drawn, *, main: bool = False) -> None:
    """A figure without an option: its title, the figure, and how to read it. Raises RunError if the run is lost."""
    if lacking := figure_spec.why_lacking(routing_of(drawn).meta):
        title(figure_spec.title)
        st.caption(literal(lacking))
        return
    figure = figure_spec.figure(drawn, current_view())  # asks the run
    title(figure_spec.title)
    _chart(figure_spec, figure)
    _how_to_read(figure_spec, main)


def run_panel(figure_spec: FigureSpec, drawn: AboutRun, *, share: float = 1.0, main: bool = False) -> None:
    """A figure that takes `share` of the page's width, with its option and its data."""
    choice = figure_spec.choice
    offered = choice.offered(drawn.meta) if choice else {}
    if choice:
        forget_unless_offered(figure_spec, offered)
    with title(figure_spec.title):
        if len(offered) > 1:
            st.segmented_control(
                choice.name,
                list(offered),
                default=next(iter(offered)),
                required=True,
                format_func=offered.get,
                key=choice_key(figure_spec),
                label_visibility="collapsed",
                persist_state="session",
            )
    options = {choice.option: next(iter(offered))} if offered else {}
    _chart(figure_spec, figure_spec.figure(drawn, current_view(), **options | chosen_options(figure_spec)), share)
    with st.container(horizontal=True):
        _how_to_read(figure_spec, main)
        _data(figure_spec, drawn)


def _chart(figure_spec: FigureSpec, figure: go.Figure, share: float = 1.0) -> None:
    fit(figure, drawings.figure_width(share))
    chart(f"figure-{figure_spec.name}", figure, name=figure_spec.name, alt=figure_spec.title)


def _how_to_read(figure_spec: FigureSpec, main: bool) -> None:
    words = f"**How to read.** {figure_spec.how_to_read}" if main else figure_spec.how_to_read
    st.caption(words, help=figure_spec.details or None, width="stretch")


@st.fragment
def _data(figure_spec: FigureSpec, drawn: AboutRun) -> None:
    """The button that opens the data behind a figure."""
    opener = st.popover("Data", key=f"{figure_spec.name}-behind", type="tertiary", on_change="rerun")
    if not opener.open:
        return
    table = figure_spec.table(drawn)
    with opener, st.container(width=WIDTH_PX):
        st.dataframe(table.head(FIRST_ROWS), hide_index=True, height=table_height(len(table), TABLE_PX))
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"First {min(FIRST_ROWS, len(table))} of {len(table):,} rows.", width="stretch")
            file = f"{figure_spec.name}.csv"
            st.download_button("Download CSV", table_csv(table), file, "text/csv", on_click="ignore")


__all__ = ["of_a_run", "run_figure", "run_panel"]
