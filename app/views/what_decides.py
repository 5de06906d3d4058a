"""What decides the routing: the token, its place, or its context?"""

import streamlit as st

from app.parts.panel import heading, panel
from app.parts.studies import texts_of_study

heading(
    "What decides",
    "What decides the routing: the token, its place in the text, or its context?",
    "token",
    "loop",
    "router",
    "beyond chance",
)
texts_of_study()
panel("routing_sources", main=True)
left, right = st.columns(2)
with left:
    panel("together", share=1 / 2)
with right:
    panel("loop_flow", share=1 / 2)
