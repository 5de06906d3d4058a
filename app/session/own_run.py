"""The run of the visitor's own file: starting, watching, stopping, going on, and forgetting it."""

from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path

import streamlit as st

from app.server import models
from app.server.background_job import BackgroundJob
from app.server.models import ModelError
from app.server.own_runs import NAME, OwnRun, make_own_run
from app.server.presence import presence
from app.server.queues import model_queue
from app.session import state
from app.texts.prompt_columns import ColumnNeeded
from app.texts.prompts import PromptError

_RUN, _JOB, _PROBLEM, _COLUMNS, _DONE = "own_run", "own_run_job", "own_run_problem", "own_run_columns", "own_run_done"


def offered() -> dict[str, Path]:
    """The name and the folder of the run, once there is something to see."""
    own: OwnRun | None = st.session_state.get(_RUN)
    return {NAME: own.folder} if own and own.has_begun else {}


def start(name: str, data: bytes, per: str | None = None, text_column: str | None = None) -> None:
    """Make a run of a file, in place of the one before."""
    forget()
    try:
        own = OwnRun(name, data, per=per, text_column=text_column)
    except PromptError as error:
        st.session_state[_PROBLEM] = str(error)
        return
    st.session_state[_RUN] = own
    go_on()


def go_on() -> None:
    """Begin, or go on after a stop, with the file that was given."""
    session = st.session_state
    own: OwnRun | None = session.get(_RUN)
    if own is None or session.get(_JOB):
        return
    session.pop(_PROBLEM, None)
    try:
        loaded = models.loaded_model(session[state.MODEL_KEY])
    except ModelError as error:
        session[_PROBLEM] = str(error)
        return
    session[_JOB] = job = BackgroundJob(own, model_queue(), presence())
    job.start(lambda job: make_own_run(job, own, loaded))


def is_there() -> bool:
    """Whether the server has a file of the visitor's."""
    return st.session_state.get(_RUN) is not None


def stop() -> None:
    """Stop at the next pass; what was traced stays, and can be gone on with."""
    if job := st.session_state.pop(_JOB, None):
        job.stop()


def forget() -> None:
    """Stop, and remove the file and its run."""
    stop()
    session = st.session_state
    for key in (_PROBLEM, _COLUMNS, _DONE):
        session.pop(key, None)
    if own := session.pop(_RUN, None):
        own.remove()


def running_job() -> BackgroundJob | None:
    """The work that goes on. What ended it is noted: `problem`, `columns` or `is_finished` tell it."""
    session = st.session_state
    job: BackgroundJob | None = session.get(_JOB)
    if job is None or not job.future.done():
        return job
    del session[_JOB]
    with suppress(CancelledError):  # the visitor was away for long, and is back
        try:
            job.future.result()
            session[_DONE] = True
        except ColumnNeeded as error:
            session[_COLUMNS], session[_PROBLEM] = error.names, str(error)
        except ValueError as error:
            session[_PROBLEM] = str(error)
    return None


def is_stopped() -> bool:
    """Whether the file is traced in part, and can be gone on with."""
    session = st.session_state
    return bool(session.get(_RUN)) and not any(map(session.get, (_JOB, _DONE, _PROBLEM)))


def is_finished() -> bool:
    """Whether the whole file is traced."""
    return bool(st.session_state.get(_DONE))


def problem() -> str | None:
    """Why there is no run of the file, in a sentence."""
    return st.session_state.get(_PROBLEM)


def columns() -> list[str] | None:
    """Columns of which one has to be chosen as the text."""
    return st.session_state.get(_COLUMNS)


def note() -> str:
    """What the visitor should know about how the file was read."""
    own: OwnRun | None = st.session_state.get(_RUN)
    return own.note if own and is_finished() else ""


__all__ = [
    "columns", "forget", "go_on", "is_finished", "is_stopped", "is_there", "note", "offered", "problem", "running_job",
    "start", "stop",
]  # fmt: skip
