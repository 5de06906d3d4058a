"""Do the two paths agree, and where do the loops lead?"""

import streamlit as st

from app.parts.panel import heading, panel
from app.parts.umap_panel import umap_panel

heading(
    "Geometry",
    "Do the two paths agree, and where do the loops lead?",
    "width path",
    "depth path",
    "virtual expert",
    "cosine",
)
panel("path_agreement", main=True)
panel("first_loop")
panel("loop_slices")
left, right = st.columns(2)
with left:
    panel("trajectories", share=1 / 2)
with right:
    panel("steps", share=1 / 2)
umap_panel()
