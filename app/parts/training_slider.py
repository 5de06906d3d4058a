"""Through training with a slider: the current text at every step whose weights the model kept."""

import streamlit as st

from analysis.models.training import text_loss
from app.parts.panel import panel, title
from app.session import training_steps
from app.session.state import without_model

TITLE = "How the routing came about"


def training_slider() -> None:
    """The text at every step that the training kept: read on demand, then a slider over the steps."""
    try:
        kept = training_steps.kept()
    except ValueError as error:
        title(TITLE)
        st.error(str(error))
        return
    if training_steps.why_no_training():
        title(TITLE)
        if kept:
            st.fragment(_reading, run_every=0.2 if training_steps.running_steps() else None)()
        else:
            st.caption(
                without_model()
                or "This model kept no weights of its training, so its beginnings cannot be seen. `python -m "
                "sample_models.train --keep-checkpoints 8` keeps them, and the smaller of the shipped models has some."
            )
        return
    course = st.container()
    index = st.select_slider(
        "Step of the training",
        range(len(kept)),
        value=len(kept) - 1,
        format_func=lambda i: f"{kept[i].step:,}",
        key=f"step-of-{len(kept)}",
        persist_state="session",
    )
    training_steps.show_checkpoint(index)
    chosen = kept[index]
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
    """One more step, if the text is being read, and how far it is, with the button that begins, stops or goes on."""
    kept, done, running = training_steps.kept(), training_steps.read_steps(), training_steps.running_steps()
    with st.container(horizontal=True, vertical_alignment="center"):
        if running:
            st.progress(done / len(kept), f"{done} of {len(kept)} steps have read this text…")
            clicked = st.button("Stop", key="stop-steps")
        else:
            st.caption(
                f"The weights of {len(kept)} steps were kept, from step {kept[0].step:,} to {kept[-1].step:,}. The "
                "button runs each over the current text.",
                width="stretch",
            )
            clicked = st.button("Go on" if done else "Read at every step", key="read-steps")
    if clicked:
        training_steps.run_steps(not running)
        st.rerun()  # the whole page: only that starts or ends the fragment's own clock
    if running:
        training_steps.read_next_step()
        if training_steps.read_steps() == len(kept):
            training_steps.run_steps(False)
        if not training_steps.running_steps():
            st.rerun()
