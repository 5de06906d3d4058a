"""How many times does each token go through the FFN, and how sure was that choice?"""

import streamlit as st

from app.panel import heading, panel

heading(
    "Recursion",
    "How many times does each token go through the shared FFN, and how sure was that choice?",
    "loop",
    "depth head",
    "E[L]",
    "margin",
)
panel("loop_map", main=True)
left, middle, right = st.columns([3, 2, 3])
with left:
    panel("depth_choice")
with middle:
    panel("depth_logits")
with right:
    panel("depth_margin")
panel("loop_shares")
