"""Which tokens does the model find hard, and in which layers does it say so?"""

import streamlit as st

from app.panel import heading, panel

heading(
    "Difficulty",
    "Which tokens does the model find hard, and in which layers does it say so?",
    "soft difficulty",
    "hard difficulty",
    "E[L]",
    "surprisal",
)
panel("difficulty_map", main=True)
left, right = st.columns(2)
with left:
    panel("difficulty_surprisal")
with right:
    panel("difficulty_by_loops")
