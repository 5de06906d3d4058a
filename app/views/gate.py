"""How much of each layer's update comes from the width path, how much from the depth path?"""

import streamlit as st

from app.panel import heading, panel

heading(
    "Gate", "How much of each layer's update comes from the width path (experts), how much from the depth path (loops)?"
)
panel("gate_map", main=True)
left, right = st.columns(2)
with left:
    panel("gate_levels")
with right:
    panel("gate_along_text")
