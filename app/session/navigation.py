"""The pages of the app by name, for buttons and links that lead to another page."""

from collections.abc import Iterable

import streamlit as st
from streamlit.navigation.page import StreamlitPage


def remember_pages(pages: Iterable[StreamlitPage]) -> None:
    """Store the pages that this run offers."""
    st.session_state.pages = {page.title: page for page in pages}


def page_named(name: str) -> StreamlitPage:
    """The page of this name, as `st.switch_page` and `st.page_link` take it."""
    return st.session_state.pages[name]


def open_next(name: str) -> None:
    """Have the page of this name opened by the next run."""
    st.session_state.opens_next = name


def open_asked_page() -> None:
    """Open the page that `open_next` asked for, if it did."""
    if name := st.session_state.pop("opens_next", None):
        st.switch_page(page_named(name))
