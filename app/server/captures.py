"""Runs the models for the app, and caches what they did with a text for all visitors.

Only this module and `forced_depth` run models in the app (the command line runs its own). Every function that does
waits for a turn in the queue; most are `cached`, and a cached result is returned without a wait. Results are immutable,
and their keys are model, text and interventions, never the visitor.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from analysis.explain.attribution import Attribution, attribution
from analysis.explain.ledger import stream_writes
from analysis.explain.near_miss import TwoPrecisions
from analysis.models.faithfulness import Finding, findings
from analysis.models.health import health_checks
from analysis.texts.summary import PromptSummary, prompt_summary
from analysis.what_if.comparison import Comparison
from app.limits import MAX_ALL_PATHS_BYTES, MAX_SUMMARIES, MAX_TRACES
from app.server import models
from app.server.queues import model_turn, stop_if_left
from app.server.result_cache import Result, ResultCache
from app.server.summary_cache import SummaryCache
from app.texts.examples import CHECKED, shipped_trace
from app.texts.prompts import PromptError, check_token_count
from hooks.attention_trace import AttentionInputs, AttentionTrace
from hooks.interventions import Intervention
from hooks.lens_trace import LensTrace
from hooks.path_trace import PathTrace
from hooks.slice_trace import SliceTrace
from hooks.trace import RoutingTrace
from hooks.training_trace import TrainingTrace

if TYPE_CHECKING:
    from hooks import OwnPass, Reading, StreamPass

Interventions = tuple[Intervention, ...]

MAX_STREAMS_BYTES = 64 * 2**20
"""Of the last streams of texts in memory, of all visitors; one of 4,096 tokens takes some megabytes."""
MAX_OWN_PASS_BYTES = 256 * 2**20
"""Most memory that the attention keys and values and the logits of one text may take to be cached; two texts are.

A text that needs more is run again each time.
"""


def cached(
    entries: int, doing: str, *, most_bytes: int | None = None
) -> Callable[[Callable[..., Result]], ResultCache[Result]]:
    """Decorator: cache the last `entries` results of a function, and wait for a turn at the models to compute another.

    `doing` is the spinner's text for a visitor whose result is not cached; `most_bytes` bounds all cached results.
    """

    @contextmanager
    def turn_with_spinner() -> Iterator[None]:
        with st.spinner(f"{doing}…", show_time=True), model_turn():
            yield

    return partial(ResultCache, entries=entries, turn=turn_with_spinner, most_bytes=most_bytes)


def trace_of(model_name: str, text: str, interventions: Interventions = ()) -> RoutingTrace:
    """The trace of a text. One that is shipped with the explorer needs no model and no wait."""
    return (not interventions and _shipped(model_name, text)) or _traced(model_name, text, interventions)


@lru_cache(maxsize=MAX_TRACES)
def _shipped(model_name: str, text: str) -> RoutingTrace | None:
    folder = models.folders().get(model_name)  # None: it was removed meanwhile, and what is in memory stays
    return folder and shipped_trace(folder, text)


@cached(MAX_TRACES, "Tracing the text")
def _traced(model_name: str, text: str, interventions: Interventions) -> RoutingTrace:
    from hooks import NotFiniteError, capture

    loaded = models.loaded_model(model_name)
    try:
        return capture(loaded, read_within_limits(loaded, text), interventions=interventions)
    except NotFiniteError as error:
        raise PromptError(f"{error}.") from error


def keep_trace(model_name: str, text: str, trace: RoutingTrace) -> None:
    """Keep a trace that was made in another way as that of a text, unless there is one."""
    _traced.keep((model_name, text, ()), trace)


def read_within_limits(loaded, text: str) -> "Reading":
    """A text's tokens. Raises PromptError if the model cannot read the text, or it has too many tokens."""
    from hooks import read

    try:
        reading = read(loaded, text)
    except ValueError as error:  # a model without a tokenizer reads token ids only
        raise PromptError(str(error)) from error
    check_token_count(len(reading.ids))
    return reading


@cached(64, "Tracing the text with an earlier checkpoint")
def trace_at_step(model_name: str, text: str, step: int, interventions: Interventions = ()) -> RoutingTrace:
    from hooks import capture

    return capture(models.load(model_name, step=step), text, interventions=interventions)


@cached(4, "Tracing the text with every checkpoint")
def training_of(model_name: str, text: str, interventions: Interventions = ()) -> TrainingTrace:
    checkpoints = models.checkpoints_of(model_name)
    traces = [trace_at_step(model_name, text, checkpoint.step, interventions) for checkpoint in checkpoints]
    return TrainingTrace.of_checkpoints(trace_of(model_name, text, interventions), checkpoints, traces)


