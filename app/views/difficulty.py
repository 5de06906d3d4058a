"""Which tokens does the model find hard, and in which layers does it say so?"""

import streamlit as st

from app.panel import heading, panel

heading("Difficulty", "Which tokens does the model find hard, and in which layers does it say so?")
panel("difficulty_map", main=True, choose=("kind", {"soft": "Soft", "hard": "Hard"}))
left, right = st.columns(2)
with left:
    panel("difficulty_surprisal", choose=("of", {"read": "Token read", "next": "Next token"}))
with right:
    panel("difficulty_by_loops")
