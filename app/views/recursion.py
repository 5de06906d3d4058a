"""How many times does each token go through the FFN, and how sure was that choice?"""

import streamlit as st

from app.parts.panel import heading, panel

heading(
    "Recursion",
    "How many times does each token go through the shared FFN, and how sure was that choice?",
    "loop",
    "depth head",
    "E[L]",
    "margin",
)
panel("loop_map", main=True)
left, right = st.columns(2)
with left:
    panel("depth_choice", share=1 / 2)
with right:
    panel("depth_logits", share=1 / 2)
left, right = st.columns(2)
with left:
    panel("depth_margin", share=1 / 2)
with right:
    panel("loop_shares", share=1 / 2)
