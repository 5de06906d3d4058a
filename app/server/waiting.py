"""The lines of all visitors: in front of the models, the browser that draws pictures, and the readers of uploads."""

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


@st.cache_resource(show_spinner=False)
def reader_turns() -> Turns:
    """The line of all sessions in front of those who read uploads: each may take a gigabyte for some seconds."""
    return Turns(places=2)


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


@contextmanager
def in_turn_to_read() -> Iterator[None]:
    """A turn at reading an upload; a reader who has to wait is told the place."""
    with reader_turns().turn(_telling("upload")):
        yield


def stop_if_left() -> None:
    """Where Streamlit stops a run that the reader has left."""
    st.query_params.get("token")


def _telling(what: str) -> Callable[[int], None]:
    """Tells the reader how many come first, whenever that changes."""
    told = 0

    def tell(ahead: int) -> None:
        nonlocal told
        if ahead != told:
            st.toast(f"{ahead} {what}{'s' * (ahead > 1)} of other visitors before yours…", duration="long")
            told = ahead
        stop_if_left()

    return tell
