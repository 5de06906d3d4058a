"""Everything the app remembers. Only this module caches, touches models, and knows the names in session and link.

Shared by all sessions: loaded models and traces, both immutable, keyed by content. Per session: the prompt, the
selection (layer, token), the colouring chosen by the reader, and the last problem to be told.
"""

import gc
import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from analysis.attribution import FOLLOWING, LIKELIEST, SECOND, Attribution, attribution, named_targets
from analysis.catalogue import Drawn
from analysis.cost import dense_flops
from analysis.faithfulness import Finding, findings
from analysis.health import Check, health_checks
from analysis.ledger import stream_writes
from analysis.model_facts import ModelFacts
from analysis.model_facts import model_facts as facts_of
from analysis.study import Study, study
from analysis.summary import PromptSummary, prompt_summary
from analysis.training import read_curves
from analysis.view import WINDOW, Level, View, window_around
from app.examples import CHECKED, DEFAULT_EXAMPLE, EXAMPLES, shipped_trace
from app.prompt_files import PromptList
from app.prompts import Prompt, PromptError, check_token_count, opening, typed_prompt
from app.sample_texts import SAMPLE_TEXTS
from app.text_link import text_from_link
from app.turns import Turns
from hooks.attention_trace import AttentionInputs, AttentionTrace, attention_bytes
from hooks.lens_trace import LensTrace
from hooks.path_trace import PathTrace, path_bytes
from hooks.slice_trace import SliceTrace
from hooks.token_text import token_bytes
from hooks.trace import RoutingTrace
from sample_models.registry import CHECKPOINTS, available_models

BATCH_PROMPTS, BATCH_CHARACTERS = 8, 8_000
"""Of a list, traced at a time: between two batches the page shows how far it is, and a stop takes effect."""
PATHS_BYTES = 128 * 2**20
"""Memory that one capture of paths may take: the four kept ones stay below half a gigabyte."""
ATTENTION_BYTES = 128 * 2**20
"""Memory that the queries and keys of one text may take; four texts are kept."""
NOTHING = "nothing"
TARGETS = {"target": LIKELIEST, "against": SECOND}
"""What is explained unless the reader chooses: key in the session -> name of a target."""
MODEL_KEY, PICKED_KEY = "model", "picked_model"
ROOTS_VARIABLE = "VERSATILEFFN_MODELS"
"""Environment variable with more folders of models, set by whoever starts the server; a visitor cannot name paths."""
EXAMPLE_IDS = 24
"""Token ids shown first by a model without a tokenizer, spread evenly over its vocabulary."""
TRACE_VARIABLE = "VERSATILEFFN_TRACE"
"""Environment variable with a trace file that every session opens with, set by whoever starts the server."""
NO_MODEL = "No model was found: restore sample_models/checkpoints, or name a folder with `serve --models`."


@dataclass
class Drawing:
    """A chart in the browser, which stays while only the selection moves."""

    number: int
    """In the chart's layout.meta, so that the browser side knows it."""
    same: tuple
    """What must not change for the chart to stay and be redrawn in place."""
    trace: RoutingTrace
    """Kept so that its id in `same` names no other trace."""
    first: go.Figure
    first_content: str | None = None
    now: str | None = None
    """Plotly JSON that stands there by now, if it ever became another than the first."""


# Shared by all sessions ---------------------------------------------------------------------------------------------


@st.cache_resource(max_entries=3, show_spinner=False)
def _loaded(name: str):
    # torch, transformers and TransformerLens take seconds: not before the first model is needed.
    import hooks.capturing  # noqa: F401
    from sample_models import load_model

    _freeze_libraries()
    return load_model(_folders()[name])


@st.cache_resource(show_spinner=False)
def _freeze_libraries() -> None:
    """Take what the imports made, and what stays for good, out of the garbage collector's sight.

    Streamlit collects garbage after every run and holds up the page's last messages meanwhile: looking through all
    objects of these libraries took 0.3 s for every click.
    """
    gc.collect()
    gc.freeze()


