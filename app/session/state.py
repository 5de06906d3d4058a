"""One visitor's model, prompt, selected layer and token, and the problem shown above the page."""

import numpy as np
import streamlit as st

from analysis.models.facts import ModelFacts
from analysis.models.facts import model_facts as facts_of
from analysis.view import Level, View, window_around
from analysis.words.words import same_place
from app.server import captures, models, queues
from app.server.uploads import trace_of_upload
from app.session import generated_texts
from app.session.intervened import Interventions, chosen_interventions, fitting, trace_under_them
from app.texts.examples import DEFAULT_EXAMPLE, EXAMPLES, shipped_trace
from app.texts.prompts import Prompt, PromptError, check_text, opening
from hooks.trace import RoutingTrace

MODEL_KEY, PICKED_KEY = "model", "picked_model"
TYPED_KEY, PICKER_KEY = "typed", "picker"
CHAT_KEY = "as_chat"
FIRST_SELECTION = (8, 64)
"""Token range in which the first selection is made: visible when a text opens, yet with some context before it."""
EXAMPLE_IDS = 24
"""Number of token ids in the first text of a model without a tokenizer, spread evenly over its vocabulary."""
_OF_TEXTS = (
    *("linked_text", "exported", "upload_read", "half_precision_of", "removed_of", "training_read", "faithfulness_of"),
    *("ffn_times", "study_tracing", "list_study", "list_studied", "umap_maps", "drawings_of_left_pages"),
    *("token_maps", "map_area", "map_point"),
    *(generated_texts.KEY, "generation", "generate-batches", "generate-prompt", "generate-prompt-of"),
    *("beside", "linked_beside", "compare_typed"),
)
"""Keys in the session of what was made of texts of the visitor's own."""
NO_MODEL = "No model was found. Restore sample_models/checkpoints, or name a folder with `serve --models`."


def model_names() -> list[str]:
    """Models to choose from, the default first; the current one is among them even if its folder is gone."""
    names, current = list(models.folders()), st.session_state.get(MODEL_KEY)
    return names if current is None or current in names else [*names, current]


def choose_model() -> None:
    """Make the model picked in the sidebar the current one. If it cannot be loaded, tell why and keep the former model.

    The selection stays at the same place in the text, although the models may split it into different tokens. For a
    model without a tokenizer, which cannot read most texts, the prompt becomes a row of token ids.
    """
    state = st.session_state
    picked = state[PICKED_KEY]
    try:
        before = current_trace()
    except models.ModelError:  # the model is gone, and so is the selected place in its tokens
        before, state.token = None, None
    try:
        prompt = readable_prompt(picked, state.prompt)
        after = trace_under_them(picked, prompt.text)
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
    """The trace file that is open; None while the traces of a model are shown."""
    return st.session_state.get("trace_file")


def why_no_model() -> str | None:
    """Why no model can be run now; None if one can."""
    if trace_file() is None:
        return None
    return "An open trace file holds what a model did, not the model itself. Close it in the sidebar to run a model."


def open_trace(name: str, data: bytes) -> None:
    """Show an uploaded trace file on all pages. If it cannot be shown, tell why and change nothing."""
    try:
        with queues.upload_turn():
            trace = trace_of_upload(name, data, while_waiting=queues.stop_if_left)
    except ValueError as error:
        st.session_state.problem = str(error).removesuffix(".") + "."
        return
    show_file(name, trace)
    st.session_state.typed = st.session_state.prompt.text


def close_trace() -> None:
    """Close the trace file and show the former prompt again."""
    state = st.session_state
    state.prompt, state.trace_file, state.token, state.problem = state.prompt_before, None, None, None


def show_file(name: str, trace: RoutingTrace, *, uploaded: bool = True) -> None:
    """Show a trace file on all pages. Of those `uploaded` the address names the one that is open by its number."""
    state = st.session_state
    state.files_opened = state.get("files_opened", 0) + uploaded
    state.file_number = state.files_opened if uploaded else 0
    if trace_file() is None:
        state.prompt_before = state.get("prompt", EXAMPLES[DEFAULT_EXAMPLE])
    state.prompt = Prompt(
        opening(name.removesuffix(".safetensors").removesuffix(".trace")), trace.meta.get("text") or ""
    )
    state.trace_file, state.token, state.problem = trace, None, None


def current_prompt() -> Prompt:
    return st.session_state.prompt


def model_and_text() -> tuple[str, str]:
    """Name of the current model and the current text: the key of most captures."""
    return st.session_state[MODEL_KEY], st.session_state.prompt.text


def current_trace() -> RoutingTrace:
    """The trace file that is open, or else the trace of the current prompt under the visitor's interventions."""
    if (opened := trace_file()) is not None:
        return opened
    model, text = model_and_text()
    return generated_texts.told_of(model, text, captures.trace_of(model, text, interventions()))


def interventions() -> Interventions:
    """The visitor's interventions that fit the current text, under which all pages show it; none in a trace file."""
    return () if trace_file() is not None else fitting(chosen_interventions(), *model_and_text())


