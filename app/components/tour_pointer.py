"""Points at the part of the page that the tour speaks of: it is outlined and brought into view."""

import streamlit as st

from app.components import script

_component = st.components.v2.component(
    "tour_pointer", html="<span></span>", css=":host { display: none }", js=script("tour_pointer.js")
)


def tour_pointer(selector: str, *, page: str) -> None:
    """Point at the first element of `page` that the CSS selector finds. Call this inside the box of the tour.

    The box is kept at the lower edge of the window meanwhile.
    """
    _component(key="tour_pointer", data={"selector": selector, "page": page})
