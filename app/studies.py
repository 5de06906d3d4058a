"""What pages over several texts say of them."""

import streamlit as st

from analysis.study import Study
from app.results import can_draw, current_study


def texts_of_study() -> None:
    """Which texts were read, and why the one above is not enough."""
    if not can_draw(Study):
        return  # every figure says so
    found = current_study()
    st.caption(
        f"Read from {found.texts} sample texts of {found.tokens:,} tokens, not from the text above: the tokens of one "
        "text depend on each other, so a single text can give no interval and no p. Texts are what is drawn anew for "
        "the 95 % intervals; chance is what remains when the routing of every text is rotated against its tokens."
    )
