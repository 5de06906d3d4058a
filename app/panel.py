"""How a page is put together: its question, and figures from the catalogue with their captions."""

import streamlit as st

from analysis.catalogue import FigureSpec, spec
from analysis.figures.template import config
from app.behind import behind
from app.drawings import drawing
from app.glossary import explained
from app.results import current, why_not_drawn


def heading(title: str, question: str, *terms: str) -> None:
    """Title of a page and the one question that it answers, with the glossary's terms that it needs first."""
    st.header(title, anchor=False)
    st.markdown(question, help=explained(*terms) or None)


@st.fragment
def panel(name: str, *, main: bool = False) -> None:
    """A figure of the catalogue under its title, with how to read it and, where it has one, the reader's choice.

    The choice runs this panel alone.
    """
    found = spec(name)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(found.title, anchor=False, width="stretch")
        if found.choice:
            _, labels, name_of_choice = found.choice
            st.segmented_control(
                name_of_choice,
                list(labels),
                default=next(iter(labels)),
                required=True,
                format_func=labels.get,
                key=_choice_key(found),
                label_visibility="collapsed",
                persist_state="session",
            )
    if why_not := why_not_drawn(found.of):
        st.caption(why_not)
        return
    key = f"figure-{name}"
    drawn = drawing(key, found, current(found.of), chosen_options(found))
    chart(key, drawn.first, name=name, alt=found.title)
    if drawn.is_sentence:
        return
    st.caption(f"**How to read.** {found.how_to_read}" if main else found.how_to_read)
    behind(found, chosen_options(found))


def chosen_options(found: FigureSpec) -> dict[str, str]:
    """What the reader chose for a figure on its page, so that an export shows the same."""
    chosen = st.session_state.get(_choice_key(found)) if found.choice else None
    return {found.choice[0]: chosen} if chosen else {}


def _choice_key(found: FigureSpec) -> str:
    return f"{found.name}-choice"


def chart(key: str, figure, *, name: str, alt: str) -> None:
    """A Plotly figure as it is (colours are its own), in a container that the browser side can find by `key`."""
    with st.container(key=key):
        st.plotly_chart(figure, key=f"{key}-chart", theme=None, config=config(name), alt=alt)
