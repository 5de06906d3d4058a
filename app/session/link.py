"""Links to a view: open a session from the query of the address, and write the view back into it."""

import os
from collections.abc import Mapping
from pathlib import Path

import streamlit as st

from app.server.captures import trace_of
from app.server.trace_files import served_trace
from app.session.state import (
    MODEL_KEY,
    NO_MODEL,
    PICKED_KEY,
    current_trace,
    model_names,
    readable_prompt,
    show_file,
    trace_file,
    why_refused,
)
from app.texts.examples import DEFAULT_EXAMPLE, EXAMPLES
from app.texts.prompts import PromptError, opening, typed_prompt
from app.texts.text_link import text_from_link
from hooks.trace import RoutingTrace

TRACE_VARIABLE = "VERSATILEFFN_TRACE"
"""Environment variable with a trace file that every session opens, set by whoever starts the server."""


def begin_session() -> None:
    """Set up a new session from the link that it was opened with; do nothing in later runs."""
    state = st.session_state
    if "prompt" in state:
        return
    names, link = model_names(), st.query_params
    state.layer, state.token, state.problem = _number(link.get("layer")), _number(link.get("token")), None
    if path := os.environ.get(TRACE_VARIABLE):
        state[MODEL_KEY] = state[PICKED_KEY] = names[0] if names else None
        show_file(Path(path).name, served_trace(Path(path)))
        return
    if not names:
        st.error(NO_MODEL)
        st.stop()
    model, example, told = link.get("model") or names[0], link.get("example") or DEFAULT_EXAMPLE, []
    prompt = EXAMPLES.get(example, EXAMPLES[DEFAULT_EXAMPLE])
    if model not in names:
        told.append(f"This server has no model {opening(model)}; {names[0]} is shown.")
        model = names[0]
    if example not in EXAMPLES:
        told.append(f"There is no example {opening(example)}; {prompt.name} is shown.")
    if text := link.get("text"):
        try:
            prompt = typed_prompt(text_from_link(text))
        except PromptError as error:
            told.append(str(error))
    try:
        prompt = readable_prompt(model, prompt)
        trace_of(model, prompt.text)
    except ValueError as error:
        if isinstance(error, PromptError) and text:  # more tokens than the limit
            prompt = EXAMPLES[DEFAULT_EXAMPLE]
            told.append(str(error))
        elif model == names[0]:
            raise
        else:
            told.append(why_refused(model, error))
            model = names[0]
    state[MODEL_KEY] = state[PICKED_KEY] = model
    state.prompt = prompt
    told += _beyond(link, current_trace())
    state.problem = state.problem_of_link = " ".join(told) or None


def write_link() -> None:
    """Put model, example, layer and token into the address, so that it can be shared.

    A text or trace file of the visitor's own is left out, and so is its token, which would point into another text.
    """
    state = st.session_state
    link = {"layer": str(state.layer)}
    if trace_file() is None:
        link["model"] = state[MODEL_KEY]
    if state.prompt.example:
        link |= {"example": state.prompt.example, "token": str(state.token)}
    if link != st.query_params.to_dict():
        st.query_params.from_dict(link)


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
