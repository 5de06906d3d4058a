"""What the models did with a text, captured once for all visitors.

Everything here is immutable and found by its content, never by its visitor. Nobody else in the app runs a model; the
command line does it by itself. What runs one takes a turn; most of it is `kept` and then looked at without waiting.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import streamlit as st

from analysis.explain.attribution import Attribution, attribution
from analysis.explain.ledger import stream_writes
from analysis.explain.near_miss import TwoPrecisions
from analysis.models.faithfulness import Finding, findings
from analysis.models.health import health_checks
from analysis.texts.summary import PromptSummary, prompt_summary
from app.server import models
from app.server.keeping import Kept, Made
from app.server.waiting import in_turn
from app.texts.examples import CHECKED, shipped_trace
from app.texts.prompts import PromptError, check_token_count
from hooks.attention_trace import AttentionInputs, AttentionTrace
from hooks.lens_trace import LensTrace
from hooks.path_trace import PathTrace
from hooks.slice_trace import SliceTrace
from hooks.trace import RoutingTrace
from hooks.training_trace import TrainingTrace

if TYPE_CHECKING:
    from hooks import OwnPass, Reading

OWN_PASS_BYTES = 256 * 2**20
"""Memory that the keys, values and logits of one text may take to be kept; two are. What takes more runs anew."""


def kept(most: int, doing: str) -> Callable[[Callable[..., Made]], Kept[Made]]:
    """Have the last `most` results of a function kept, and have it wait for a turn at the models to make another.

    Only who has to wait is told so, in the words of `doing`.
    """

    @contextmanager
    def told() -> Iterator[None]:
        with st.spinner(f"{doing}…", show_time=True), in_turn():
            yield

    return partial(Kept, most=most, in_turn=told)


def trace_of(model_name: str, text: str) -> RoutingTrace:
    """The trace of a text; one that was shipped with the explorer waits for nothing."""
    return _shipped(model_name, text) or _traced(model_name, text)


@lru_cache(maxsize=48)
def _shipped(model_name: str, text: str) -> RoutingTrace | None:
    return shipped_trace(models.folders()[model_name], text)


@kept(48, "Tracing the text")
def _traced(model_name: str, text: str) -> RoutingTrace:
    from hooks import capture

    loaded = models.loaded_model(model_name)
    return capture(loaded, read_within_limits(loaded, text))


def read_within_limits(loaded, text: str) -> "Reading":
    """A text's tokens; PromptError if the model cannot read it, or there are too many."""
    from hooks import read

    try:
        reading = read(loaded, text)
    except ValueError as error:  # a model without a tokenizer reads token ids only
        raise PromptError(str(error)) from error
    check_token_count(len(reading.ids))
    return reading


@kept(64, "Tracing the text with an earlier checkpoint")
def trace_at_step(model_name: str, text: str, step: int) -> RoutingTrace:
    from hooks import capture
    from sample_models import load_model

    return capture(load_model(models.folders()[model_name], step=step), text)


@kept(4, "Tracing the text with every checkpoint")
def training_of(model_name: str, text: str) -> TrainingTrace:
    checkpoints = models.checkpoints_of(model_name)
    traces = [trace_at_step(model_name, text, each.step) for each in checkpoints]
    return TrainingTrace.of_checkpoints(trace_of(model_name, text), checkpoints, traces)


@kept(16, "Tracing the text in bfloat16")
def two_precisions_of(model_name: str, text: str) -> TwoPrecisions:
    from hooks import capture

    return TwoPrecisions(trace_of(model_name, text), capture(models.loaded_in_half(model_name), text))


@kept(4, "Following every path of the text")
def paths_of(model_name: str, text: str, tokens: tuple[int, int]) -> PathTrace:
    from hooks import capture_paths

    return capture_paths(models.loaded_model(model_name), trace_of(model_name, text), tokens=tokens)


@kept(8, "Measuring which slices the loops use")
def slices_of(model_name: str, text: str, tokens: tuple[int, int]) -> SliceTrace:
    from hooks import loop_slices

    return loop_slices(models.loaded_model(model_name), paths_of(model_name, text, tokens))


@kept(2, "Running the text as it is")
def _own_pass(model_name: str, text: str, token: int) -> "OwnPass":
    from hooks import own_pass

    return own_pass(models.loaded_model(model_name), trace_of(model_name, text), token)


