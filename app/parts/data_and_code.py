"""The popover under a figure with its data and the code that makes it, both made only when it is opened."""

import streamlit as st

from analysis.catalogue import FigureSpec, routing_of
from analysis.export.snippet import PYTHON, WHERE, Needs, needs, snippet, trace_file_name
from analysis.export.snippet_of_result import TEXTS_FILE
from analysis.export.tables import table_csv
from app.session import results, state
from app.texts.markdown import literal
from sample_models.registry import available_models

FIRST_ROWS, WIDTH_PX = 20, 660
TABLE_PX = 248
"""Height of the table: the popover has room for it before it comes (frame.css), so that it does not grow then."""
ROW_PX = 33
"""Height of a row of a table: Streamlit makes it 2.1875 times the base font size of app/.streamlit/config.toml."""


def table_height(rows: int, tallest: int) -> int:
    """Height in pixels of a table of `rows` rows with its head and border, `tallest` at most."""
    return min(tallest, ROW_PX * (rows + 1) + 2)


@st.fragment
def data_and_code(figure_spec: FigureSpec, options: dict[str, str]) -> None:
    """The button under a figure that opens its data and code. Opening it reruns only this fragment."""
    opener = st.popover("Data and code", key=f"{figure_spec.name}-behind", type="tertiary", on_change="rerun")
    if not opener.open:
        return
    with opener, st.container(width=WIDTH_PX):
        data, code = st.tabs(["Data behind this", "Code that makes this"])
        with data:
            _data(figure_spec)
        with code:
            _code(figure_spec, options)


def _data(figure_spec: FigureSpec) -> None:
    table = figure_spec.table(results.current_result(figure_spec.of))
    st.dataframe(table.head(FIRST_ROWS), hide_index=True, height=table_height(len(table), TABLE_PX))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"First {min(FIRST_ROWS, len(table))} of {len(table):,} rows.", width="stretch")
        st.download_button("Download CSV", table_csv(table), f"{figure_spec.name}.csv", "text/csv", on_click="ignore")


def _code(figure_spec: FigureSpec, options: dict[str, str]) -> None:
    drawn, opened = results.current_result(figure_spec.of), state.trace_file() is not None
    shipped = routing_of(drawn).meta.get("model") in dict(available_models())
    where = {"shipped": shipped, "from_file": opened, "trace_file": trace_file_name(state.current_prompt().name)}
    st.code(snippet(figure_spec, drawn, state.current_view(), **where, **options), language="python", wrap_lines=True)
    st.caption(_how_to_run(needs(drawn, **where)))


def _how_to_run(needed: Needs) -> str:
    """A sentence on where the code runs and what must be done before."""
    where = f"{WHERE}, with {PYTHON}"
    todo = [
        f"`{file}` is in that folder too (download it under Export, {'Texts' if file == TEXTS_FILE else 'Trace file'})"
        for file in needed.files
    ]
    if needed.model:
        todo.append(f"you replace the name {literal(needed.model)} by the path of its folder")
    return f"This code runs {where}, once {' and '.join(todo)}." if todo else f"This code runs as it is {where}."
