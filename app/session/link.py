"""Links to a view: open a session from the address, write the view into it, and follow Back and Forward."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app.server.captures import trace_of
from app.server.trace_files import served_trace
from app.session import comparing, kept_choices, own_texts, pending
from app.session.intervened import chosen_interventions, fitting, put
from app.session.state import (
    MODEL_KEY,
    NO_MODEL,
    PICKED_KEY,
    TYPED_KEY,
    current_trace,
    is_automatic,
    model_and_text,
    model_names,
    readable_prompt,
    show_file,
    tell_problem,
    trace_file,
    why_refused,
)
from app.texts.examples import DEFAULT_EXAMPLE, EXAMPLES, NAMED
from app.texts.prompts import Prompt, PromptError, opening, typed_prompt
from app.texts.text_link import text_from_link
from app.texts.what_if_link import from_link, to_link
from hooks.trace import RoutingTrace

TRACE_VARIABLE = "VERSATILEFFN_TRACE"
"""Environment variable with a trace file that every session opens, set by whoever starts the server."""
TEXT_ELSEWHERE = (
    "This address names a text that is not in this tab, because typed texts stay in the tab where they were typed. "
    "Whoever typed it can send you a link with the text: Export, Copy link with my text."
)
FILE_CLOSED = "The trace file of this address is not open here. To open it, click the text button and choose File."
LINK, LINKED, ADDRESS = "link_written", "linked_text", "address_to_replace"
WHAT_IF = "what_if"
"""Name of the interventions in an address."""


def begin_session() -> None:
    """Set up a new session from the link that it was opened with; do nothing in later runs."""
    if "prompt" in st.session_state:
        return
    link = st.query_params.to_dict()
    st.session_state.problem = None
    if choices := link.get("choices"):
        kept_choices.choose_as_in_link(choices)
    told = st.session_state.problem
    if (path := _served()) and not _names_a_text(link):
        _show_served(path, link)
    elif not model_names():
        st.error(NO_MODEL)
        st.stop()
    else:
        _open(link)
    if told:
        tell_problem(" ".join(filter(None, (told, st.session_state.problem))), kept=False)


def follow_history() -> None:
    """After Back or Forward: have the view of the address shown again, by `pending.do`."""
    # Only this flag tells the visitor's Back from a click that was sent before the address of the last one arrived.
    if get_script_run_ctx().is_history_navigation and LINK in st.session_state:
        pending.callback(partial(_return_to, st.query_params.to_dict()))()


def write_link() -> None:
    """Put model, text, layer and token into the address, so that it can be shared and returned to.

    A text of the visitor's own is named by a number that means something in this tab alone, unless the session was
    opened with a link that holds it.
    """
    state = st.session_state
    link = {"layer": str(state.layer), "token": str(state.token)}
    if trace_file() is not None:
        link |= {"file": str(state.file_number)} if state.file_number else {}
    else:
        link["model"] = state[MODEL_KEY]
        link |= _name_of_text(state.prompt)
        link |= {WHAT_IF: to_link(chosen)} if (chosen := chosen_interventions()) else {}
        link |= {comparing.LINK_KEY: beside} if (beside := comparing.to_link()) else {}
    opened, state[LINK] = LINK not in state, link
    if link == st.query_params.to_dict():
        return
    if opened:
        state[ADDRESS] = urlencode(link)  # what a session opens with is no step that Back could undo
    else:
        st.query_params.from_dict(link)


def address_to_replace() -> str | None:
    """The query that the browser is to put in place of the one that the session was opened with; once."""
    return st.session_state.pop(ADDRESS, None)


def _name_of_text(prompt: Prompt) -> dict[str, str]:
    if prompt.example:
        return {"example": prompt.example}
    if is_automatic(prompt):
        return {}
    text, value = st.session_state.get(LINKED, (None, None))
    return {"text": value} if prompt.text == text else {"own": str(own_texts.number_of(prompt))}


def _return_to(link: Mapping[str, str]) -> None:
    """Show the view of an address of this session again."""
    state, shown = st.session_state, st.session_state[LINK]
    if "layer" not in link:  # the path of a page that was left before its query was written
        return
    state.problem = None
    if "file" in link and (trace_file() is None or link["file"] != str(state.file_number)):
        tell_problem(FILE_CLOSED, kept=False)
    elif _text_and_model(link) == _text_and_model(shown):
        state.layer, state.token = _number(link.get("layer")), _number(link.get("token"))
        told: list[str] = []
        _take_interventions(link, told)
        comparing.take_from_link(link.get(comparing.LINK_KEY), told)
        if told:
            tell_problem(" ".join(told), kept=False)
    elif (path := _served()) and not _names_a_text(link):
        _show_served(path, link)
    else:
        _open(link)
        state[TYPED_KEY] = state.prompt.text


def _open(link: Mapping[str, str]) -> None:
    """Show the model, text, layer and token of a link, and tell what of it is not there."""
    state, names, told = st.session_state, model_names(), []
    model, text = link.get("model") or names[0], link.get("text")
    prompt = _prompt(link, told)
    elsewhere = {"token"} if told else set()  # what the link counts in a text or a model that is not there
    if model not in names:
        told.insert(0, f"This server has no model {opening(model)}; {names[0]} is shown.")
        model = names[0]
        elsewhere = {"layer", "token"}
    try:
        prompt = readable_prompt(model, prompt)
        trace_of(model, prompt.text)
    except ValueError as error:
        if isinstance(error, PromptError) and text:  # more tokens than the limit
            prompt = EXAMPLES[DEFAULT_EXAMPLE]
            told.append(str(error))
            elsewhere |= {"token"}
        elif model == names[0]:
            raise
        else:
            told.append(why_refused(model, error))
            model = names[0]
            elsewhere = {"layer", "token"}
    link = {name: value for name, value in link.items() if name not in elsewhere}
    state[MODEL_KEY] = state[PICKED_KEY] = model
    state.prompt, state.trace_file, state.problem = prompt, None, None
    state.layer, state.token = _number(link.get("layer")), _number(link.get("token"))
    if text and not prompt.example:
        state[LINKED] = prompt.text, text
    _take_interventions(link, told)
    comparing.take_from_link(link.get(comparing.LINK_KEY), told)
    told += _beyond(link, current_trace())
    if told:
        tell_problem(" ".join(told), kept=False)


def _take_interventions(link: Mapping[str, str], told: list[str]) -> None:
    """Make the interventions of a link the visitor's; none, and a sentence added to `told`, if that cannot be."""
    value, found = link.get(WHAT_IF), ()
    try:
        found = from_link(value) if value else ()
        trace_of(*model_and_text(), fitting(found, *model_and_text()))
    except ValueError as error:
        found = ()
        told.append(why_refused(st.session_state[MODEL_KEY], error))
    put(found)


