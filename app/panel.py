"""How a page is put together: its question, and figures from the catalogue with their captions."""

import streamlit as st

from analysis.catalogue import spec
from analysis.figures.template import config
from app.state import current_trace, current_view


def heading(title: str, question: str) -> None:
    """Title of a page and the one question that it answers."""
    st.header(title, anchor=False)
    st.markdown(question)


def panel(name: str, *, main: bool = False, **options) -> None:
    """A figure of the catalogue under its title, with how to read it. `options` go to the figure function."""
    found, trace, view = spec(name), current_trace(), current_view()
    st.subheader(found.title, anchor=False)
    chart(f"figure-{name}", found.figure(trace, view, **options), name=name, alt=found.title)
    st.caption(f"**How to read.** {found.how_to_read}" if main else found.how_to_read)


def chart(key: str, figure, *, name: str, alt: str) -> None:
    """A Plotly figure as it is (colours are its own), in a container that the browser side can find by `key`."""
    with st.container(key=key):
        st.plotly_chart(figure, key=f"{key}-chart", theme=None, config=config(name), alt=alt)
