"""Is difficulty difficulty: are the tokens that get more loops hard in any other sense?"""

import streamlit as st

from app.parts.panel import heading, panel
from app.parts.studies import texts_of_study

heading(
    "Validity",
    "Is difficulty difficulty? Are the tokens that get more loops those that are hard in any other sense?",
    "soft difficulty",
    "hard difficulty",
    "surprisal",
    "Spearman's ρ",
    "beyond chance",
)
texts_of_study()
panel("validity_by_layer", main=True)
left, right = st.columns(2)
with left:
    panel("validity_intervals", share=1 / 2)
with right:
    panel("class_difficulty", share=1 / 2)
