"""The expert whose tokens the Experts page lists."""

import streamlit as st

EXPERT_KEY = "expert"
"""Key of the widget that chooses it."""


def expert_follows(selection: tuple, first: int | None, experts: int) -> None:
    """Choose `first` for a new selection of model, text, layer and token. Call this before the widget is drawn.

    None: the token has none, and the choice stays, as far as the model has such an expert.
    """
    session = st.session_state
    expert = session.get(EXPERT_KEY)
    if session.get("expert_of") != selection and first is not None:
        expert = first
    session.expert_of = selection
    if expert is None or expert >= experts:
        expert = 0
    if session.get(EXPERT_KEY) != expert:
        session[EXPERT_KEY] = expert
