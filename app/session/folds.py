"""Which folded parts of the pages the visitor has opened: they stay open on every page and through every rerun."""

import streamlit as st

OPEN = "open_folds"
"""Key in the session of the set of open folds."""


def restore_fold(key: str) -> None:
    """Give the widget of a fold, before it is drawn, the state in which the visitor left it."""
    if key not in st.session_state:
        st.session_state[key] = key in st.session_state.get(OPEN, ())


def remember_fold(key: str, is_open: bool) -> None:
    """Store whether a fold is open."""
    folds = set(st.session_state.get(OPEN, ()))
    st.session_state[OPEN] = folds | {key} if is_open else folds - {key}
