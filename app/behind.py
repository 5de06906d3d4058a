"""Behind a figure: the data that it draws and the code that makes it. Nothing is made before a reader asks."""

import streamlit as st

from analysis.catalogue import FigureSpec, routing_of
from analysis.snippet import snippet
from analysis.tables import table_csv
from app import results, state
from sample_models.registry import available_models

FIRST_ROWS, WIDTH_PX = 20, 660


@st.fragment
def behind(found: FigureSpec, options: dict[str, str]) -> None:
    """A button under a figure that opens its data and its code. Opening runs this fragment alone."""
    opener = st.popover("Data and code", key=f"{found.name}-behind", type="tertiary", on_change="rerun")
    if not opener.open:
        return
    with opener, st.container(width=WIDTH_PX):
        data, code = st.tabs(["Data behind this", "Code that makes this"])
        with data:
            _data(found)
        with code:
            _code(found, options)


def _data(found: FigureSpec) -> None:
    table = found.table(results.current(found.of))
    st.dataframe(table.head(FIRST_ROWS), hide_index=True)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"First {min(FIRST_ROWS, len(table))} of {len(table):,} rows.", width="stretch")
        st.download_button("Download CSV", table_csv(table), f"{found.name}.csv", "text/csv", on_click="ignore")


def _code(found: FigureSpec, options: dict[str, str]) -> None:
    drawn, opened = results.current(found.of), state.trace_file() is not None
    shipped = routing_of(drawn).meta.get("model") in dict(available_models())
    code = snippet(found, drawn, state.current_view(), shipped=shipped, from_file=opened, **options)
    st.code(code, language="python", wrap_lines=True)
    st.caption("Runs as it stands in this project's folder, with `.venv/bin/python`.")
