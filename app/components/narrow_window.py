"""Closes the sidebar of a narrow window when the page is loaded."""

import streamlit as st

from app.components import script

_component = st.components.v2.component(
    "narrow_window", html="<span></span>", css=":host { display: none }", js=script("narrow_window.js")
)


def close_sidebar_of_narrow_window() -> None:
    """Call this at the beginning of a run: until then the sidebar of a narrow window is hidden."""
    _component(key="narrow_window")
