"""The text button: type a text, pick an example, or upload a file of prompts and pick one of them."""

import re

import streamlit as st

from app import state
from app.examples import EXAMPLES
from app.prompts import (
    FILE_TYPES,
    MAX_CHARACTERS,
    MAX_FILE_MB,
    MAX_PROMPTS,
    PromptError,
    has_paragraphs,
    read_prompt_file,
    typed_prompt,
)


def prompt_picker(num_tokens: int) -> None:
    """A popover labelled with the current prompt. A text that cannot be traced leaves the current one in place."""
    prompt = state.current_prompt()
    with st.popover(
        f"{_literal(prompt.name)}, {num_tokens:,} tokens", icon=":material/edit_note:", key="picker", on_change="rerun"
    ):
        way = st.segmented_control(
            "Where the text comes from",
            ["Type", "Examples", "File"],
            default="Type",
            required=True,
            key="way",
            label_visibility="collapsed",
            persist_state="session",
        )
        {"Type": _type, "Examples": _examples, "File": _file}[way]()


def _literal(text: str) -> str:
    """Text as Markdown that shows it as it is: labels of buttons are Markdown."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!$:|~<>&^])", r"\\\1", text)


def _close() -> None:
    st.session_state.picker = False


def _type() -> None:
    if "typed" not in st.session_state:
        st.session_state.typed = state.current_prompt().text
    st.text_area(
        "Text to trace",
        key="typed",
        height=150,
        label_visibility="collapsed",
        placeholder=f"Type or paste up to {MAX_CHARACTERS:,} characters",
        persist_state="session",
    )
    bar = st.container(horizontal=True, vertical_alignment="center")
    bar.caption(
        f"Limit {MAX_CHARACTERS:,} characters; a click on Trace runs the model once. Nothing leaves this machine."
    )
    bar.button("Trace", type="primary", on_click=_submit_typed)


def _submit_typed() -> None:
    try:
        prompt = typed_prompt(st.session_state.typed)
    except PromptError as error:
        st.session_state.problem = str(error)
    else:
        state.submit(prompt)
    _close()


def _examples() -> None:
    for key, prompt in EXAMPLES.items():
        st.button(prompt.name, key=f"example-{key}", width="stretch", on_click=_submit, args=(prompt,))


def _submit(prompt) -> None:
    if state.submit(prompt):
        st.session_state.typed = prompt.text
    _close()


def _file() -> None:
    upload = st.file_uploader(
        f"A file of prompts: txt (one per line) or jsonl (field text or prompt), up to {MAX_FILE_MB} MB and "
        f"{MAX_PROMPTS} prompts of {MAX_CHARACTERS:,} characters",
        type=list(FILE_TYPES),
        max_upload_size=MAX_FILE_MB,
        key="upload",
    )
    if upload is None:
        return
    data = upload.getvalue()
    by_paragraph = has_paragraphs(upload.name, data)
    if by_paragraph:
        by_paragraph = st.toggle("One prompt per paragraph instead of per line", key="by_paragraph")
    try:
        found = read_prompt_file(upload.name, data, paragraphs=by_paragraph)
    except PromptError as error:
        _told(f"{error} What you had is kept.")
        return
    for problem in found.problems[:3]:
        _told(problem)
    if found.problems:
        more = f" {len(found.problems) - 3} more problems are not shown." if len(found.problems) > 3 else ""
        _told(f"The other {len(found.prompts)} prompts can be used.{more}")
    chosen = st.selectbox(
        f"{len(found.prompts)} prompts: choose one",
        range(len(found.prompts)),
        format_func=lambda i: f"{found.prompts[i].name}: {found.prompts[i].text[:60]}",
        key="chosen_prompt",
    )
    st.button("Trace", type="primary", key="trace_file", on_click=_submit, args=(found.prompts[chosen],))


def _told(problem: str) -> None:
    with st.container(border=True):
        st.text(problem)
