"""The head of pages over several texts: the choice of the texts, reading them, and which were read."""

import streamlit as st

from analysis.texts.chance import FEWEST_TEXTS
from analysis.texts.study import Study, repeats_told
from analysis.words.labels import how_many
from app.parts.stop_button import stop_button
from app.session import run_choice, text_study
from app.session.prompt_list import own_list
from app.session.state import why_no_model
from app.texts.markdown import literal

LABELS = {text_study.SAMPLE: "Sample texts", text_study.OWN: "Your list", text_study.RUN: "Run"}


def texts_of_study() -> None:
    """The choice of the texts, and either the button to read them or a caption on what was read."""
    if why_no_model():
        return  # every figure says why
    if not choose_texts("Texts studied", LABELS):
        return
    if finished := text_study.finished_study():
        for sentence in finished.left_out:
            st.caption(literal(sentence))
        if finished.study:
            _what_was_read(finished.study)
    elif text_study.why_nothing_to_study() is None:
        _reading()


def choose_texts(name: str, offered: dict[str, str]) -> bool:
    """The choice of the texts, by their labels. Whether they are there: a visitor without a list is told how to make
    one."""
    st.segmented_control(
        name,
        list(offered),
        default=text_study.SAMPLE,
        required=True,
        format_func=offered.get,
        key=text_study.CHOICE_KEY,
        label_visibility="collapsed",
        persist_state="session",
    )
    if text_study.own_list_chosen() and own_list() is None:
        st.caption(
            "You have no list yet. Click the text button above, upload a file of prompts (File) or paste a list "
            "(Type), and press **Compare all**."
        )
        return False
    return True


def _reading() -> None:
    """Progress of reading the chosen texts, and the button that starts or stops it."""
    left, button = st.columns([4, 1], vertical_alignment="center")
    reading = text_study.is_reading()
    how = {"on_click": text_study.start_reading, "args": (not reading,), "width": "stretch"}
    with button:
        if reading:
            stop_button("stop-reading", **how)
        else:
            label = "Study this run" if text_study.run_chosen() else "Trace these texts"
            st.button(label, key="read-texts", type="primary", **how)
    if reading:
        bar = left.progress(0.0)
        text_study.read_texts(lambda share, message: bar.progress(share, text=literal(message)))
        st.rerun()  # the whole page: the frame's export button may be enabled now
    if text_study.run_chosen():
        run = literal(run_choice.run_name())
        left.caption(
            f"The run “{run}” of the page Atlas, and the sources and columns that its filter there leaves. Not yet "
            "studied: this takes a minute or two."
        )
        return
    name, count = literal(text_study.name_of_texts()), text_study.number_of_texts()
    left.caption(f"{name}: {how_many(count, 'text')}, not yet traced for this page.")


def _what_was_read(study: Study) -> None:
    """A caption on the number of texts and tokens, and on intervals and p values."""
    texts = f"{how_many(study.texts, 'text')} of {literal(study.name)}"
    if text_study.run_chosen():
        count = f"{how_many(study.texts, 'text')} of the run “{literal(study.name)}”"
    else:
        count = texts if text_study.own_list_chosen() else f"{study.texts} sample texts"
    read = f"The numbers come from {count} ({how_many(study.tokens, 'token')}), not from the text above."
    if study.texts == 1:
        how = (
            "A single text allows no interval and no p value: its tokens depend on each other, and it does not show "
            "how much other texts would differ."
        )
    elif study.texts < FEWEST_TEXTS:
        how = (
            f"Fewer than {FEWEST_TEXTS} texts allow no interval and no p value: they say too little about how much "
            "other texts would differ, and the tokens of one text depend on each other."
        )
    else:
        how = (
            "The tokens of one text depend on each other, so texts are the unit. The 95% intervals come from "
            "leaving out one text at a time. The chance level comes from reversing the routing within texts or "
            "exchanging it between texts at equal positions."
        )
    st.caption(f"{read} {how}")
    for sentence in study.told:
        st.caption(literal(sentence))
    if repeats := repeats_told(study):
        st.caption(literal(repeats))