def current_view() -> View:
    """The selection as figures take it: layer, token, window of a long text, theme, level, checkpoint."""
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
    """Show the text, and the maps that can, by tokens or by words. The selection is always a token."""
    st.session_state.level = level


def clamp_selection() -> None:
    """Clamp the selection to the current trace.

    If none was made: the middle layer, and the token with the most loops within `FIRST_SELECTION`.
    """
    state, trace = st.session_state, current_trace()
    if state.layer is None:
        state.layer = trace.num_layers // 2
    if state.token is None:
        first, end = min(FIRST_SELECTION[0], trace.num_tokens // 2), FIRST_SELECTION[1]
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
    """Make a prompt the current one; return whether it could be traced. If not, tell why and change nothing."""
    state = st.session_state
    try:
        if state[MODEL_KEY] is None:
            raise PromptError(NO_MODEL)
        trace_under_them(state[MODEL_KEY], prompt.text)
    except (PromptError, models.ModelError) as error:
        state.problem = str(error)
        return False
    state.prompt, state.trace_file, state.token, state.problem = prompt, None, None, None
    clamp_selection()
    return True


def chat_is_offered() -> bool:
    """Whether the current model has a chat template that texts can be put into."""
    model = st.session_state[MODEL_KEY]
    return model is not None and trace_file() is None and models.offers_chat(model)


def in_chat(prompt: Prompt) -> Prompt:
    """The prompt as a user's message in the chat template of the current model.

    Raises PromptError if the template cannot be used, or the text becomes too long.
    """
    model = st.session_state[MODEL_KEY]
    loaded = models.loaded_model(model)
    try:
        text = loaded.chat.as_message(prompt.text)
    except ValueError as error:
        raise PromptError(why_refused(model, error)) from error
    return Prompt(prompt.name, check_text(text))


def show(prompt: Prompt) -> None:
    """`submit` a prompt that was not typed, and put its text into the text field."""
    if submit(prompt):
        st.session_state.typed = prompt.text


def forget_text() -> None:
    """Show the example instead of a text of the visitor's own, and forget what was typed, found or exported of it."""
    state, example = st.session_state, EXAMPLES[DEFAULT_EXAMPLE]
    for key in _OF_TEXTS:
        state.pop(key, None)
    state["way"] = "Type"  # without the field for files, which would hold the last one
    if trace_file() is not None:
        state.prompt_before = example
    elif not state.prompt.example:
        show(readable_prompt(state[MODEL_KEY], example))
    state[TYPED_KEY] = state.prompt.text


def is_automatic(prompt: Prompt) -> bool:
    """Whether this is the text with which a model without a tokenizer opens, which no link needs to name."""
    return prompt.text == st.session_state.get("automatic_text")


def readable_prompt(model: str, prompt: Prompt) -> Prompt:
    """The prompt, or a row of token ids if the model has no tokenizer and cannot read it."""
    if shipped_trace(models.folder_of(model), prompt.text):
        return prompt
    loaded = models.loaded_model(model)
    if not loaded.reads_ids:
        return prompt
    try:
        loaded.tokenizer.check(prompt.text)
    except ValueError:
        size = loaded.config.vocab_size
        ids = range(0, size, max(1, size // EXAMPLE_IDS))
        automatic = Prompt("token ids", " ".join(map(str, ids[:EXAMPLE_IDS])))
        st.session_state.automatic_text = automatic.text
        return automatic
    return prompt


def begun() -> bool:
    """Whether the session has a model and a text."""
    return "prompt" in st.session_state and PICKED_KEY in st.session_state


def begin_without_trace() -> None:
    """Give a session that could not begin its first model and text, so that another model can be chosen."""
    if begun():
        return
    state, names = st.session_state, model_names()
    state[MODEL_KEY] = state[PICKED_KEY] = names[0]
    state.prompt = EXAMPLES[DEFAULT_EXAMPLE]
    state.layer = state.token = state.problem = None


def problem() -> str | None:
    """The problem to show above the page; None if there is none."""
    return st.session_state.problem


def problem_is_from_link() -> bool:
    """Whether the problem is about the link or the session, and not about something that the visitor has just tried."""
    return st.session_state.problem == st.session_state.get("problem_of_link")


def tell_problem(text: str, *, kept: bool = True) -> None:
    """Show a problem above the page until the visitor dismisses it; `kept` also says that what was there is kept."""
    st.session_state.problem = text
    if not kept:
        st.session_state.problem_of_link = text


def dismiss_problem() -> None:
    """Remove the problem."""
    st.session_state.problem = None


def typed_text() -> str:
    """Content of the text field; the current text until something else is typed."""
    if TYPED_KEY not in st.session_state:
        st.session_state[TYPED_KEY] = current_prompt().text
    return st.session_state[TYPED_KEY]


def picker_open() -> bool:
    """Whether the popover of the text button is open."""
    return st.session_state.get(PICKER_KEY, False)


def close_picker() -> None:
    """Close the popover of the text button."""
    st.session_state[PICKER_KEY] = False


def why_refused(model: str, error: ValueError) -> str:
    """The error as a sentence for the visitor, with the model's name in place of its folder on the server."""
    return str(error).replace(str(models.folders().get(model, model)), model).removesuffix(".") + "."
