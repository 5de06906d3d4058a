"""Which folded parts of the pages the visitor has opened: they stay open on every page and through every rerun."""

import re
from typing import Any

import streamlit as st

OPEN = "open_folds"
"""Key in the session of the set of open folds."""
MOST_KEPT = 100
_KEY = re.compile(r"fold-[\w-]{1,200}")


def fold_key(question: str) -> str:
    """Key of the widget of a fold by its question, and of its place among the open folds."""
    return "fold-" + "-".join(re.findall(r"\w+", question.lower()))


def is_open(question: str) -> bool:
    """Whether the fold with this question is open."""
    session, key = st.session_state, fold_key(question)
    return bool(session.get(key, key in session.get(OPEN, ())))


def restore_fold(key: str) -> None:
    """Give the widget of a fold, before it is drawn, the state in which the visitor left it."""
    if key not in st.session_state:
        st.session_state[key] = key in st.session_state.get(OPEN, ())


def remember_fold(key: str, is_open: bool) -> None:
    """Store whether a fold is open."""
    folds = set(st.session_state.get(OPEN, ()))
    st.session_state[OPEN] = folds | {key} if is_open else folds - {key}


def open_folds() -> list[str]:
    """Keys of the open folds, as JSON has them."""
    return sorted(st.session_state.get(OPEN, ()))


def unfold(found: Any) -> None:
    """Open the folds that `open_folds` gave; whatever cannot be the key of one is left out."""
    session, keys = st.session_state, found[:MOST_KEPT] if isinstance(found, list) else []
    folds = {key for key in keys if isinstance(key, str) and _KEY.fullmatch(key)}
    session[OPEN] = set(session.get(OPEN, ())) | folds
    for key in folds & set(session):  # drawn already
        session[key] = True
