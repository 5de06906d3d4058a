"""Panels of figures about a run, which are not in the catalogue: title, option, how to read it, and its data."""

import streamlit as st

from analysis.export.tables import table_csv
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.fitting import fit
from analysis.runs.about import AboutRun
from app.parts.data_and_code import FIRST_ROWS, TABLE_PX, WIDTH_PX, table_height
from app.parts.panel import chart, title
from app.session import drawings
from app.session.choices import choice_key, chosen_options, forget_unless_offered
from app.session.state import current_view


def run_panel(figure_spec: FigureSpec, drawn: AboutRun, *, share: float = 1.0, main: bool = False) -> None:
    """A figure of `drawn` that takes `share` of the page's width."""
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
    figure = figure_spec.figure(drawn, current_view(), **options | chosen_options(figure_spec))
    fit(figure, drawings.figure_width(share))
    chart(f"figure-{figure_spec.name}", figure, name=figure_spec.name, alt=figure_spec.title)
    words = figure_spec.how_to_read
    with st.container(horizontal=True):
        words = f"**How to read.** {words}" if main else words
        st.caption(words, help=figure_spec.details or None, width="stretch")
        _data(figure_spec, drawn)


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


__all__ = ["run_panel"]
