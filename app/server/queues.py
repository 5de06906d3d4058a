"""The queues of all visitors: for the models, for the headless browser that draws pictures, and for reading uploads."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from app.limits import READERS
from app.server.fair_queue import FairQueue


@st.cache_resource(show_spinner=False)
def model_queue() -> FairQueue:
    """The queue of all sessions for the models: one text at a time for every four processor cores."""
    return FairQueue(slots=max(1, (os.cpu_count() or 1) // 4))


@st.cache_resource(show_spinner=False)
def browser_queue() -> FairQueue:
    """The queue of all sessions for the headless browser, one picture at a time: it takes hundreds of megabytes."""
    return FairQueue()


@st.cache_resource(show_spinner=False)
def upload_queue() -> FairQueue:
    """The queue of all sessions for reading uploads, few at a time: each may take a gigabyte for some seconds."""
    return FairQueue(slots=READERS)


@contextmanager
def model_turn() -> Iterator[None]:
    """Wait for a turn at the models and hold it; a visitor who has to wait is told the place in the queue."""
    with _told_turn(model_queue(), "text"):
        yield


@contextmanager
def browser_turn() -> Iterator[None]:
    """Wait for a turn at the headless browser and hold it; a visitor who has to wait is told the place in the queue."""
    with _told_turn(browser_queue(), "export"):
        yield


@contextmanager
def upload_turn() -> Iterator[None]:
    """Wait for a turn at reading an upload and hold it; a visitor who has to wait is told the place in the queue."""
    with _told_turn(upload_queue(), "upload"):
        yield


def stop_if_left() -> None:
    """Streamlit stops the run here if the visitor has left the page."""
    st.query_params.get("token")


@contextmanager
def _told_turn(queue: FairQueue, what: str) -> Iterator[None]:
    """A turn in a queue. The visitor reads how many others are ahead, in one note that changes, until it is theirs."""
    note, told = st.toast, 0

    def tell(ahead: int) -> None:
        nonlocal note, told
        if ahead != told:
            words = f"Waiting for {ahead} {what}{'s' * (ahead > 1)} of other visitors…"
            note, told = note(words, duration="long").toast, ahead
        stop_if_left()

    with queue.turn(tell):
        if told:
            note("It is your turn.", duration=1)
        yield
