"""The session of one reader: model, prompt, selection and link, and the last problem to be told.

Only this module and its neighbours `results`, `drawings`, `prompt_list`, `text_study` and `pending` know the names in
`st.session_state`.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import streamlit as st

from analysis.model_facts import ModelFacts
from analysis.model_facts import model_facts as facts_of
from analysis.view import Level, View, window_around
from analysis.words import same_place
from app import shared
from app.examples import DEFAULT_EXAMPLE, EXAMPLES, shipped_trace
from app.prompts import Prompt, PromptError, opening, typed_prompt
from app.text_link import text_from_link
from app.trace_files import served_trace, showable
from hooks.trace import RoutingTrace

MODEL_KEY, PICKED_KEY = "model", "picked_model"
OPENING = (8, 64)
"""Where the token that is selected first is looked for: seen when the text opens, yet with something before it."""
EXAMPLE_IDS = 24
"""Token ids shown first by a model without a tokenizer, spread evenly over its vocabulary."""
TRACE_VARIABLE = "VERSATILEFFN_TRACE"
"""Environment variable with a trace file that every session opens with, set by whoever starts the server."""
NO_MODEL = "No model was found: restore sample_models/checkpoints, or name a folder with `serve --models`."


def begin_session() -> None:
    """Fill a new session from the link it was opened with; afterwards do nothing."""
    state = st.session_state
    if "prompt" in state:
        return
    names, link = model_names(), st.query_params
    state.layer, state.token, state.problem = _number(link.get("layer")), _number(link.get("token")), None
    if path := os.environ.get(TRACE_VARIABLE):
        state[MODEL_KEY] = state[PICKED_KEY] = names[0] if names else None
        _show_file(Path(path).name, served_trace(Path(path)))
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
        prompt = _readable(model, prompt)
        shared.trace_of(model, prompt.text)
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

    A text or a trace file of the reader's own stays out of it, and with it the token, which would point into another
    text.
    """
    state = st.session_state
    link = {"layer": str(state.layer)}
    if trace_file() is None:
        link["model"] = state[MODEL_KEY]
    if state.prompt.example:
        link |= {"example": state.prompt.example, "token": str(state.token)}
    if link != st.query_params.to_dict():
        st.query_params.from_dict(link)


def model_names() -> list[str]:
    """Models to choose from, the default first."""
    return list(shared.folders())


def choose_model() -> None:
    """Make the model picked in the sidebar the current one. If it cannot be loaded, say why and keep the one before.

    The selection stays at its place in the text, where the models cut it into other tokens. A model without a tokenizer
    cannot read most texts: then the prompt becomes a row of token ids.
    """
    state, before = st.session_state, current_trace()
    picked = state[PICKED_KEY]
    try:
        prompt = _readable(picked, state.prompt)
        after = shared.trace_of(picked, prompt.text)
    except ValueError as error:
        state.problem = why_refused(picked, error)
        state[PICKED_KEY] = state[MODEL_KEY]
        return
    if prompt is not state.prompt:
        state.prompt, state.token, state.typed = prompt, None, prompt.text
    elif state.token is not None:
        state.token = same_place(before, state.token, after)
    state[MODEL_KEY], state.problem = picked, None
    clamp_selection()


def model_facts() -> ModelFacts:
    """Facts about the model of the current trace."""
    return facts_of(current_trace())


def trace_file() -> RoutingTrace | None:
    """The trace file that the reader opened; None while a model's own traces are shown."""
    return st.session_state.get("trace_file")


def without_model() -> str | None:
    """Why nothing that runs the model can be done now; None if it can."""
    if trace_file() is None:
        return None
    return "A trace file is open: it holds what a model did, not the model. Close it in the sidebar to run one."


def open_trace(name: str, data: bytes) -> None:
    """Show a trace file in the whole explorer. If it cannot be shown, say why and keep what was there."""
    try:
        trace = showable(RoutingTrace.from_bytes(data, name=opening(name, 40)))
    except ValueError as error:
        st.session_state.problem = str(error).removesuffix(".") + "."
        return
    _show_file(name, trace)
    st.session_state.typed = st.session_state.prompt.text


def close_trace() -> None:
    """Back from a trace file to the prompt before it."""
    state = st.session_state
    state.prompt, state.trace_file, state.token, state.problem = state.prompt_before, None, None, None


