"""What would the model predict after each loop, and what if the token had left there?"""

import streamlit as st

from app.parts.panel import heading, panel
from app.parts.target_picker import target_picker, target_problems
from app.session.results import can_draw, current
from hooks.lens_trace import LensTrace

heading(
    "Recursion lens",
    "What would the model predict after each loop, and what if the token had left there?",
    "loop",
    "residual stream",
    "logit",
    "entropy",
    "KL",
)
if can_draw(LensTrace):
    target_picker("target")
    target_problems("target")
panel("lens_grid", main=True)
if can_draw(LensTrace):
    rounding = current(LensTrace).rounding
    st.caption(
        "Where the token left anyway, leaving is the model's own pass, bit for bit. For the other exits the token runs "
        f"again alone, and rounds otherwise: its logits are then up to {rounding:.0e} off when nothing is changed."
    )
panel("lens_layer")
panel("lens_path")
