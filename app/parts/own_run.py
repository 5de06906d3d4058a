"""The panel that makes a run of the visitor's own file."""

from functools import partial

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from app.limits import MAX_FILE_MB, MAX_RUN_CHARACTERS, MAX_RUN_PROMPTS
from app.parts.file_cut import choose_cut
from app.parts.stop_button import stop_button
from app.server.own_runs import NAME
from app.session import own_run, pending, run_choice, state
from app.texts.markdown import literal
from app.texts.prompt_files import FILE_TYPES, TEXT_TYPES


def own_run_panel() -> None:
    """Upload a file, watch its run, stop it, go on with it, and look at it."""
    if why_not := state.why_no_model():
        st.caption(f"{why_not} A run needs a model.")
        return
    upload = st.file_uploader(
        f"A file of prompts for a run: {', '.join(FILE_TYPES)}, up to {MAX_FILE_MB} MB, "
        f"{MAX_RUN_PROMPTS:,} prompts and {MAX_RUN_CHARACTERS:,} characters",
        type=list(FILE_TYPES),
        max_upload_size=MAX_FILE_MB,
        key="own-run-file",
        help="It is traced with the model that is chosen now. Nobody else sees the file or its run, and both are "
        "removed when you close this tab or press Forget my texts.",
    )
    if own_run.running_job():
        st.fragment(_progress, run_every=0.5)()
        return
    if upload is not None:
        _start(upload)
    if told := own_run.problem():
        st.text(told)
    elif own_run.is_stopped():
        st.caption("The run was stopped. What was read so far is kept.")
        with st.container(horizontal=True):
            st.button("Go on", key="own-run-go-on", on_click=pending.callback(own_run.go_on))
            _look()
    elif own_run.is_finished():
        st.caption(literal(f"The file is read. {own_run.note()}".rstrip()))
        _look()


def _start(upload: UploadedFile) -> None:
    """The choices that a file needs, and the button that makes the run."""
    kind, per, column = upload.name.rpartition(".")[2].lower(), None, None
    if kind in TEXT_TYPES:
        per = choose_cut(kind, "own-run-per")
    elif names := own_run.columns():
        column = st.selectbox("Column with the text", names, index=None, format_func=literal, key="own-run-column")
    work = partial(own_run.start, upload.name, upload.getvalue(), per, column)
    st.button("Make the run", type="primary", key="own-run-start", on_click=pending.callback(work))


def _look() -> None:
    """The button that chooses the run on this page."""
    if run_choice.run_name() != NAME and NAME in run_choice.run_names():
        look = partial(run_choice.choose_run, NAME)
        st.button("Look at it", key="own-run-look", on_click=pending.callback(look))


def _progress() -> None:
    """Progress of the run, and the button that stops it."""
    job = own_run.running_job()
    if job is None:
        if own_run.is_finished():
            pending.callback(partial(run_choice.choose_run, NAME))()
        st.rerun()  # the whole page, which shows the run and ends the fragment's timer
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(min(job.share, 1.0), text=f"{job.told} {job.seconds:.0f} s")
        stop_button("own-run-stop", on_click=own_run.stop)


__all__ = ["own_run_panel"]
