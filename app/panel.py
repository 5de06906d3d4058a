"""How a page is put together: its question, and figures from the catalogue with their captions."""

import streamlit as st

from analysis.catalogue import spec
from analysis.figures.template import config
from app.state import current_trace, current_view


def heading(title: str, question: str) -> None:
    """Title of a page and the one question that it answers."""
    st.header(title, anchor=False)
    st.markdown(question)


def panel(name: str, *, main: bool = False, choose: tuple[str, dict[str, str]] | None = None) -> None:
    """A figure of the catalogue under its title, with how to read it.

    `choose` = (option of the figure function, {value: label}) puts a switch beside the title.
    """
    found, options = spec(name), {}
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(found.title, anchor=False, width="stretch")
        if choose:
            option, labels = choose
            options[option] = st.segmented_control(
                f"{found.title}: {option}",
                list(labels),
                default=next(iter(labels)),
                required=True,
                format_func=labels.get,
                key=f"{name}-{option}",
                label_visibility="collapsed",
                persist_state="session",
            )
    chart(f"figure-{name}", found.figure(current_trace(), current_view(), **options), name=name, alt=found.title)
    st.caption(f"**How to read.** {found.how_to_read}" if main else found.how_to_read)


def chart(key: str, figure, *, name: str, alt: str) -> None:
    """A Plotly figure as it is (colours are its own), in a container that the browser side can find by `key`."""
    with st.container(key=key):
        st.plotly_chart(figure, key=f"{key}-chart", theme=None, config=config(name), alt=alt)