def _own_pass_of(model_name: str, text: str, token: int) -> "OwnPass | None":
    """What a token is run again on, once for all tokens that were read together; None where that is not kept."""
    from hooks import own_pass_bytes

    window = trace_of(model_name, text).window_of(token)
    size = own_pass_bytes(models.loaded_model(model_name).config, window.end - window.first)
    return _own_pass(model_name, text, window.own) if size <= OWN_PASS_BYTES else None


@kept(32, "Reading every state of the token")
def lens_of(model_name: str, text: str, tokens: tuple[int, int], token: int, target: int) -> LensTrace:
    from hooks import recursion_lens

    paths = paths_of(model_name, text, tokens)
    own = _own_pass_of(model_name, text, token)
    return recursion_lens(models.loaded_model(model_name), paths, token, target, own=own)


@kept(4, "Following the attention heads")
def _attention_inputs(model_name: str, text: str, token: int) -> AttentionInputs:
    from hooks import capture_attention

    return capture_attention(models.loaded_model(model_name), trace_of(model_name, text), token=token)


@kept(32, "Reading what the heads read")
def attention_of(model_name: str, text: str, token: int) -> AttentionTrace:
    window = trace_of(model_name, text).window_of(token)
    return _attention_inputs(model_name, text, window.own).at(token)


@kept(16, "Running the text in every way that must agree")
def faithfulness_of(model_name: str, text: str, tokens: tuple[int, int]) -> list[Finding]:
    from hooks import measure_faithfulness

    loaded, paths = models.loaded_model(model_name), paths_of(model_name, text, tokens)
    return findings(measure_faithfulness(loaded, paths.routing), paths)


@kept(32, "Following the writes of the token")
def attribution_of(
    model_name: str, text: str, tokens: tuple[int, int], token: int, targets: tuple[int, int | None]
) -> Attribution:
    from hooks import logit_direction

    paths = paths_of(model_name, text, tokens)
    return attribution(paths, logit_direction(models.loaded_model(model_name), paths, token, *targets))


@kept(32, "Running the token without each of its writes")
def removals_of(
    model_name: str, text: str, tokens: tuple[int, int], token: int, targets: tuple[int, int | None]
) -> Attribution:
    """`attribution_of`, with what removing every write really takes."""
    from hooks import remove_writes

    paths = paths_of(model_name, text, tokens)
    direction = attribution_of(model_name, text, tokens, token, targets).direction
    vectors, table = stream_writes(paths, token)
    writes = list(zip(table["layer"].tolist(), table["kind"].tolist(), vectors, strict=True))
    own = _own_pass_of(model_name, text, token)
    removed = remove_writes(models.loaded_model(model_name), direction, paths.routing, writes, own=own)
    return attribution(paths, direction, removed)


def summaries_of(model: str, texts: list[str]) -> list[PromptSummary | str]:
    """A summary of each text, or the sentence that says why it cannot be traced."""
    return [found if isinstance(found, str) else prompt_summary(found) for found in traces_of(model, texts)]


def traces_of(model: str, texts: list[str]) -> list[RoutingTrace | str]:
    """A trace of each text, or the sentence that says why it cannot be traced. They are not kept here."""
    found: dict[str, RoutingTrace | str] = {}
    for text in texts:
        if shipped := shipped_trace(models.folders()[model], text):
            found[text] = shipped
    rest = [text for text in texts if text not in found]
    if rest:
        from hooks import capture

        loaded = models.loaded_model(model)
        readings: list[Reading] = []
        for text in rest:
            try:
                readings.append(read_within_limits(loaded, text))
            except PromptError as error:
                found[text] = str(error)
        with in_turn():
            found |= {trace.meta["text"]: trace for trace in capture(loaded, readings)}
    return [found[text] for text in texts]


def check_health(model_name: str, progress: Callable[[float], None]) -> None:
    """Check a model on the texts of `CHECKED` and keep the verdict; `progress` is told the share done, 0..1.

    A model without a tokenizer cannot read them (ValueError): see `ModelFacts.reads_ids`.
    """
    from hooks import measure_health

    loaded = models.loaded_model(model_name)
    with in_turn():
        measured = measure_health(loaded, CHECKED, progress=progress)
    models.health_of_models()[loaded.weights_sha256] = health_checks(measured)


def measure_ffn(model_name: str, text: str) -> dict[str, float]:
    """Seconds that the FFNs take over a text, by what was run; measured anew each time."""
    from hooks import time_ffn

    with in_turn():  # nobody else's text may run meanwhile
        return time_ffn(models.loaded_model(model_name), text)
