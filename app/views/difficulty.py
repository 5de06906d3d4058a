"""Difficulty page: what difficulty goes with, and the table of words."""

import streamlit as st

from analysis.parts import why_lacking_result
from analysis.texts.goes_with import told
from analysis.texts.study import Study
from analysis.words.words import word_table
from app.parts.panel import difficulty_column, title
from app.session import answers
from app.session.navigation import page_named
from app.session.state import current_trace, current_view, select
from app.session.widgets import selected_row


def known_correlations() -> None:
    """What difficulty goes with in this model, if that was measured, and where it is measured."""
    found = answers.known_correlations()
    if not found and why_lacking_result(Study, current_trace().meta):
        return
    unknown = (
        "Whether this model's difficulty correlates with surprisal, token frequency or neither has not been "
        "measured yet. The page Validity measures it."
    )
    st.caption(told(found) if found else unknown)
    st.page_link(page_named("Validity"), label="Validity", icon=":material/arrow_forward:", width="content")


def words() -> None:
    """A table of the words, highest difficulty first, while words are shown; a row selects a word's first token."""
    if current_view().level != "word":
        return
    table = word_table(current_trace())
    table = table[~table["special"]].sort_values("difficulty_soft", ascending=False, kind="stable")

    def chosen() -> None:
        if (row := selected_row("words")) is not None:
            select(token=table["token"].iloc[row])

    title("Words, highest difficulty first")
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
        "Difficulty, loops and λ are means over layers and over the word's tokens. Surprisal is the sum over its "
        "tokens, since log probabilities add. Words are a reading aid: the model sees only tokens. Click the box "
        "before a row to select the word's first token."
    )
