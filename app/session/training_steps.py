"""The training that a model kept: the current text through one checkpoint after the other, stopped at will."""

import streamlit as st

from app.server import captures, models
from app.session import state
from hooks.training_trace import TrainingTrace
from sample_models.kept_checkpoints import KeptCheckpoint


def kept() -> list[KeptCheckpoint]:
    """What the current model kept of its training, by step; empty if nothing. ValueError if a file is damaged."""
    if state.without_model():
        return []
    model = st.session_state[state.MODEL_KEY]
    try:
        return models.checkpoints_of(model)
    except ValueError as error:
        raise ValueError(state.why_refused(model, error)) from error


def read_steps() -> int:
    """How many of the kept checkpoints, from the first on, have read the current text."""
    of, done = st.session_state.get("training_read", (None, 0))
    return done if state.trace_file() is None and of == state.model_and_text() else 0


def read_next_step() -> None:
    """Trace the current text with the next checkpoint. If its weights cannot be loaded, say why and stop."""
    model, text = state.model_and_text()
    done = read_steps()
    try:
        captures.trace_at_step(model, text, kept()[done].step)
    except ValueError as error:
        st.session_state.problem = state.why_refused(model, error)
        run_steps(False)
        return
    st.session_state.training_read = (model, text), done + 1


def run_steps(go: bool) -> None:
    """Begin, or go on, to read the text step by step; or stop."""
    st.session_state.training_runs = state.model_and_text() if go else None


def running_steps() -> bool:
    """Whether the text is being read step by step."""
    return state.without_model() is None and st.session_state.get("training_runs") == state.model_and_text()


def why_no_training() -> str | None:
    """Why the course of the training cannot be drawn now; None if it can."""
    if why_not := state.without_model():
        return why_not
    try:
        found = kept()
    except ValueError as error:
        return str(error)
    if not found:
        return "This model kept no weights of its training."
    if read_steps() < len(found):
        return "Read the text at every step first."
    return None


def current_training() -> TrainingTrace:
    """The current text along the training; every checkpoint has read it."""
    return captures.training_of(*state.model_and_text())


def show_checkpoint(index: int) -> None:
    """Show the checkpoint of this index in the figures."""
    st.session_state.checkpoint = index