@cached(16, "Tracing the text in bfloat16")
def two_precisions_of(model_name: str, text: str, interventions: Interventions = ()) -> TwoPrecisions:
    from hooks import capture

    half = capture(models.loaded_in_bfloat16(model_name), text, interventions=interventions)
    return TwoPrecisions(trace_of(model_name, text, interventions), half)


@cached(8, "Reading the predictions of the text", most_bytes=MAX_STREAMS_BYTES)
def _last_stream(model_name: str, text: str, interventions: Interventions) -> np.ndarray:
    from hooks import last_stream

    return last_stream(models.loaded_model(model_name), trace_of(model_name, text, interventions))


@cached(16, "Comparing the text before and after")
def comparison_of(model_name: str, text: str, before: Interventions, after: Interventions) -> Comparison:
    """A text under the interventions `before` and `after`. If these are the same, no model is needed."""
    traces = [trace_of(model_name, text, each) for each in (before, after)]
    if before == after:
        return Comparison(*traces, np.zeros(traces[0].num_tokens, np.float32))
    from hooks import stream_kl

    streams = [_last_stream(model_name, text, each) for each in (before, after)]
    return Comparison(*traces, stream_kl(models.loaded_model(model_name), *streams))


@cached(8, "Computing every path of the text", most_bytes=MAX_ALL_PATHS_BYTES)
def paths_of(model_name: str, text: str, tokens: tuple[int, int], interventions: Interventions = ()) -> PathTrace:
    from hooks import capture_paths

    trace = trace_of(model_name, text, interventions)
    return capture_paths(models.loaded_model(model_name), trace, tokens=tokens)


@cached(8, "Measuring which slices the loops use")
def slices_of(model_name: str, text: str, tokens: tuple[int, int], interventions: Interventions = ()) -> SliceTrace:
    from hooks import loop_slices

    return loop_slices(models.loaded_model(model_name), paths_of(model_name, text, tokens, interventions))


@cached(2, "Running the text as it is")
def _own_pass(model_name: str, text: str, token: int, interventions: Interventions) -> "OwnPass":
    from hooks import own_pass

    return own_pass(models.loaded_model(model_name), trace_of(model_name, text, interventions), token)


def _own_pass_of(model_name: str, text: str, token: int, interventions: Interventions) -> "OwnPass | None":
    """The plain pass from which tokens of a window are rerun; None if it is too large to cache."""
    from hooks import own_pass_bytes

    window = trace_of(model_name, text, interventions).window_of(token)
    size = own_pass_bytes(models.loaded_model(model_name).config, window.end - window.first)
    return _own_pass(model_name, text, window.own, interventions) if size <= MAX_OWN_PASS_BYTES else None


@cached(2, "Running the text as it is")
def _stream_pass(model_name: str, text: str, token: int, interventions: Interventions) -> "StreamPass":
    from hooks import stream_pass

    return stream_pass(models.loaded_model(model_name), trace_of(model_name, text, interventions), token)


def _stream_pass_of(model_name: str, text: str, token: int, interventions: Interventions) -> "StreamPass | None":
    """The pass whose streams serve all tokens of a window; None if it is too large to cache."""
    from hooks import stream_pass_bytes

    trace = trace_of(model_name, text, interventions)
    window = trace.window_of(token)
    config = models.loaded_model(model_name).config
    size = stream_pass_bytes(config, trace.num_layers, window.end - window.first)
    return _stream_pass(model_name, text, window.own, interventions) if size <= MAX_OWN_PASS_BYTES else None


@cached(32, "Predicting from every state of the token")
def lens_of(
    model_name: str,
    text: str,
    tokens: tuple[int, int],
    token: int,
    target: int,
    exits: tuple[int, ...] | None,
    interventions: Interventions = (),
) -> LensTrace:
    from hooks import recursion_lens, stream_lens

    loaded = models.loaded_model(model_name)
    if loaded.adapted is not None:
        own = _stream_pass_of(model_name, text, token, interventions)
        return stream_lens(loaded, trace_of(model_name, text, interventions), token, target, own=own)
    paths = paths_of(model_name, text, tokens, interventions)
    own = _own_pass_of(model_name, text, token, interventions)
    return recursion_lens(loaded, paths, token, target, exits=exits, own=own, check=stop_if_left)


@cached(4, "Recording the attention heads")
def _attention_inputs(model_name: str, text: str, token: int, interventions: Interventions) -> AttentionInputs:
    from hooks import capture_attention

    trace = trace_of(model_name, text, interventions)
    return capture_attention(models.loaded_model(model_name), trace, token=token)


