"""The text button: type or paste texts, pick an example, or upload a file of prompts."""

from collections.abc import Callable
from functools import partial

import streamlit as st

from analysis.words import labels
from analysis.words.labels import how_many
from app.frame.keeping import forget_button
from app.limits import MAX_CHARACTERS, MAX_FILE_MB, MAX_PROMPTS, MAX_TOKENS
from app.parts.file_cut import choose_cut
from app.server import models
from app.server.uploads import MAX_TRACE_MB
from app.session import pending, prompt_list, state
from app.session.navigation import page_named
from app.texts.examples import EXAMPLES, LOOK_FOR
from app.texts.markdown import literal
from app.texts.prompt_columns import ColumnNeeded
from app.texts.prompt_files import FILE_TYPES, TEXT_TYPES, PromptList, read_prompt_text
from app.texts.prompts import PromptError, opening, typed_prompt

PASTED = {"one": "One text", "line": "One prompt per line", "paragraph": "One prompt per paragraph"}


def prompt_picker(num_tokens: int) -> None:
    """A popover labelled with the current prompt. A text that cannot be traced leaves the current one in place."""
    prompt = state.current_prompt()
    name = f"{literal(labels.isolated(prompt.name))}, {how_many(num_tokens, 'token')}"
    with st.popover(name, icon=":material/edit_note:", key=state.PICKER_KEY, on_change="rerun"):
        if state.picker_open():
            models.warm_up()
        way = st.segmented_control(
            "Where the text comes from",
            ["Type", "Examples", "File"],
            default="Type",
            required=True,
            key="way",
            label_visibility="collapsed",
            persist_state="session",
        )
        if way != "File":
            prompt_list.forget_upload()
        {"Type": _type, "Examples": _examples, "File": _file}[way]()
        forget_button()


def _type() -> None:
    state.typed_text()  # before the field is drawn: there it begins with the current text
    st.text_area(
        "Text to trace",
        key=state.TYPED_KEY,
        height=150,
        label_visibility="collapsed",
        placeholder=f"Type or paste up to {MAX_CHARACTERS:,} characters",
        persist_state="session",
    )
    per = st.segmented_control(
        "The typed text is",
        list(PASTED),
        default="one",
        required=True,
        format_func=PASTED.get,
        key="pasted_per",
        label_visibility="collapsed",
        persist_state="session",
    )
    if per != "one":
        _prompts("typed", lambda: read_prompt_text("The pasted list", state.typed_text(), per=per))
        return
    bar = st.container(horizontal=True, vertical_alignment="center")
    bar.caption(
        f"Up to {MAX_CHARACTERS:,} characters. **Trace** runs the model once on the machine that serves this page."
    )
    chat = state.chat_is_offered() and bar.toggle(
        "As a chat message",
        key=state.CHAT_KEY,
        help="Puts the text into this model's chat template, as what a user says to it, and traces all of that up to "
        "where the model's answer would begin.",
        persist_state="session",
    )
    bar.button("Trace", type="primary", on_click=_ask, args=(pending.callback(partial(_trace_typed, chat)),))


def _ask(note: Callable[[], None]) -> None:
    note()
    state.close_picker()


def _trace_typed(chat: bool) -> None:
    try:
        prompt = typed_prompt(state.typed_text())
        prompt = state.in_chat(prompt) if chat else prompt
    except (PromptError, models.ModelError) as error:
        state.tell_problem(str(error))
    else:
        state.submit(prompt)


def _examples() -> None:
    for key, prompt in EXAMPLES.items():
        st.button(
            prompt.name,
            key=f"example-{key}",
            width="stretch",
            on_click=_ask,
            args=(pending.callback(partial(state.show, prompt)),),
        )
        st.caption(literal(LOOK_FOR[key]))


