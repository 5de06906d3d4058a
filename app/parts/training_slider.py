"""The training slider of the Models page: the current text traced with every intermediate checkpoint."""

import streamlit as st

from analysis.models.training import text_loss
from app.parts.panel import panel, title
from app.parts.stop_button import stop_button
from app.session import training_steps
from app.session.state import why_no_model

TITLE = "How the routing developed"


def training_slider() -> None:
    """The button that traces the text with all checkpoints, then the slider over them and its figures."""
    try:
        checkpoints = training_steps.checkpoints()
    except ValueError as error:
        title(TITLE)
        st.error(str(error))
        return
    if training_steps.why_no_training():
        title(TITLE)
        if checkpoints:
            st.fragment(_reading, run_every=0.2 if training_steps.is_running() else None)()
        else:
            st.caption(
                why_no_model()
                or "This model kept no weights of its training, so its beginnings cannot be seen. `python -m "
                "sample_models.train --keep-checkpoints 8` keeps them, and the smaller of the shipped models has some."
            )
        return
    course = st.container()
    index = st.select_slider(
        "Step of the training",
        range(len(checkpoints)),
        value=len(checkpoints) - 1,
        format_func=lambda i: f"{checkpoints[i].step:,}",
        key=f"step-of-{len(checkpoints)}",
        persist_state="session",
    )
    training_steps.show_checkpoint(index)
    chosen = checkpoints[index]
    held_out = "" if chosen.held_out is None else f", held out {chosen.held_out:.3f}"
    loss = text_loss(training_steps.current_training())[index]
    st.caption(
        f"Step {chosen.step:,}: {chosen.tokens:,} tokens of this training seen, τ {chosen.tau:.2g}. Loss in nats per "
        f"token: this text {loss:.3f}{held_out}."
    )
    with course:
        panel("training_course")
    panel("training_map")


def _reading() -> None:
    """Trace with the next checkpoint, if running; the progress, and the button that starts, stops or resumes."""
    checkpoints, done, running = training_steps.checkpoints(), training_steps.steps_done(), training_steps.is_running()
    with st.container(horizontal=True, vertical_alignment="center"):
        if running:
            st.progress(done / len(checkpoints), f"{done} of {len(checkpoints)} steps have read this text…")
            clicked = stop_button("stop-steps")
        else:
            st.caption(
                f"The weights of {len(checkpoints)} steps were kept, from step {checkpoints[0].step:,} to "
                f"{checkpoints[-1].step:,}. The button runs each over the current text.",
                width="stretch",
            )
            clicked = st.button("Go on" if done else "Read at every step", key="read-steps")
    if clicked:
        training_steps.set_running(not running)
        st.rerun()  # the whole page, which starts or ends the fragment's timer
    if running:
        training_steps.trace_next_step()
        if training_steps.steps_done() == len(checkpoints):
            training_steps.set_running(False)
        if not training_steps.is_running():
            st.rerun()
