"""Figure panels: a figure of the catalogue with title, option, caption, and its data and code."""

import re

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.elements.lib.column_config_utils import ColumnConfig

from analysis.catalogue import FigureSpec, spec
from analysis.figures.template import config
from analysis.palette import THEMES
from app.parts.data_and_code import data_and_code
from app.session.choices import (
    choice_key,
    chosen_options,
    draw_others,
    forget_unless_offered,
    others_must_be_drawn,
    sets_others,
)
from app.session.drawings import drawing
from app.session.results import shown_result, why_not_drawn
from app.session.state import current_trace, current_view

MOST_BUTTONS = 4
"""Values of an option that are buttons in a row; more are a list."""
NOT_BY_WORDS = "This figure shows single tokens, not merged words."


def title(text: str) -> DeltaGenerator:
    """Heading of a figure or table. Widgets put into the returned row stand at its right end."""
    key = "-".join(re.findall(r"\w+", text.lower()))
    row = st.container(key=f"title-{key}", horizontal=True, vertical_alignment="center")
    row.subheader(text, anchor=False, width="stretch")
    return row


def difficulty_column(name: str) -> ColumnConfig:
    """A table column of difficulty, 0..1, as bars in the colour of difficulty."""
    colour = THEMES[current_view().theme]["difficulty"][3]
    return st.column_config.ProgressColumn(name, min_value=0, max_value=1, format="%.2f", color=colour)


@st.fragment
def panel(name: str, *, main: bool = False, share: float = 1.0) -> None:
    """A figure of the catalogue with its title, its option if it has one, and how to read it.

    It takes `share` of the page's width. Changing the option reruns only this panel, or the page if others share it.
    """
    if others_must_be_drawn():
        st.rerun()
    figure_spec = spec(name)
    why_not = why_not_drawn(figure_spec.of)
    set_here = figure_spec.choice and not figure_spec.choice.set_at and not why_not
    trace = current_trace()
    offered = figure_spec.choice.offered(trace.meta, trace.expert_ids.shape[2]) if set_here else {}
    if offered:
        forget_unless_offered(figure_spec, offered)
    heading = figure_spec.title_of(trace.meta)
    with title(heading):
        if len(offered) > 1:
            _option(figure_spec, offered)
    if why_not:
        st.caption(why_not)
        return
    key = f"figure-{name}"
    drawn = drawing(key, figure_spec, shown_result(figure_spec.of), chosen_options(figure_spec), share)
    chart(key, drawn.given_figure, name=name, alt=heading)
    if drawn.is_sentence and not figure_spec.follows:
        return  # else another selection may draw it, and what stands below must not move then
    text = figure_spec.caption_of(trace.meta, **chosen_options(figure_spec)).replace("1 − λ", "1\u00a0−\u00a0λ")
    if figure_spec.splits_words(current_view(), **chosen_options(figure_spec)):
        text += f" {NOT_BY_WORDS}"
    st.caption(f"**How to read.** {text}" if main else text, help=figure_spec.details or None)
    data_and_code(figure_spec, chosen_options(figure_spec))


def _option(figure_spec: FigureSpec, offered: dict[str, str]) -> None:
    """The widget with a figure's choice: buttons in a row, or a list of more than MOST_BUTTONS."""
    words = {
        "label": figure_spec.choice.name,
        "options": list(offered),
        "format_func": offered.get,
        "key": choice_key(figure_spec),
        "label_visibility": "collapsed",
        "on_change": draw_others if sets_others(figure_spec) else None,
        "persist_state": "session",
    }
    if len(offered) > MOST_BUTTONS:
        st.selectbox(**words, width=180)
    else:
        st.segmented_control(**words, default=figure_spec.choice.default, required=True)


def chart(key: str, figure, *, name: str, alt: str) -> None:
    """A Plotly figure in its own colours, in a container that the browser side finds by `key`."""
    with st.container(key=key):
        st.plotly_chart(figure, key=f"{key}-chart", theme=None, config=config(name), alt=alt)
