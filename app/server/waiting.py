"""The line of all visitors in front of the models, and of the browser that draws pictures."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

from app.server.turns import Turns


@st.cache_resource(show_spinner=False)
def turns() -> Turns:
    """The line of all sessions in front of the models."""
    return Turns(places=max(1, (os.cpu_count() or 1) // 4))


@st.cache_resource(show_spinner=False)
def browser_turns() -> Turns:
    """The line of all sessions in front of the browser that draws pictures: it takes hundreds of megabytes."""
    return Turns()


@contextmanager
def in_turn() -> Iterator[None]:
    """A turn at the models; a reader who has to wait is told the place."""
    with turns().turn(_telling("text")):
        yield


@contextmanager
def in_turn_to_draw() -> Iterator[None]:
    """A turn at the browser that draws pictures; a reader who has to wait is told the place."""
    with browser_turns().turn(_telling("export")):
        yield


def _telling(what: str) -> Callable[[int], None]:
    """Tells the reader how many come first, whenever that changes."""
    told = 0

    def tell(ahead: int) -> None:
        nonlocal told
        if ahead != told:
            st.toast(f"{ahead} {what}{'s' * (ahead > 1)} of other visitors before yours…", duration="long")
            told = ahead
        st.query_params.get("token")  # where Streamlit stops a run that the reader has left

    return tell
