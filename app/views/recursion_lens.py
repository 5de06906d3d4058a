"""What would the model predict after each loop, and what if the token had left there?"""

import streamlit as st

from app.parts.target_picker import target_picker, target_problems
from app.session.results import can_draw, current
from hooks.lens_trace import LensTrace


def target() -> None:
    """Choice of the token whose rank and probability are followed."""
    if can_draw(LensTrace):
        target_picker("target")
        target_problems("target")


def rounding() -> None:
    """How exact the readings are."""
    if can_draw(LensTrace):
        off = current(LensTrace).rounding
        st.caption(
            "Where the token left anyway, leaving is the model's own pass, bit for bit. For the other exits the token "
            f"runs again alone, and rounds otherwise: its logits are then up to {off:.0e} off when nothing is changed."
        )
