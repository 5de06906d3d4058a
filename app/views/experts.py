"""Which sub-experts does the width path choose, and is the load shared?"""

import streamlit as st

from app.parts.panel import heading, panel

heading(
    "Experts",
    "Which sub-experts does the width path choose, and is the load shared?",
    "router",
    "virtual expert",
    "did not route",
    "load",
    "lift",
)
panel("expert_map", main=True)
left, right = st.columns(2)
with left:
    panel("expert_load", share=1 / 2)
    panel("expert_path")
with right:
    panel("expert_load_by_layer", share=1 / 2)
    panel("expert_pairs")
