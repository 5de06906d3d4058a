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
