"""The session of one reader: model, prompt and selection, and the last problem to be told."""

import numpy as np
import streamlit as st

from analysis.models.facts import ModelFacts
from analysis.models.facts import model_facts as facts_of
from analysis.view import Level, View, window_around
from analysis.words.words import same_place
from app.server import captures, models, waiting
from app.server.uploads import trace_of_upload
from app.texts.examples import DEFAULT_EXAMPLE, EXAMPLES, shipped_trace
from app.texts.prompts import Prompt, PromptError, opening
from hooks.trace import RoutingTrace

MODEL_KEY, PICKED_KEY = "model", "picked_model"
TYPED_KEY, PICKER_KEY = "typed", "picker"
OPENING = (8, 64)
"""Where the token that is selected first is looked for: seen when the text opens, yet with something before it."""
EXAMPLE_IDS = 24
"""Token ids shown first by a model without a tokenizer, spread evenly over its vocabulary."""
NO_MODEL = "No model was found: restore sample_models/checkpoints, or name a folder with `serve --models`."


def model_names() -> list[str]:
    """Models to choose from, the default first."""
    return list(models.folders())


def choose_model() -> None:
    """Make the model picked in the sidebar the current one. If it cannot be loaded, say why and keep the one before.

    The selection stays at its place in the text, where the models cut it into other tokens. A model without a tokenizer
    cannot read most texts: then the prompt becomes a row of token ids.
    """
    state, before = st.session_state, current_trace()
    picked = state[PICKED_KEY]
    try:
        prompt = readable(picked, state.prompt)
        after = captures.trace_of(picked, prompt.text)
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
        with waiting.in_turn_to_read():
            trace = trace_of_upload(name, data, while_waiting=waiting.stop_if_left)
    except ValueError as error:
        st.session_state.problem = str(error).removesuffix(".") + "."
        return
    show_file(name, trace)
    st.session_state.typed = st.session_state.prompt.text


def close_trace() -> None:
    """Back from a trace file to the prompt before it."""
    state = st.session_state
    state.prompt, state.trace_file, state.token, state.problem = state.prompt_before, None, None, None


def show_file(name: str, trace: RoutingTrace) -> None:
    """Make a trace file what every page shows."""
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
    return captures.trace_of(st.session_state[MODEL_KEY], st.session_state.prompt.text)


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
        captures.trace_of(state[MODEL_KEY], prompt.text)
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


def readable(model: str, prompt: Prompt) -> Prompt:
    """The prompt, or a row of token ids for a model without a tokenizer that cannot read it."""
    if shipped_trace(models.folders()[model], prompt.text):
        return prompt
    loaded = models.loaded_model(model)
    if not loaded.reads_ids:
        return prompt
    try:
        loaded.tokenizer.check(prompt.text)
    except ValueError:
        size = loaded.config.vocab_size
        ids = range(0, size, max(1, size // EXAMPLE_IDS))
        return Prompt("token ids", " ".join(map(str, ids[:EXAMPLE_IDS])))
    return prompt


def problem() -> str | None:
    """The last problem that is to be told; None if there is none."""
    return st.session_state.problem


def problem_of_link() -> bool:
    """Whether the problem is that the link asked for what is not there."""
    return st.session_state.problem == st.session_state.get("problem_of_link")


def tell_problem(text: str) -> None:
    """Have a problem told above the page until the reader dismisses it."""
    st.session_state.problem = text


def dismiss_problem() -> None:
    """The reader has read the problem."""
    st.session_state.problem = None


def typed_text() -> str:
    """What stands where texts are typed; the current text until something else is typed."""
    if TYPED_KEY not in st.session_state:
        st.session_state[TYPED_KEY] = current_prompt().text
    return st.session_state[TYPED_KEY]


def picker_open() -> bool:
    """Whether the text button is open."""
    return st.session_state.get(PICKER_KEY, False)


def close_picker() -> None:
    """Close the text button."""
    st.session_state[PICKER_KEY] = False


def why_refused(model: str, error: ValueError) -> str:
    """Why a model or a text was refused, for a visitor: the server's folders are named by the model's name only."""
    return str(error).replace(str(models.folders()[model]), model).removesuffix(".") + "."
