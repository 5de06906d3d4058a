"""What would the model predict after each loop, and what if the token had left there?"""

import streamlit as st

from app.panel import heading, panel
from app.results import can_draw, current
from app.target_picker import target_picker
from hooks.lens_trace import LensTrace

heading("Recursion lens", "What would the model predict after each loop, and what if the token had left there?")
if can_draw(LensTrace):
    target_picker("target")
panel("lens_grid", main=True)
if can_draw(LensTrace):
    gap = current(LensTrace).exit_gap
    st.caption(f"Where the token left anyway, leaving gives the model's own logits, within {gap:.0e}.")
panel("lens_layer")
panel("lens_path")
