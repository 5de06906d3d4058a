"""The current text traced with each intermediate checkpoint of the model, one per run, until the visitor stops it."""

import streamlit as st

from app.server import captures, models
from app.session import state
from hooks.training_trace import TrainingTrace
from sample_models.intermediate_checkpoints import IntermediateCheckpoint


def checkpoints() -> list[IntermediateCheckpoint]:
    """The current model's intermediate checkpoints by step; empty if it has none. ValueError if a file is damaged."""
    if state.why_no_model():
        return []
    model = st.session_state[state.MODEL_KEY]
    try:
        return models.checkpoints_of(model)
    except ValueError as error:
        raise ValueError(state.why_refused(model, error)) from error


def steps_done() -> int:
    """With how many checkpoints, from the first on, the current text was traced."""
    of, done = st.session_state.get("training_read", (None, 0))
    return done if state.trace_file() is None and of == state.model_and_text() else 0


def trace_next_step() -> None:
    """Trace the current text with the next checkpoint. If it cannot be loaded, tell the visitor why and stop."""
    model, text = state.model_and_text()
    done = steps_done()
    try:
        captures.trace_at_step(model, text, checkpoints()[done].step, state.interventions())
    except ValueError as error:
        st.session_state.problem = state.why_refused(model, error)
        set_running(False)
        return
    st.session_state.training_read = (model, text), done + 1


def set_running(go: bool) -> None:
    """Start or resume the tracing with one checkpoint after the other (`go`), or stop it."""
    st.session_state.training_runs = state.model_and_text() if go else None


def is_running() -> bool:
    """Whether the tracing is to go on in the next runs."""
    return state.why_no_model() is None and st.session_state.get("training_runs") == state.model_and_text()


def why_no_training() -> str | None:
    """Why the figures over the training cannot be drawn now; None if they can."""
    if why_not := state.why_no_model():
        return why_not
    try:
        available = checkpoints()
    except ValueError as error:
        return str(error)
    if not available:
        return "This model has no weights from earlier in its training."
    if steps_done() < len(available):
        return "Press the button Trace at every step to draw this."
    return None


def current_training() -> TrainingTrace:
    """The traces of the current text with all checkpoints."""
    return captures.training_of(*state.model_and_text(), state.interventions())


def show_checkpoint(index: int) -> None:
    """Select the checkpoint that the figures show, by index."""
    st.session_state.checkpoint = index