@st.cache_resource(show_spinner=False)
def _turns() -> Turns:
    """The line of all sessions in front of the models."""
    return Turns(places=max(1, (os.cpu_count() or 1) // 4))


@contextmanager
def _in_turn() -> Iterator[None]:
    """A turn at the models; a reader who has to wait is told the place."""

    def tell(ahead: int) -> None:
        st.toast(f"{ahead} {'text' if ahead == 1 else 'texts'} of other visitors before yours…", duration="long")

    with _turns().turn(tell):
        yield


@st.cache_resource(max_entries=48, show_spinner=False)
def _trace(model_name: str, text: str) -> RoutingTrace:
    if shipped := shipped_trace(_folders()[model_name], text):
        return shipped
    from hooks import capture

    loaded = _loaded(model_name)
    _check_length(loaded, text)
    with _turns().turn():
        return capture(loaded, text)


def _check_length(loaded, text: str) -> None:
    """PromptError if a model cannot read a text, or not in one pass."""
    try:
        count = len(loaded.tokenizer(text, verbose=False)["input_ids"])
    except ValueError as error:  # a model without a tokenizer reads token ids only
        raise PromptError(str(error)) from error
    check_token_count(count)


@st.cache_resource(max_entries=1, show_spinner=False)
def _loaded_in_half(name: str):
    import torch

    from sample_models import load_model

    return load_model(_folders()[name], dtype=torch.bfloat16)


@st.cache_resource(max_entries=16, show_spinner=False)
def _half_trace(model_name: str, text: str) -> RoutingTrace:
    from hooks import capture

    with _turns().turn():
        return capture(_loaded_in_half(model_name), text)


@st.cache_resource(max_entries=4, show_spinner=False)
def _paths(model_name: str, text: str, tokens: tuple[int, int]) -> PathTrace:
    from hooks import capture_paths

    with _turns().turn():
        return capture_paths(_loaded(model_name), text, tokens=tokens)


@st.cache_resource(max_entries=4, show_spinner="Reading the sample texts…", show_time=True)
def _study(model_name: str) -> Study:
    from hooks import capture

    with _turns().turn():
        traces = capture(_loaded(model_name), list(SAMPLE_TEXTS))
    return study(traces)


@st.cache_resource(show_spinner=False)
def _health() -> dict[str, list[Check]]:
    """Checks of the models that were checked since the server began, by the digest of their weights."""
    return {}


@st.cache_resource(max_entries=8, show_spinner=False)
def _slices(model_name: str, text: str, tokens: tuple[int, int]) -> SliceTrace:
    from hooks import loop_slices

    return loop_slices(_loaded(model_name), _paths(model_name, text, tokens))


@st.cache_resource(max_entries=32, show_spinner=False)
def _lens(model_name: str, text: str, tokens: tuple[int, int], token: int, target: int) -> LensTrace:
    from hooks import recursion_lens

    paths = _paths(model_name, text, tokens)
    return recursion_lens(_loaded(model_name), paths, token, target)


@st.cache_resource(max_entries=4, show_spinner=False)
def _attention_inputs(model_name: str, text: str) -> AttentionInputs:
    from hooks import capture_attention

    with _turns().turn():
        return capture_attention(_loaded(model_name), text)


@st.cache_resource(max_entries=32, show_spinner=False)
def _attention(model_name: str, text: str, token: int) -> AttentionTrace:
    return _attention_inputs(model_name, text).at(token)


@st.cache_resource(max_entries=16, show_spinner=False)
def _findings(model_name: str, text: str, tokens: tuple[int, int]) -> list[Finding]:
    from hooks import measure_faithfulness

    loaded, paths = _loaded(model_name), _paths(model_name, text, tokens)
    with _turns().turn():
        measured = measure_faithfulness(loaded, text)
    return findings(measured, paths)


def warm_up() -> None:
    """Begin to import what a model needs, in the background, when a reader is about to ask for one."""
    _importing()


def warm() -> bool:
    """Whether the libraries that a model needs have been imported."""
    return "hooks.capturing" in sys.modules


@st.cache_resource(show_spinner=False)
def _importing() -> threading.Thread:
    thread = threading.Thread(target=importlib.import_module, args=("hooks.capturing",), daemon=True)
    thread.start()
    return thread


@st.cache_resource(max_entries=32, show_spinner=False)
def _attribution(
    model_name: str, text: str, tokens: tuple[int, int], token: int, targets: tuple[int, int | None], removed: bool
) -> Attribution:
    from hooks import logit_direction, remove_writes

    loaded, paths = _loaded(model_name), _paths(model_name, text, tokens)
    direction = logit_direction(loaded, paths, token, *targets)
    if not removed:
        return attribution(paths, direction)
    vectors, table = stream_writes(paths, token)
    writes = list(zip(table["layer"].tolist(), table["kind"].tolist(), vectors, strict=True))
    return attribution(paths, direction, remove_writes(loaded, direction, paths.routing.token_ids.tolist(), writes))


# The session ----------------------------------------------------------------------------------------------------------


def begin_session() -> None:
    """Fill a new session from the link it was opened with; afterwards do nothing."""
    state = st.session_state
    if "prompt" in state:
        return
    names, link = model_names(), st.query_params
    state.layer, state.token, state.problem = _number(link.get("layer")), _number(link.get("token")), None
    if path := os.environ.get(TRACE_VARIABLE):
        state[MODEL_KEY] = state[PICKED_KEY] = names[0] if names else None
        _show_file(Path(path).name, RoutingTrace.load(path))
        return
    if not names:
        st.error(NO_MODEL)
        st.stop()
    prompt = EXAMPLES.get(link.get("example", ""), EXAMPLES[DEFAULT_EXAMPLE])
    model, problem = link.get("model", names[0]), None
    if model not in names:
        model, problem = names[0], f"This server has no model {opening(model)}; {names[0]} is shown."
    if link.get("example", DEFAULT_EXAMPLE) not in EXAMPLES:
        problem = f"There is no example {opening(link['example'])}; {prompt.name} is shown."
    if text := link.get("text"):
        try:
            prompt = typed_prompt(text_from_link(text))
        except PromptError as error:
            problem = str(error)
    try:
        prompt = _readable(model, prompt)
        with _in_turn():
            _trace(model, prompt.text)
    except ValueError as error:
        if isinstance(error, PromptError) and text:  # more tokens than one pass takes
            prompt, problem = EXAMPLES[DEFAULT_EXAMPLE], str(error)
        elif model == names[0]:
            raise
        else:
            model, problem = names[0], _told(model, error)
    state[MODEL_KEY] = state[PICKED_KEY] = model
    state.problem, state.prompt = problem, prompt


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
    return list(_folders())


def choose_model() -> None:
    """Make the model picked in the sidebar the current one. If it cannot be loaded, say why and keep the one before.

    A model without a tokenizer cannot read most texts: then the prompt becomes a row of token ids.
    """
    state = st.session_state
    picked = state[PICKED_KEY]
    try:
        prompt = _readable(picked, state.prompt)
        with _in_turn():
            _trace(picked, prompt.text)
    except ValueError as error:
        state.problem = _told(picked, error)
        state[PICKED_KEY] = state[MODEL_KEY]
        return
    if prompt is not state.prompt:
        state.prompt, state.token, state.typed = prompt, None, prompt.text
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


def open_trace(name: str, data: bytes) -> bool:
    """Show a trace file in the whole explorer. If it cannot be shown, say why and keep what was there."""
    try:
        trace = RoutingTrace.from_bytes(data, name=opening(name, 40))
        check_token_count(trace.num_tokens)
        dense_flops(trace)  # without the model's sizes not every page could be drawn
    except ValueError as error:
        st.session_state.problem = str(error).removesuffix(".") + "."
        return False
    _show_file(name, trace)
    return True


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


def current_trace() -> RoutingTrace:
    """The trace file that is open, or the trace of the current prompt: the model runs once per text."""
    if (opened := trace_file()) is not None:
        return opened
    return _trace(st.session_state[MODEL_KEY], st.session_state.prompt.text)


def measure_exactness() -> None:
    """Run the current prompt in the ways that must agree, and judge it."""
    state = st.session_state
    with _in_turn():
        asked = state[MODEL_KEY], state.prompt.text, _captured_tokens()
        _findings(*asked)
    state.exactness_of = asked


def measured_exactness() -> list[Finding] | None:
    """The findings about the current model and text; None until somebody asked for them."""
    state = st.session_state
    asked = state.get("exactness_of")
    current = trace_file() is None and asked and asked[:2] == (state[MODEL_KEY], state.prompt.text)
    return _findings(*asked) if current else None


def trace_half_precision() -> None:
    """Trace the current prompt in bfloat16 too. If the model cannot be loaded so, say why."""
    state = st.session_state
    try:
        _half_trace(state[MODEL_KEY], state.prompt.text)
    except ValueError as error:
        state.problem = _told(state[MODEL_KEY], error)
        return
    state.half_precision_of = state[MODEL_KEY], state.prompt.text


def traced_half_precision() -> RoutingTrace | None:
    """The bfloat16 trace of the current prompt; None until it was asked for."""
    state = st.session_state
    if trace_file() is not None:
        return None
    current = state[MODEL_KEY], state.prompt.text
    return _half_trace(*current) if state.get("half_precision_of") == current else None


def current_paths() -> PathTrace:
    """What both paths of all layers computed, for the window round the selected token that fits `PATHS_BYTES`.

    Stepping through layers and through the tokens of a window runs no model.
    """
    return _paths(st.session_state[MODEL_KEY], st.session_state.prompt.text, _captured_tokens())


def current_attribution() -> Attribution:
    """Where the chosen logit at the selected token comes from; with measured removals if the reader asked for them."""
    state = st.session_state
    removed = state.get("removed_of") == _explained()
    return _attribution(state[MODEL_KEY], state.prompt.text, _captured_tokens(), state.token, chosen_targets(), removed)


def current_slices() -> SliceTrace:
    """Which slices of the FFN the loops of the captured tokens use."""
    return _slices(st.session_state[MODEL_KEY], st.session_state.prompt.text, _captured_tokens())


def current_lens() -> LensTrace:
    """What the model would predict from every state of the selected token, with the chosen target's rank in each."""
    state = st.session_state
    return _lens(state[MODEL_KEY], state.prompt.text, _captured_tokens(), state.token, chosen_targets()[0])


def current_attention() -> AttentionTrace:
    """What every head of every layer read at the selected token. Stepping through tokens and layers runs no model."""
    state = st.session_state
    return _attention(state[MODEL_KEY], state.prompt.text, state.token)


def measure_removals() -> None:
    """Remove every write of the selected token's stream, one at a time, for the chosen logit."""
    st.session_state.removed_of = _explained()
    current_attribution()


def chosen_targets() -> tuple[int, int | None]:
    """Ids of the token whose logit is explained and of the one that it is set against (None: nothing).

    What the reader typed and is no token of this model counts as not chosen; `target_problem` tells it.
    """
    target, against = (
        _token_id(default if target_problem(key) else st.session_state.get(key, default))
        for key, default in TARGETS.items()
    )
    return target, None if against == target else against


def target_problem(key: str) -> str | None:
    """Why a chosen target cannot be taken, in one sentence; None if it can."""
    try:
        _token_id(st.session_state.get(key, TARGETS[key]))
    except ValueError as error:
        return str(error)
    return None


def why_not_drawn(kind: type) -> str | None:
    """Why figures of this kind (`FigureSpec.of`) cannot be drawn now; None if they can."""
    if kind is not RoutingTrace and (why_not := without_model()):
        return why_not
    if kind is AttentionTrace:
        trace = current_trace()
        size = attention_bytes(trace.num_layers, trace.num_tokens, trace.meta["config"]["hidden_size"])
        if size > ATTENTION_BYTES:
            return (
                f"What the heads read of {trace.num_tokens:,} tokens takes {size / 2**20:,.0f} MB in this model; the "
                f"limit is {ATTENTION_BYTES // 2**20}. Choose a shorter text."
            )
    if kind is Study and model_facts().reads_ids:
        return "This model has no tokenizer: it reads token ids, and so cannot read the sample texts."
    return None


def can_draw(kind: type) -> bool:
    """Whether figures of this kind can be drawn."""
    return why_not_drawn(kind) is None


def current_study() -> Study:
    """What the sample texts say together; computed once per model."""
    return _study(st.session_state[MODEL_KEY])


def current(kind: type) -> Drawn:
    """What figures of this kind (`FigureSpec.of`) draw now."""
    found = {
        RoutingTrace: current_trace,
        Study: current_study,
        PathTrace: current_paths,
        Attribution: current_attribution,
        LensTrace: current_lens,
        SliceTrace: current_slices,
        AttentionTrace: current_attention,
    }[kind]
    if kind in (RoutingTrace, Study):
        return found()
    # The first time it loads the model, too.
    with st.spinner("Following every path of the text…", show_time=True), _in_turn():
        return found()


def _captured_tokens() -> tuple[int, int]:
    state, trace = st.session_state, current_trace()
    config = _loaded(state[MODEL_KEY]).config
    width = max(min(WINDOW, PATHS_BYTES // path_bytes(config, trace.num_layers, 1)), 1)
    return window_around(state.token, trace.num_tokens, width) or (0, trace.num_tokens)


def _explained() -> tuple:
    state = st.session_state
    return state[MODEL_KEY], state.prompt.text, state.token, chosen_targets()


def _token_id(word: str) -> int | None:
    """Id of a target by its name (`named_targets`) or its text; None for NOTHING. ValueError if it is not one token."""
    trace, token = current_trace(), st.session_state.token
    named = named_targets(trace, token)
    if word == NOTHING:
        return None
    if word in named or word == FOLLOWING:  # after the last token nothing follows: the likeliest stands for it
        return named.get(word, next(iter(named.values())))
    shown = dict(zip(trace.next_tokens[token], trace.next_ids[token].tolist(), strict=True))
    if word in shown:
        return shown[word]
    text = token_bytes(word).decode("utf-8", "replace")
    ids = _loaded(st.session_state[MODEL_KEY]).tokenizer(text, add_special_tokens=False)["input_ids"]
    if len(ids) != 1:
        raise ValueError(f"“{word}” is {len(ids)} tokens of this model: give a text that is one, with ␣ before a word.")
    return ids[0]


def parameter_parts() -> dict[str, int] | None:
    """Part of the model -> its parameters; None while a trace file is open, which tells only their sum."""
    return None if without_model() else _loaded(st.session_state[MODEL_KEY]).parameter_parts


def training_curves() -> pd.DataFrame | None:
    """Curves of the current model's training; None if it came without. ValueError if the file is none."""
    if without_model():
        return None
    path = _folders()[st.session_state[MODEL_KEY]] / "curves.csv"
    return read_curves(path.read_bytes()) if path.is_file() else None


def check_health(progress: Callable[[float], None]) -> None:
    """Check the current model on the texts of `CHECKED`; `progress` is told the share done, 0..1.

    A model without a tokenizer cannot read them (ValueError): see `ModelFacts.reads_ids`.
    """
    from hooks import measure_health

    loaded = _loaded(st.session_state[MODEL_KEY])
    _health()[loaded.weights_sha256] = health_checks(measure_health(loaded, CHECKED, progress=progress))


def checked_health() -> list[Check] | None:
    """The checks of the model of the current trace; None until somebody asked for them."""
    return _health().get(model_facts().weights_sha256)


def measure_ffn() -> None:
    """Measure the time of the FFNs over the current prompt, anew each time."""
    from hooks import time_ffn

    state = st.session_state
    current = state[MODEL_KEY], state.prompt.text
    with _in_turn():  # nobody else's text may run meanwhile
        state.ffn_times = current, time_ffn(_loaded(current[0]), current[1])


def ffn_times() -> dict[str, float] | None:
    """Seconds by what was run, of the current prompt; None until they were measured."""
    state = st.session_state
    measured, seconds = state.get("ffn_times", (None, None))
    return seconds if trace_file() is None and measured == (state[MODEL_KEY], state.prompt.text) else None


def current_view() -> View:
    """What is selected, as figures want it: layer, token, window of a long text, theme."""
    state, trace = st.session_state, current_trace()
    return View(
        layer=state.layer,
        token=state.token,
        window=window_around(state.token, trace.num_tokens),
        theme=st.context.theme.type or "light",
        level=state.get("level", "token"),
    )


def show_level(level: Level) -> None:
    """Show the text, and the maps that can, by tokens or by words. What is selected stays a token."""
    st.session_state.level = level


def clamp_selection() -> None:
    """Keep the selection inside the current trace; without one, select the token where the most loops ran."""
    state, trace = st.session_state, current_trace()
    if state.layer is None:
        state.layer = trace.num_layers // 2
    if state.token is None:
        state.token = int(np.where(trace.special, 0, trace.loops.mean(axis=0)).argmax())
    state.layer = min(max(state.layer, 0), trace.num_layers - 1)
    state.token = min(max(state.token, 0), trace.num_tokens - 1)


def select(*, layer: int | None = None, token: int | None = None) -> None:
    """Select a layer, a token or both, for every view."""
    if layer is not None:
        st.session_state.layer = int(layer)
    if token is not None:
        st.session_state.token = int(token)
    clamp_selection()


def remember_marks(figure: str, marks: list[dict]) -> None:
    """Keep the selection marks of a figure of this run for the browser side, which draws them over it."""
    st.session_state.setdefault("marks", {})[figure] = marks


def taken_marks() -> dict[str, list[dict]]:
    """The marks of all figures of this run, once."""
    return st.session_state.pop("marks", {})


def enter_page(page: str) -> bool:
    """Note the page that is open; whether it was entered with this run. Its figures are then drawn from scratch."""
    state = st.session_state
    entered, state.open_page = state.get("open_page") != page, page
    if entered:
        state.drawings = {}
    return entered


def first_drawing(key: str, figure: go.Figure, options: dict[str, str]) -> go.Figure:
    """The drawing to hand to Streamlit for a figure of this page: `figure`, or the one it stands in for.

    Streamlit throws a chart away and builds a new one whenever its content differs. So for a selection that moves, the
    chart that the page first drew is handed over again, and `redrawings` tells the browser side what it shows by now.
    """
    trace, view, drawings = current_trace(), current_view(), st.session_state.drawings
    same = (id(trace), view.theme, view.level, view.window, tuple(options.items()), figure.layout.height)
    drawing = drawings.get(key)
    if drawing is None or drawing.same != same:
        number = st.session_state.drawings_made = st.session_state.get("drawings_made", 0) + 1
        drawing = drawings[key] = Drawing(number, same, trace, figure)
    figure.layout.meta = {**(figure.layout.meta or {}), "drawing": drawing.number}
    content = figure.to_json()
    drawing.first_content = drawing.first_content or content
    if drawing.now or content != drawing.first_content:
        drawing.now = content
    return drawing.first


def redrawings() -> dict[int, str]:
    """Charts of this page that by now show another content than Streamlit has: their number -> Plotly JSON."""
    return {drawing.number: drawing.now for drawing in st.session_state.drawings.values() if drawing.now}


def submit(prompt: Prompt) -> bool:
    """Make a prompt the current one. If it cannot be traced, say why and keep what was there."""
    state = st.session_state
    try:
        if state[MODEL_KEY] is None:
            raise PromptError(NO_MODEL)
        with _in_turn():
            _trace(state[MODEL_KEY], prompt.text)
    except PromptError as error:
        state.problem = str(error)
        return False
    state.prompt, state.trace_file, state.token, state.problem = prompt, None, None, None
    clamp_selection()
    return True


# A list of prompts ---------------------------------------------------------------------------------------------------


def prompt_list() -> PromptList:
    """The list that the reader brought; without one the examples."""
    return st.session_state.get("prompt_list") or PromptList("The examples", list(EXAMPLES.values()), [], [])


def take_list(found: PromptList) -> None:
    """Make these the prompts of the Prompts page. What is known of other texts is forgotten: memory is bounded."""
    state, texts = st.session_state, {prompt.text for prompt in found.prompts}
    state.prompt_list, state.tracing_list = found, False
    state.summaries = {key: known for key, known in state.get("summaries", {}).items() if key[1] in texts}


def prompt_summaries() -> list[PromptSummary | str | None]:
    """What is known of each prompt of the list by the current model: numbers, why there are none, or nothing yet."""
    known, model = st.session_state.get("summaries", {}), st.session_state[MODEL_KEY]
    return [known.get((model, prompt.text)) for prompt in prompt_list().prompts]


def untraced_prompts() -> list[Prompt]:
    """The prompts of the list that the current model has not read yet."""
    return [p for p, found in zip(prompt_list().prompts, prompt_summaries(), strict=True) if found is None]


def trace_list(go: bool) -> None:
    """Begin, or go on, to trace the list; or stop."""
    st.session_state.tracing_list = go


def tracing_list() -> bool:
    """Whether the list is being traced."""
    return st.session_state.get("tracing_list", False) and without_model() is None


def trace_next_prompts() -> None:
    """Trace the next few prompts of the list and keep one summary of each; their traces are not kept."""
    model, texts = st.session_state[MODEL_KEY], list(dict.fromkeys(prompt.text for prompt in untraced_prompts()))
    sizes = np.cumsum([len(text) for text in texts])
    batch = texts[: max(1, min(BATCH_PROMPTS, int((sizes <= BATCH_CHARACTERS).sum())))]
    known = st.session_state.setdefault("summaries", {})
    for text, found in zip(batch, _summaries(model, batch), strict=True):
        known[model, text] = found


def _summaries(model: str, texts: list[str]) -> list[PromptSummary | str]:
    """A summary of each text, or the sentence that says why it cannot be traced."""
    found: dict[str, PromptSummary | str] = {}
    for text in texts:
        if shipped := shipped_trace(_folders()[model], text):
            found[text] = prompt_summary(shipped)
    rest = [text for text in texts if text not in found]
    if rest:
        from hooks import capture

        loaded = _loaded(model)
        for text in rest:
            try:
                _check_length(loaded, text)
            except PromptError as error:
                found[text] = str(error)
        rest = [text for text in rest if text not in found]
        found |= zip(rest, map(prompt_summary, capture(loaded, rest)), strict=True)
    return [found[text] for text in texts]


# Models and links, by name --------------------------------------------------------------------------------------------


def _folders() -> dict[str, Path]:
    """Name -> folder of every model in the shipped checkpoints and the folders that the server was started with."""
    more = os.environ.get(ROOTS_VARIABLE, "")
    return dict(available_models([CHECKPOINTS, *map(Path, filter(None, more.split(os.pathsep)))]))


def _readable(model: str, prompt: Prompt) -> Prompt:
    """The prompt, or a row of token ids for a model without a tokenizer that cannot read it."""
    if shipped_trace(_folders()[model], prompt.text):
        return prompt
    loaded = _loaded(model)
    if not loaded.reads_ids:
        return prompt
    try:
        loaded.tokenizer.check(prompt.text)
    except ValueError:
        size = loaded.config.vocab_size
        ids = range(0, size, max(1, size // EXAMPLE_IDS))
        return Prompt("token ids", " ".join(map(str, ids[:EXAMPLE_IDS])))
    return prompt


def _told(model: str, error: ValueError) -> str:
    """Why a model or a text was refused, for a visitor: the server's folders are named by the model's name only."""
    return str(error).replace(str(_folders()[model]), model).removesuffix(".") + "."


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 10 else None
