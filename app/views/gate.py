"""How does each layer mix its two paths: the experts (width) and the loops (depth)?"""

import streamlit as st

from app.parts.panel import heading, panel

heading(
    "Gate",
    "How does each layer mix its two paths: the experts (width) and the loops (depth)?",
    "λ",
    "width path",
    "depth path",
)
panel("gate_map", main=True)
left, right = st.columns(2)
with left:
    panel("gate_levels", share=1 / 2)
with right:
    panel("gate_along_text", share=1 / 2)
