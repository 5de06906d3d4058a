"""Expert knock-outs page: what follows a drop, measuring the current text, and measuring several texts."""

from collections.abc import Callable

import streamlit as st

from analysis.texts.study import repeats_told
from app.parts.stop_button import stop_button
from app.parts.study_picker import choose_texts
from app.server.models import libraries_imported
from app.session import knock_outs, text_study
from app.session.state import why_no_model
from app.texts.markdown import literal

DOING = {
    "width": "Dropping experts from the width path",
    "depth": "Dropping experts from the depth path",
    "both": "Dropping experts from both paths",
    "k": "Trying other numbers of experts",
    "pairs": "Dropping two experts at once",
}
"""Stage -> what is done in it."""
PATHS = {"width": "the width path", "depth": "the depth path", "both": "both paths"}
TEXTS = {text_study.SAMPLE: "Sample texts", text_study.OWN: "Your list"}
REFRESH_S = 0.2


def drop_experts() -> None:
    """What follows a drop in the width path, and the button that measures the current text, or its progress."""
    if why_no_model():
        return  # every figure says why
    if knock_outs.is_running():
        _running(_progress, "stop-knock-outs", knock_outs.stop)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.segmented_control(
            "What follows a drop in the width path",
            list(knock_outs.THENS),
            default=next(iter(knock_outs.THENS)),
            required=True,
            format_func=knock_outs.THENS.get,
            key=knock_outs.THEN_KEY,
            label_visibility="collapsed",
            persist_state="session",
            help="What the width path does where an expert is dropped. In the loops its slice is left out.",
        )
        if knock_outs.current_stage():
            share = knock_outs.share_measured()
            label = "Continue" if share > 0 else "Drop experts"
            st.button(label, key="drop-experts", type="primary", on_click=knock_outs.start)
            if share > 0:
                st.caption(f"{share:.0%} measured. What was measured stays.", width="content")


def _running(progress: Callable[[], None], key: str, stop: Callable[[], None]) -> None:
    """Progress, which goes on by itself, and the button that stops it.

    The button is not in the fragment: a click reruns the page, which ends even a step that takes long.
    """
    told, button = st.columns([5, 1], vertical_alignment="center")
    with button:
        stop_button(key, on_click=stop, width="stretch")
    with told:
        st.fragment(progress, run_every=REFRESH_S)()


def _progress() -> None:
    """Progress of the current text; then it is measured for a moment."""
    stage = knock_outs.current_stage()
    if not knock_outs.is_running() or stage is None:
        st.rerun()  # the whole page, which ends the fragment's timer
    loading = "" if libraries_imported() else " The model is being loaded."
    share = knock_outs.share_measured()
    st.progress(share, text=f"{DOING[stage]}: {share:.1%}…{loading}")  # the bar itself moves in whole per cent
    with st.container(key="tracing-quietly-text"):
        knock_outs.measure()
    if knock_outs.current_stage() != stage or not knock_outs.is_running():
        st.rerun()  # the whole page draws what is new


def over_texts() -> None:
    """The choice of the texts, and either the button to measure them or their progress."""
    if why_no_model():
        return
    if text_study.run_chosen():
        text_study.choose_texts(text_study.SAMPLE)  # a run was read already: nothing can be dropped from it
    if not choose_texts("Texts measured", TEXTS):
        return
    if text_study.why_no_texts():
        return  # both figures say why
    if knock_outs.texts_are_running():
        _running(_progress_of_texts, "stop-knock-out-texts", knock_outs.stop_texts)
    else:
        _start_texts()
    for problem in knock_outs.problems_of_texts():
        st.caption(literal(f"Left out: {problem}"))
    if (found := knock_outs.current_study()) and (repeats := repeats_told(found)):
        st.caption(literal(repeats))


def _start_texts() -> None:
    done, texts = knock_outs.texts_measured()
    told = f"{done:,} of {texts:,} texts are measured with experts dropped from {PATHS[knock_outs.chosen_path()]}"
    if done == texts:
        st.caption(f"{told}.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        label = "Continue with these texts" if knock_outs.share_of_texts() > 0 else "Measure these texts"
        st.button(label, key="measure-texts", type="primary", on_click=knock_outs.start_texts)
        st.caption(f"{told}. A text takes some seconds in a small model.", width="stretch")


def _progress_of_texts() -> None:
    """Progress of the chosen texts; then the next one is measured for a moment."""
    if not knock_outs.texts_are_running():
        st.rerun()
    done, texts = knock_outs.texts_measured()
    st.progress(knock_outs.share_of_texts(), text=f"{done:,} of {texts:,} texts are measured…")
    with st.container(key="tracing-quietly-texts"):
        knock_outs.measure_texts()
    if not knock_outs.texts_are_running():
        st.rerun()