def _prompt(link: Mapping[str, str], told: list[str]) -> Prompt:
    """The text of a link; the example, and a sentence added to `told`, if it is not there."""
    if value := link.get("text"):
        try:
            return typed_prompt(text_from_link(value))
        except PromptError as error:
            told.append(str(error))
    if number := link.get("own"):
        if found := own_texts.text_number(number):
            return found
        told.append(TEXT_ELSEWHERE)
    if "file" in link:
        told.append(FILE_CLOSED)
    example = link.get("example") or DEFAULT_EXAMPLE
    prompt = NAMED.get(example, EXAMPLES[DEFAULT_EXAMPLE])
    if example not in NAMED:
        told.append(f"There is no example {opening(example)}; {prompt.name} is shown.")
    return prompt


def _show_served(path: Path, link: Mapping[str, str]) -> None:
    """Show the trace file of whoever started the server."""
    state, names = st.session_state, model_names()
    if state.get(MODEL_KEY) is None:
        state[MODEL_KEY] = state[PICKED_KEY] = names[0] if names else None
    show_file(path.name, served_trace(path), uploaded=False)
    state.layer, state.token = _number(link.get("layer")), _number(link.get("token"))


def _served() -> Path | None:
    path = os.environ.get(TRACE_VARIABLE)
    return Path(path) if path else None


def _names_a_text(link: Mapping[str, str]) -> bool:
    return bool(link.keys() & {"example", "text", "own", "file"})


def _text_and_model(link: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in link.items() if key in ("example", "text", "own", "file", "model")}


def _beyond(link: Mapping[str, str], trace: RoutingTrace) -> list[str]:
    """One sentence for each of the link's layer and token that this trace does not have."""
    told = []
    for what, count in (("layer", trace.num_layers), ("token", trace.num_tokens)):
        asked = link.get(what) or "0"
        number = _number(asked)
        if number is None or number >= count:
            told.append(f"There is no {what} {opening(asked)} here, only 0 to {count - 1}; another one is selected.")
    return told


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 10 else None