def _file() -> None:
    upload = st.file_uploader(
        f"A list of up to {MAX_PROMPTS:,} prompts ({MAX_FILE_MB} MB), or a trace file",
        type=[*FILE_TYPES, "safetensors"],
        max_upload_size=MAX_TRACE_MB,
        key="upload",
        help="txt and md: one prompt per line, paragraph or file. jsonl: one string or object per line. csv: the first "
        "line names the columns. parquet: one prompt per row. Other columns, such as a category, stay with the "
        f"prompts, to compare groups. A prompt has up to {MAX_CHARACTERS:,} characters. A trace file is a "
        ".trace.safetensors, up to "
        f"{MAX_TRACE_MB} MB and {MAX_TOKENS:,} tokens.",
    )
    if upload is None:
        prompt_list.forget_upload()
        return
    if upload.name.lower().endswith(".safetensors"):
        args = (pending.callback(partial(state.open_trace, upload.name, upload.getvalue())),)
        st.button("Open the trace file", type="primary", key="open-trace", on_click=_ask, args=args)
    else:
        read = partial(prompt_list.read_upload, upload.file_id, upload.name, upload.getvalue())
        _prompts("file", lambda: _read(upload.name, read))


def _read(name: str, read: Callable[..., PromptList]) -> PromptList:
    """The prompts of an uploaded file, as the reader wants them cut or from the columns that the reader chose."""
    kind = name.rpartition(".")[2].lower()
    if kind in TEXT_TYPES:
        return read(per=choose_cut(kind, "per"))
    needed = columns = None
    try:
        found = read()
    except ColumnNeeded as error:
        needed, names, index = error, error.names, None
    else:
        if (columns := found.columns) is None or len(columns.names) == 1:
            return found
        names, index = columns.names, columns.names.index(columns.text)
    left, right = st.columns(2)
    text = left.selectbox("Text", names, index=index, placeholder="Choose the column", key=f"text of {name}")
    ids = ["", *(each for each in names if each != text)]
    called = right.selectbox(
        "Name",
        ids,
        index=ids.index(columns.id) if columns and columns.id in ids else 0,
        format_func=lambda column: column or "row number",
        key=f"id of {name}",
    )
    if needed and text is None:
        raise needed
    if columns and (text, called or None) == (columns.text, columns.id):
        return found
    return read(text_column=text, id_column=called)


def _prompts(where: str, read: Callable[[], PromptList]) -> None:
    """What a file or a pasted list holds: what cannot be used of it, and a choice among the rest."""
    try:
        found = read()
    except PromptError as error:
        _told(f"{error} Nothing has changed.")
        return
    for problem in [*found.notes, *found.problems[:3]]:
        _told(problem)
    if found.problems:
        more = f" {len(found.problems) - 3} more problems are not shown." if len(found.problems) > 3 else ""
        _told(f"You can use the other {len(found.prompts)} prompts.{more}")
    labels = [f"{prompt.name}: {opening(prompt.text, 60)}" for prompt in found.prompts]
    chosen = st.selectbox(
        f"{how_many(len(labels), 'prompt')}: choose one",
        range(len(labels)),
        format_func=labels.__getitem__,
        key=f"chosen-{where} {hash(tuple(labels))}",  # for other prompts another field: this one keeps its words
    )
    if groups := prompt_list.groupings(found):
        st.caption(literal(f"Compare all shows the prompts in groups, by {' or '.join(groups)}."))
    with st.container(horizontal=True):
        args = (pending.callback(partial(state.show, found.prompts[chosen])),)
        st.button("Trace", type="primary", key=f"trace-{where}", on_click=_ask, args=args)
        if st.button(f"Compare all {len(found.prompts):,}", key=f"compare-{where}", on_click=_take, args=(found,)):
            st.switch_page(page_named("Prompts"))


def _take(found: PromptList) -> None:
    prompt_list.take_list(found)
    prompt_list.trace_list(state.why_no_model() is None)
    state.close_picker()


def _told(problem: str) -> None:
    with st.container(border=True):
        st.text(problem)
