"""What pages over several texts say of them, and the choice of these texts."""

import streamlit as st

from analysis.texts.chance import FEWEST_TEXTS
from analysis.texts.study import Study, repeats_told
from analysis.words.labels import how_many
from app.session import text_study
from app.session.prompt_list import own_list
from app.session.state import without_model
from app.texts.markdown import literal

LABELS = {text_study.SAMPLE: "Sample texts", text_study.OWN: "Your list"}


def texts_of_study() -> None:
    """Choice of the texts; which were read, and why the one above is not enough."""
    if without_model():
        return  # every figure says so
    st.segmented_control(
        "Texts studied",
        list(LABELS),
        default=text_study.SAMPLE,
        required=True,
        format_func=LABELS.get,
        key=text_study.CHOICE_KEY,
        label_visibility="collapsed",
        persist_state="session",
    )
    if text_study.own_list_chosen() and own_list() is None:
        st.caption(
            "You have brought no list yet. The text button above takes a file of prompts (File) or a pasted list "
            "(Type); **Compare all** makes it your list."
        )
    elif found := text_study.finished():
        for sentence in found.left_out:
            st.caption(literal(sentence))
        if found.study:
            _told(found.study)
    elif text_study.why_no_texts() is None:
        _read()


def _read() -> None:
    """How far the reading of the chosen texts is, and the button that begins or stops it."""
    told, button = st.columns([4, 1], vertical_alignment="center")
    reading = text_study.reading_texts()
    button.button(
        "Stop" if reading else "Read them",
        key="read-texts",
        type="secondary" if reading else "primary",
        on_click=text_study.start,
        args=(not reading,),
        width="stretch",
    )
    if reading:
        bar = told.progress(0.0)
        text_study.read_texts(lambda done, said: bar.progress(done, text=literal(said)))
        st.rerun()  # the frame, too: now there is something to export
    name, count = literal(text_study.name_of_texts()), text_study.number_of_texts()
    told.caption(f"{name}: {how_many(count, 'text')}, not yet read for this page.")


def _told(found: Study) -> None:
    if text_study.own_list_chosen():
        count = f"{how_many(found.texts, 'text')} of {how_many(found.tokens, 'token')}"
        read = f"Read from {count}, from {literal(found.name)}, not from the text above."
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
            "The tokens of one text depend on each other, so a single text can give no interval and no p. The 95 % "
            "intervals come from leaving out one text at a time; chance is what remains when the routing is read "
            "backwards within texts, or texts exchange it at equal positions."
        )
    st.caption(f"{read} {how}")
    if repeats := repeats_told(found):
        st.caption(literal(repeats))
