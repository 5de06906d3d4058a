"""What pages over several texts say of them, and the choice of these texts."""

import streamlit as st

from analysis.resampling import FEWEST_TEXTS
from analysis.study import Study
from app import list_study, prompt_list
from app.markdown import literal
from app.results import can_draw, current_study
from app.state import without_model

LABELS = {list_study.SAMPLE: "Sample texts", list_study.OWN: "Your list"}


def texts_of_study() -> None:
    """Choice of the texts; which were read, and why the one above is not enough."""
    if without_model():
        return  # every figure says so
    st.segmented_control(
        "Texts studied",
        list(LABELS),
        default=list_study.SAMPLE,
        required=True,
        format_func=LABELS.get,
        key=list_study.CHOICE_KEY,
        label_visibility="collapsed",
        persist_state="session",
    )
    if list_study.own_list_chosen():
        _own_list()
    if can_draw(Study):
        _told(current_study())


def _own_list() -> None:
    """Where the reader's list comes from, the button that reads it, how far it is, and what was left out."""
    if (own := prompt_list.own_list()) is None:
        st.caption(
            "You have brought no list yet. The text button above takes a file of prompts (File) or a pasted list "
            "(Type); **Compare all** makes it your list."
        )
        return
    if found := list_study.finished():
        for sentence in found.left_out:
            st.caption(literal(sentence))
        return
    told, button = st.columns([4, 1], vertical_alignment="center")
    reading = list_study.reading_list()
    button.button(
        "Stop" if reading else "Read them",
        key="read-list",
        type="secondary" if reading else "primary",
        on_click=list_study.start,
        args=(not reading,),
        width="stretch",
    )
    if reading:
        bar = told.progress(0.0)
        list_study.read_list(lambda done, said: bar.progress(done, text=literal(said)))
        st.rerun()  # the frame, too: now there is something to export
    told.caption(literal(f"{own.name} has {len(own.prompts):,} texts; they were not read for this page yet."))


def _told(found: Study) -> None:
    if list_study.own_list_chosen():
        name, of = literal(found.name), "text" if found.texts == 1 else "texts"
        read = f"Read from {found.texts:,} {of} of {found.tokens:,} tokens, from {name}, not from the text above."
    else:
        read = f"Read from {found.texts} sample texts of {found.tokens:,} tokens, not from the text above."
    if found.texts == 1:
        how = (
            "A single text gives no interval and no p: its tokens depend on each other, and nothing tells how far "
            "other texts would differ."
        )
    elif found.texts < FEWEST_TEXTS:
        how = (
            f"Fewer than {FEWEST_TEXTS} texts give no interval and no p: they say too little of how far other texts "
            "would differ, and the tokens of one text depend on each other."
        )
    else:
        how = (
            "The tokens of one text depend on each other, so a single text can give no interval and no p. Texts are "
            "what is drawn anew for the 95 % intervals; chance is what remains when the routing of a text is read "
            "backwards, or rotated, against its tokens."
        )
    st.caption(f"{read} {how}")