@cached(32, "Computing the attention of the token")
def attention_of(model_name: str, text: str, token: int, interventions: Interventions = ()) -> AttentionTrace:
    window = trace_of(model_name, text, interventions).window_of(token)
    return _attention_inputs(model_name, text, window.own, interventions).at(token)


@cached(16, "Running the text in several ways to compare them")
def faithfulness_of(model_name: str, text: str, tokens: tuple[int, int]) -> list[Finding]:
    from hooks import measure_faithfulness

    loaded, paths = models.loaded_model(model_name), paths_of(model_name, text, tokens)
    return findings(measure_faithfulness(loaded, paths.routing), paths)


@cached(32, "Attributing the logit to the writes of the token")
def attribution_of(
    model_name: str,
    text: str,
    tokens: tuple[int, int],
    token: int,
    targets: tuple[int, int | None],
    interventions: Interventions = (),
) -> Attribution:
    from hooks import logit_direction

    paths = paths_of(model_name, text, tokens, interventions)
    return attribution(paths, logit_direction(models.loaded_model(model_name), paths, token, *targets))


@cached(32, "Running the token without each of its writes")
def removals_of(
    model_name: str,
    text: str,
    tokens: tuple[int, int],
    token: int,
    targets: tuple[int, int | None],
    interventions: Interventions = (),
) -> Attribution:
    """`attribution_of`, with the measured effect of removing each write."""
    from hooks import remove_writes

    paths = paths_of(model_name, text, tokens, interventions)
    direction = attribution_of(model_name, text, tokens, token, targets, interventions).direction
    vectors, table = stream_writes(paths, token)
    writes = list(zip(table["layer"].tolist(), table["kind"].tolist(), vectors, strict=True))
    own = _own_pass_of(model_name, text, token, interventions)
    removed = remove_writes(models.loaded_model(model_name), direction, paths.routing, writes, own=own)
    return attribution(paths, direction, removed)


def summary_of(model: str, text: str, trace: RoutingTrace | str) -> PromptSummary | str:
    """A summary of a text's trace, or the sentence that says why it has none; the server remembers it."""
    found = trace if isinstance(trace, str) else prompt_summary(trace)
    _summaries.store((model, text), found)
    return found


def known_summary(model: str, text: str) -> PromptSummary | str | None:
    """The `summary_of` a text, if the server still knows it."""
    return _summaries.look_up((model, text))


_summaries: SummaryCache[PromptSummary | str] = SummaryCache(MAX_SUMMARIES)


def traces_of(model: str, texts: list[str]) -> list[RoutingTrace | str]:
    """A trace of each text, or the sentence that says why it cannot be traced. These are not cached."""
    results: dict[str, RoutingTrace | str] = {}
    folder = models.folder_of(model)
    for text in texts:
        if shipped := shipped_trace(folder, text):
            results[text] = shipped
    rest = [text for text in texts if text not in results]
    if rest:
        loaded = models.loaded_model(model)
        readings: list[Reading] = []
        for text in rest:
            try:
                readings.append(read_within_limits(loaded, text))
            except PromptError as error:
                results[text] = str(error)
        results |= _captured(loaded, readings)
    return [results[text] for text in texts]


def _captured(loaded, readings: "list[Reading]") -> dict[str, RoutingTrace | str]:
    """Text -> its trace, or the sentence that says why the model's numbers are no result."""
    from hooks import NotFiniteError, capture

    try:
        with model_turn():
            return {trace.meta["text"]: trace for trace in capture(loaded, readings)}
    except NotFiniteError as error:
        if len(readings) == 1:
            return {readings[0].text: f"{error}."}
        return {text: result for reading in readings for text, result in _captured(loaded, [reading]).items()}


def check_health(model_name: str, progress: Callable[[float], None]) -> None:
    """Check a model on the texts of `CHECKED` and cache its checks; `progress` is called with the share done, 0..1.

    Raises ValueError for a model without a tokenizer, which cannot read them: see `ModelFacts.reads_ids`.
    """
    from hooks import measure_health

    loaded = models.loaded_model(model_name)
    with model_turn():
        measured = measure_health(loaded, CHECKED, progress=progress)
    models.health_of_models()[loaded.weights_sha256] = health_checks(measured)


def measure_ffn(model_name: str, text: str) -> dict[str, float]:
    """Way of running the FFNs over a text -> the seconds it takes. Not cached: every call measures again."""
    from hooks import time_ffn

    with model_turn():  # nobody else's text may run meanwhile
        return time_ffn(models.loaded_model(model_name), text)
