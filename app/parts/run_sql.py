"""The box for questions in SQL about the chosen run, with examples, its columns and the answer."""

import pandas as pd
import streamlit as st

from analysis.export.tables import table_csv, table_parquet
from analysis.runs.run import MOST_ROWS, MOST_SECONDS, Run
from analysis.runs.schema import PROMPT_COLUMNS, token_columns
from app.parts.data_and_code import table_height
from app.session import run_sql
from app.session.run_sql import SqlAnswer

TALLEST_PX = 430
FIELD_PX = 150
VIEWS = (
    ("choices", "layer, loops, gate, difficulty", "A row per token and layer, beside the columns of the token."),
    (
        "routed",
        "layer, rank, expert, weight",
        "A row per token, layer and expert that ran; rank 0 is the first choice.",
    ),
)


@st.fragment
def sql_box(run: Run) -> None:
    """The field, what may be asked, and the answer. Asking reruns only this."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Examples",
            run_sql.EXAMPLES,
            index=None,
            key=run_sql.EXAMPLE_KEY,
            placeholder="Choose a question",
            on_change=run_sql.take_example,
            width=380,
        )
        with st.popover("Columns", icon=":material/table:"):
            st.dataframe(_columns(run), hide_index=True, height=420)
            st.caption("In SQL lists begin at 1: `loops[3]` is of layer 2. In choices and routed, layers begin at 0.")
    st.text_area(
        "Question in SQL",
        key=run_sql.SQL_KEY,
        height=FIELD_PX,
        placeholder="SELECT layer, avg(loops) FROM choices WHERE NOT special GROUP BY layer ORDER BY layer",
        persist_state="session",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Ask", type="primary", on_click=run_sql.ask)
        st.caption(
            f"One SELECT on tokens, prompts, choices and routed, of the whole run, whatever the filter says; "
            f"{MOST_ROWS:,} rows and {MOST_SECONDS:g} seconds at most."
        )
    if found := run_sql.answer():
        _answer(found)


def _answer(found: SqlAnswer) -> None:
    if found.table is None:
        st.text(found.problem)
        return
    if found.table.empty:
        st.caption("No row matches. Use fewer conditions, or look up what the columns hold.")
        return
    table = _plain(found.table)
    st.dataframe(table, hide_index=True, height=table_height(len(table), TALLEST_PX), placeholder="–")
    with st.container(horizontal=True, vertical_alignment="center"):
        more = "; there are more, which are not in the files either" if found.more else ""
        st.caption(f"{len(table):,} rows{more}.", width="stretch")
        st.download_button("CSV", table_csv(table), "answer.csv", "text/csv", on_click="ignore")
        st.download_button("Parquet", table_parquet(table), "answer.parquet", on_click="ignore")


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """The table with columns that every file takes: lists, times and others than numbers and texts become texts."""
    return pd.DataFrame({name: _plain_column(table[name]) for name in table})


def _plain_column(values: pd.Series) -> pd.Series:
    known = values.dropna()
    if all(isinstance(each, bool) for each in known) or all(isinstance(each, str) for each in known):
        return values
    if all(isinstance(each, int | float) and abs(each) < 2**63 for each in known):
        return pd.to_numeric(values)
    return values.map(str, na_action="ignore")


def _columns(run: Run) -> pd.DataFrame:
    """The columns of a run and their meaning."""
    rows = [("tokens", name, told) for name, (_, told) in token_columns(run.sizes).items()]
    rows += [("prompts", name, told) for name, (_, told) in PROMPT_COLUMNS.items()]
    rows += [("prompts", name, "A column of your file.") for name in run.manifest.others]
    return pd.DataFrame([*rows, *VIEWS], columns=["table", "column", "meaning"])


__all__ = ["sql_box"]