def _show_file(name: str, trace: RoutingTrace) -> None:
    state = st.session_state
    if trace_file() is None:
        state.prompt_before = state.get("prompt", EXAMPLES[DEFAULT_EXAMPLE])
    state.prompt = Prompt(
        opening(name.removesuffix(".safetensors").removesuffix(".trace")), trace.meta.get("text") or ""
    )
    state.trace_file, state.token, state.problem = trace, None, None


def current_prompt() -> Prompt:
    return st.session_state.prompt


def model_and_text() -> tuple[str, str]:
    """Name of the current model and the current text: what most things are captured for."""
    return st.session_state[MODEL_KEY], st.session_state.prompt.text


def current_trace() -> RoutingTrace:
    """The trace file that is open, or the trace of the current prompt: the model runs once per text."""
    if (opened := trace_file()) is not None:
        return opened
    return shared.trace_of(st.session_state[MODEL_KEY], st.session_state.prompt.text)


def current_view() -> View:
    """What is selected, as figures want it: layer, token, window of a long text, theme."""
    state, trace = st.session_state, current_trace()
    return View(
        layer=state.layer,
        token=state.token,
        window=window_around(state.token, trace.num_tokens),
        theme=st.context.theme.type or "light",
        level=state.get("level", "token"),
        checkpoint=state.get("checkpoint"),
    )


def show_level(level: Level) -> None:
    """Show the text, and the maps that can, by tokens or by words. What is selected stays a token."""
    st.session_state.level = level


def clamp_selection() -> None:
    """Keep the selection inside the current trace; without one, select the token of `OPENING` with the most loops."""
    state, trace = st.session_state, current_trace()
    if state.layer is None:
        state.layer = trace.num_layers // 2
    if state.token is None:
        first, end = min(OPENING[0], trace.num_tokens // 2), OPENING[1]
        state.token = first + int(np.where(trace.special, 0, trace.loops.mean(axis=0))[first:end].argmax())
    state.layer = min(max(state.layer, 0), trace.num_layers - 1)
    state.token = min(max(state.token, 0), trace.num_tokens - 1)


def select(*, layer: int | None = None, token: int | None = None) -> None:
    """Select a layer, a token or both, for every view."""
    if layer is not None:
        st.session_state.layer = int(layer)
    if token is not None:
        st.session_state.token = int(token)
    clamp_selection()


def submit(prompt: Prompt) -> bool:
    """Make a prompt the current one. If it cannot be traced, say why and keep what was there."""
    state = st.session_state
    try:
        if state[MODEL_KEY] is None:
            raise PromptError(NO_MODEL)
        shared.trace_of(state[MODEL_KEY], prompt.text)
    except PromptError as error:
        state.problem = str(error)
        return False
    state.prompt, state.trace_file, state.token, state.problem = prompt, None, None, None
    clamp_selection()
    return True


def show(prompt: Prompt) -> None:
    """`submit` a prompt that was not typed: then it stands where texts are typed, too."""
    if submit(prompt):
        st.session_state.typed = prompt.text


def _readable(model: str, prompt: Prompt) -> Prompt:
    """The prompt, or a row of token ids for a model without a tokenizer that cannot read it."""
    if shipped_trace(shared.folders()[model], prompt.text):
        return prompt
    loaded = shared.loaded_model(model)
    if not loaded.reads_ids:
        return prompt
    try:
        loaded.tokenizer.check(prompt.text)
    except ValueError:
        size = loaded.config.vocab_size
        ids = range(0, size, max(1, size // EXAMPLE_IDS))
        return Prompt("token ids", " ".join(map(str, ids[:EXAMPLE_IDS])))
    return prompt


def why_refused(model: str, error: ValueError) -> str:
    """Why a model or a text was refused, for a visitor: the server's folders are named by the model's name only."""
    return str(error).replace(str(shared.folders()[model]), model).removesuffix(".") + "."


def _beyond(link: Mapping[str, str], trace: RoutingTrace) -> list[str]:
    """What of a link's layer and token this trace does not have, a sentence each."""
    told = []
    for what, count in (("layer", trace.num_layers), ("token", trace.num_tokens)):
        asked = link.get(what) or "0"
        number = _number(asked)
        if number is None or number >= count:
            told.append(f"There is no {what} {opening(asked)} here, only 0 to {count - 1}; another one is selected.")
    return told


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 10 else None
