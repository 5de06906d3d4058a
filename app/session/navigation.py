"""The pages of this run by their names, for buttons and links that lead to another one."""

from collections.abc import Iterable

import streamlit as st
from streamlit.navigation.page import StreamlitPage


def remember_pages(pages: Iterable[StreamlitPage]) -> None:
    """Note the pages that are offered in this run."""
    st.session_state.pages = {page.title: page for page in pages}


def page_named(name: str) -> StreamlitPage:
    """The page of this name, as `st.switch_page` and `st.page_link` take it."""
    return st.session_state.pages[name]
