"""Tokens of a run in their texts, page by page, each to be opened in the explorer."""

from functools import partial

import pandas as pd
import streamlit as st

from analysis.runs.filter_words import in_words
from analysis.runs.filters import TokenFilter
from analysis.runs.occurrences import number_of_tokens, occurrences
from analysis.runs.run import Run
from analysis.words.labels import how_many
from app.parts.data_and_code import table_height
from app.parts.panel import title
from app.server import runs
from app.server.runs import RunError
from app.session import notes, pending, run_choice, run_texts
from app.session.run_texts import RunPlace
from app.session.widgets import selected_row
from app.texts.markdown import literal

ROWS = 20
ORDERS = {"mixed": "Mixed", "run": "As in the run"}
FOUND, BEHIND = "run-texts", "behind"
TALLEST_PX = 430


@st.dialog("Behind this number", width="large", on_dismiss=run_choice.forget_behind)
def texts_dialog() -> None:
    """The tokens behind the part of a figure that was clicked, in their texts."""
    part = run_choice.behind()
    if part is None:
        return
    words = in_words(part)
    st.markdown(f"**{literal(words[:1].upper() + words[1:])}**")
    _texts((run_choice.chosen_filter(), part), part.layer, BEHIND, words)


def texts_panel() -> None:
    """The tokens that count, in their texts."""
    title("In their texts")
    chosen = run_choice.chosen_filter()
    st.fragment(_texts)((chosen,), chosen.layer, "counted", in_words(chosen))


def _texts(filters: tuple[TokenFilter, ...], layer: int | None, key: str, words: str) -> None:
    """How many tokens the filters leave, a page of them, and the button that opens one."""
    if pending.exists():
        st.rerun()  # the whole page
    folder = run_choice.run_folder()
    try:
        total = runs.answer(folder, number_of_tokens, *filters)
        if not total:
            st.markdown(f"No token is left{f' with {literal(words)}' if words else ''}. Remove a part of the filter.")
            return
        with st.container(horizontal=True, vertical_alignment="bottom", key=f"{key}-form"):
            mixed = st.segmented_control(
                "Order", ORDERS, default="mixed", required=True, format_func=ORDERS.get, key=f"{key}-order",
                persist_state="session",
            ) == "mixed"  # fmt: skip
            pages = -(-total // ROWS)
            page = st.number_input(f"Page, of {pages:,}", 1, pages, key=f"{key}-page-{hash(filters)}", width=150)
        first = (page - 1) * ROWS
        table = runs.answer(folder, _page, filters, first, mixed, layer)
    except RunError as error:
        st.text(str(error))
        return
    where = "means over layers" if layer is None else f"in layer {layer}"
    st.caption(
        f"{how_many(total, 'token')}, {first + 1:,} to {min(first + ROWS, total):,} shown; loops, λ and difficulty are "
        f"{where}. Select a row to open its text on every page, with the token selected."
    )
    _table(table, key, layer)
    _open(table, key, layer)


def _page(run: Run, filters: tuple[TokenFilter, ...], first: int, mixed: bool, layer: int | None) -> pd.DataFrame:
    return occurrences(run, *filters, first=first, rows=ROWS, mixed=mixed, layer=layer)


def _table(table: pd.DataFrame, key: str, layer: int | None) -> None:
    column = st.column_config
    config = {
        "before": column.TextColumn("before", alignment="right"),
        "text": column.TextColumn("token", help="The token itself; ␣ is a space.", alignment="center"),
        "after": column.TextColumn("after"),
        "loops": column.NumberColumn("loops", format="%d" if layer is not None else "%.2f"),
        "gate": column.NumberColumn("λ", format="%.2f"),
        "difficulty": column.NumberColumn("difficulty", format="%.2f"),
        "experts": column.TextColumn("experts"),
        "token": column.NumberColumn("position"),
        "source": column.TextColumn("source"),
        "prompt_id": column.TextColumn("prompt"),
    }
    shown = [name for name in config if name != "experts" or layer is not None]
    st.dataframe(
        table[shown],
        hide_index=True,
        key=_key(key),
        on_select="rerun",
        selection_mode="single-row",
        column_config=config,
        height=table_height(len(table), TALLEST_PX),
        placeholder="–",
    )


def _open(table: pd.DataFrame, key: str, layer: int | None) -> None:
    row = selected_row(_key(key))
    chosen = None if row is None or row >= len(table) else table.iloc[row]
    place = None if chosen is None else RunPlace(int(chosen["prompt"]), int(chosen["token"]), layer)
    select_first = "Select a row first." if place is None else None
    with st.container(horizontal=True):
        st.button(
            "Open in the explorer",
            key=f"{key}-open",
            type="primary",
            disabled=place is None,
            help=select_first,
            on_click=pending.callback(partial(run_texts.open_place, place)),
        )
        if st.button("Bookmark", key=f"{key}-bookmark", disabled=place is None, help=select_first):
            notes.add_of_run(place)
            st.toast("It is among your notes, in the sidebar.")
        if run_choice.behind() is not None and key == BEHIND:
            st.button("Count only these", on_click=pending.callback(run_choice.narrow_to_behind))


def _key(key: str) -> str:
    return f"{FOUND}-{key}"


__all__ = ["texts_dialog", "texts_panel"]
