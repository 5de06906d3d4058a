"""Figures of the catalogue on their pages, with their captions and the reader's choices."""

import re

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.elements.lib.column_config_utils import ColumnConfig

from analysis.catalogue import spec
from analysis.figures.template import config
from analysis.palette import THEMES
from app.parts.data_and_code import data_and_code
from app.session.choices import choice_key, chosen_options
from app.session.drawings import drawing
from app.session.results import current, why_not_drawn
from app.session.state import current_view

NOT_BY_WORDS = "Words are not merged here: every token stands alone."


def title(text: str) -> DeltaGenerator:
    """Heading of a figure or table; what is put into the row that it returns stands at the right end of it."""
    key = "-".join(re.findall(r"\w+", text.lower()))
    row = st.container(key=f"title-{key}", horizontal=True, vertical_alignment="center")
    row.subheader(text, anchor=False, width="stretch")
    return row


def difficulty_column(name: str) -> ColumnConfig:
    """Column of a table with bars of difficulty, 0..1, in its colour; missing where the cell is."""
    colour = THEMES[current_view().theme]["difficulty"][3]
    return st.column_config.ProgressColumn(name, min_value=0, max_value=1, format="%.2f", color=colour)


@st.fragment
def panel(name: str, *, main: bool = False, share: float = 1.0) -> None:
    """A figure of the catalogue under its title, with how to read it and, where it has one, the reader's choice.

    It takes `share` of the page's width. The choice runs this panel alone.
    """
    found = spec(name)
    why_not = why_not_drawn(found.of)
    with title(found.title):
        if found.choice and not why_not:
            st.segmented_control(
                found.choice.name,
                list(found.choice.labels),
                default=found.choice.default,
                required=True,
                format_func=found.choice.labels.get,
                key=choice_key(found),
                label_visibility="collapsed",
                persist_state="session",
            )
    if why_not:
        st.caption(why_not)
        return
    key = f"figure-{name}"
    drawn = drawing(key, found, current(found.of), chosen_options(found), share)
    chart(key, drawn.first, name=name, alt=found.title)
    if drawn.is_sentence:
        return
    said = found.how_to_read
    if found.splits_words(current_view(), **chosen_options(found)):
        said += f" {NOT_BY_WORDS}"
    st.caption(f"**How to read.** {said}" if main else said)
    data_and_code(found, chosen_options(found))


def chart(key: str, figure, *, name: str, alt: str) -> None:
    """A Plotly figure as it is (colours are its own), in a container that the browser side can find by `key`."""
    with st.container(key=key):
        st.plotly_chart(figure, key=f"{key}-chart", theme=None, config=config(name), alt=alt)
