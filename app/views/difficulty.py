"""Difficulty page: the table of words."""

import streamlit as st

from analysis.words.words import word_table
from app.parts.panel import difficulty_column, title
from app.session.state import current_trace, current_view, select
from app.session.widgets import selected_row


def words() -> None:
    """A table of the words, hardest first, whose rows select a word's first token; only while words are shown."""
    if current_view().level != "word":
        return
    table = word_table(current_trace())
    table = table[~table["special"]].sort_values("difficulty_soft", ascending=False, kind="stable")

    def chosen() -> None:
        if (row := selected_row("words")) is not None:
            select(token=table["token"].iloc[row])

    title("Words, hardest first")
    st.dataframe(
        table,
        hide_index=True,
        key="words",
        height="content" if len(table) <= 8 else 300,
        on_select=chosen,
        selection_mode="single-row",
        column_order=["text", "token", "pieces", "difficulty_soft", "loops", "gate", "surprisal"],
        column_config={
            "token": "first token",
            "difficulty_soft": difficulty_column("soft difficulty"),
            "loops": st.column_config.NumberColumn(format="%.2f"),
            "gate": st.column_config.NumberColumn("width share λ", format="%.2f"),
            "surprisal": st.column_config.NumberColumn("surprisal, nats (sum)", format="%.1f"),
        },
        placeholder="–",
    )
    st.caption(
        "Difficulty, loops and λ: mean over layers and over the word's pieces. Surprisal: their sum, since "
        "log p adds. Merging is a reading aid, the model knows tokens only. A row selects the word's first token."
    )
