"""Panels of figures about a run that are not in the catalogue: title, option, how to read it, and its data."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from analysis.export.tables import table_csv
from analysis.figures.figure_spec import FigureSpec
from analysis.figures.fitting import fit
from analysis.figures.template import config
from app.parts.data_and_code import FIRST_ROWS, TABLE_PX, WIDTH_PX, table_height
from app.parts.panel import title
from app.session import drawings
from app.session.choices import choice_key, chosen_options
from app.session.state import current_view


def run_panel(
    figure_spec: FigureSpec,
    drawn: Any,
    *,
    kinds: dict[str, str] | None = None,
    share: float = 1.0,
    on_point: Callable[[], None] | None = None,
) -> None:
    """A figure of `drawn` that takes `share` of the page's width.

    `kinds` are the values of its option that the model has, with their labels. `on_point` is called when a point of it
    is selected.
    """
    key = f"figure-{figure_spec.name}"
    with title(figure_spec.title):
        if figure_spec.choice and kinds and len(kinds) > 1:
            st.segmented_control(
                figure_spec.choice.name,
                list(kinds),
                default=next(iter(kinds)),
                required=True,
                format_func=kinds.get,
                key=choice_key(figure_spec),
                label_visibility="collapsed",
                persist_state="session",
            )
    chosen = chosen_options(figure_spec) if figure_spec.choice else {}
    if figure_spec.choice and kinds:
        value = chosen.get(figure_spec.choice.option)
        chosen = {figure_spec.choice.option: value if value in kinds else next(iter(kinds))}
    figure = figure_spec.figure(drawn, current_view(), **chosen)
    fit(figure, drawings.figure_width(share))
    selects = {"on_select": on_point, "selection_mode": "points"} if on_point else {}
    with st.container(key=key):
        st.plotly_chart(
            figure, key=f"{key}-chart", theme=None, config=config(figure_spec.name), alt=figure_spec.title, **selects
        )
    st.caption(figure_spec.how_to_read, help=figure_spec.details or None)
    _data(figure_spec, drawn)


@st.fragment
def _data(figure_spec: FigureSpec, drawn: Any) -> None:
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
