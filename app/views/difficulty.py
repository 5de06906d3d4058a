"""Which tokens does the model find hard, and in which layers does it say so?"""

import streamlit as st

from app.panel import heading, panel

heading("Difficulty", "Which tokens does the model find hard, and in which layers does it say so?")
kind = st.segmented_control("Difficulty", ["soft", "hard"], default="soft", required=True, format_func=str.title)
panel("difficulty_map", main=True, kind=kind)
left, right = st.columns(2)
with left:
    of = st.segmented_control(
        "Surprisal of", ["read", "next"], default="read", required=True, format_func=lambda o: f"the token {o}"
    )
    panel("difficulty_surprisal", of=of)
with right:
    panel("difficulty_by_loops")
