"""What all sessions share: loaded models, finished captures, and the line in front of the models.

Only this module caches and touches models. Everything here is immutable and found by its content, never by its visitor.
What runs a model is `kept`: looked at without waiting, made in turn. What `st.cache_resource` keeps is locked while it
is made, and so must never wait for a turn.
"""

import gc
import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from analysis.attribution import Attribution, attribution
from analysis.faithfulness import Finding, findings
from analysis.health import Check
from analysis.ledger import stream_writes
from analysis.summary import PromptSummary, prompt_summary
from app.examples import shipped_trace
from app.kept import Kept, Made
from app.prompts import PromptError, check_token_count
from app.turns import Turns
from hooks.attention_trace import AttentionInputs, AttentionTrace
from hooks.lens_trace import LensTrace
from hooks.path_trace import PathTrace
from hooks.slice_trace import SliceTrace
from hooks.trace import RoutingTrace
from hooks.training_trace import TrainingTrace
from sample_models.kept_checkpoints import KeptCheckpoint, kept_checkpoints
from sample_models.registry import CHECKPOINTS, available_models

if TYPE_CHECKING:
    from app.text_study import TextStudy
    from hooks import OwnPass

ROOTS_VARIABLE = "VERSATILEFFN_MODELS"
"""Environment variable with more folders of models, set by whoever starts the server; a visitor cannot name paths."""

OWN_PASS_BYTES = 256 * 2**20
"""Memory that the keys, values and logits of one text may take to be kept; two are. What takes more runs anew."""


@st.cache_resource(max_entries=3, show_spinner="Loading the model…", show_time=True)
def loaded_model(name: str):
    # torch, transformers and TransformerLens take seconds: not before the first model is needed.
    import hooks.capturing  # noqa: F401
    from sample_models import load_model

    _freeze_libraries()
    return load_model(folders()[name])


@st.cache_resource(show_spinner=False)
def _freeze_libraries() -> None:
    """Take what the imports made, and what stays for good, out of the garbage collector's sight.

    Streamlit collects garbage after every run and holds up the page's last messages meanwhile: looking through all
    objects of these libraries took 0.3 s for every click.
    """
    gc.collect()
    gc.freeze()


@st.cache_resource(show_spinner=False)
def turns() -> Turns:
    """The line of all sessions in front of the models."""
    return Turns(places=max(1, (os.cpu_count() or 1) // 4))


@st.cache_resource(show_spinner=False)
def browser_turns() -> Turns:
    """The line of all sessions in front of the browser that draws pictures: it takes hundreds of megabytes."""
    return Turns()


@contextmanager
def in_turn() -> Iterator[None]:
    """A turn at the models; a reader who has to wait is told the place."""
    with turns().turn(_telling("text")):
        yield


@contextmanager
def in_turn_to_draw() -> Iterator[None]:
    """A turn at the browser that draws pictures; a reader who has to wait is told the place."""
    with browser_turns().turn(_telling("export")):
        yield


def _telling(what: str) -> Callable[[int], None]:
    """Tells the reader how many come first, whenever that changes."""
    told = 0

    def tell(ahead: int) -> None:
        nonlocal told
        if ahead != told:
            st.toast(f"{ahead} {what}{'s' * (ahead > 1)} of other visitors before yours…", duration="long")
            told = ahead
        st.session_state.get("token")  # where Streamlit stops a run that the reader has left

    return tell


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
    return shipped_trace(folders()[model_name], text)


@kept(48, "Tracing the text")
def _traced(model_name: str, text: str) -> RoutingTrace:
    from hooks import capture

    loaded = loaded_model(model_name)
    check_length(loaded, text)
    return capture(loaded, text)


def check_length(loaded, text: str) -> None:
    """PromptError if a model cannot read a text, or it has too many tokens."""
    try:
        count = len(loaded.tokenizer(text, verbose=False)["input_ids"])
    except ValueError as error:  # a model without a tokenizer reads token ids only
        raise PromptError(str(error)) from error
    check_token_count(count)


@st.cache_data(max_entries=16, show_spinner=False)
def kept_of(model_name: str) -> list[KeptCheckpoint]:
    return kept_checkpoints(folders()[model_name])


@kept(64, "Tracing the text with an earlier checkpoint")
def trace_at_step(model_name: str, text: str, step: int) -> RoutingTrace:
    from hooks import capture
    from sample_models import load_model

    return capture(load_model(folders()[model_name], step=step), text)


@kept(4, "Tracing the text with every checkpoint")
def training_of(model_name: str, text: str) -> TrainingTrace:
    checkpoints = kept_of(model_name)
    traces = [trace_at_step(model_name, text, each.step) for each in checkpoints]
    return TrainingTrace.of_checkpoints(trace_of(model_name, text), checkpoints, traces)


@st.cache_resource(max_entries=1, show_spinner=False)
def _loaded_in_half(name: str):
    import torch

    from sample_models import load_model

    return load_model(folders()[name], dtype=torch.bfloat16)


@kept(16, "Tracing the text in bfloat16")
def half_trace_of(model_name: str, text: str) -> RoutingTrace:
    from hooks import capture

    return capture(_loaded_in_half(model_name), text)


@kept(4, "Following every path of the text")
def paths_of(model_name: str, text: str, tokens: tuple[int, int]) -> PathTrace:
    from hooks import capture_paths

    return capture_paths(loaded_model(model_name), text, tokens=tokens)


@st.cache_resource(show_spinner=False)
def sample_studies() -> dict[str, "TextStudy"]:
    """What the sample texts say together, by the model that read them since the server began."""
    return {}


@st.cache_resource(show_spinner=False)
def health_of_models() -> dict[str, list[Check]]:
    """Checks of the models that were checked since the server began, by the digest of their weights."""
    return {}


@kept(8, "Measuring which slices the loops use")
def slices_of(model_name: str, text: str, tokens: tuple[int, int]) -> SliceTrace:
    from hooks import loop_slices

    return loop_slices(loaded_model(model_name), paths_of(model_name, text, tokens))


@kept(2, "Running the text as it is")
def _own_pass(model_name: str, text: str, token: int) -> "OwnPass":
    from hooks import own_pass

    return own_pass(loaded_model(model_name), trace_of(model_name, text), token)


def _own_pass_of(model_name: str, text: str, token: int) -> "OwnPass | None":
    """What a token is run again on, once for all tokens that were read together; None where that is not kept."""
    from hooks import own_pass_bytes

    window = trace_of(model_name, text).window_of(token)
    size = own_pass_bytes(loaded_model(model_name).config, window.end - window.first)
    return _own_pass(model_name, text, window.own) if size <= OWN_PASS_BYTES else None


@kept(32, "Reading every state of the token")
def lens_of(model_name: str, text: str, tokens: tuple[int, int], token: int, target: int) -> LensTrace:
    from hooks import recursion_lens

    paths = paths_of(model_name, text, tokens)
    own = _own_pass_of(model_name, text, token)
    return recursion_lens(loaded_model(model_name), paths, token, target, own=own)


@kept(4, "Following the attention heads")
def _attention_inputs(model_name: str, text: str, token: int) -> AttentionInputs:
    from hooks import capture_attention

    return capture_attention(loaded_model(model_name), text, token=token)


@kept(32, "Reading what the heads read")
def attention_of(model_name: str, text: str, token: int) -> AttentionTrace:
    window = trace_of(model_name, text).window_of(token)
    return _attention_inputs(model_name, text, window.own).at(token)


@kept(16, "Running the text in every way that must agree")
def exactness_of(model_name: str, text: str, tokens: tuple[int, int]) -> list[Finding]:
    from hooks import measure_faithfulness

    loaded, paths = loaded_model(model_name), paths_of(model_name, text, tokens)
    return findings(measure_faithfulness(loaded, text), paths)


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


@kept(32, "Following the writes of the token")
def attribution_of(
    model_name: str, text: str, tokens: tuple[int, int], token: int, targets: tuple[int, int | None]
) -> Attribution:
    from hooks import logit_direction

    paths = paths_of(model_name, text, tokens)
    return attribution(paths, logit_direction(loaded_model(model_name), paths, token, *targets))


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
    removed = remove_writes(loaded_model(model_name), direction, paths.routing, writes, own=own)
    return attribution(paths, direction, removed)


def summaries_of(model: str, texts: list[str]) -> list[PromptSummary | str]:
    """A summary of each text, or the sentence that says why it cannot be traced."""
    return [found if isinstance(found, str) else prompt_summary(found) for found in traces_of(model, texts)]


def traces_of(model: str, texts: list[str]) -> list[RoutingTrace | str]:
    """A trace of each text, or the sentence that says why it cannot be traced. They are not kept here."""
    found: dict[str, RoutingTrace | str] = {}
    for text in texts:
        if shipped := shipped_trace(folders()[model], text):
            found[text] = shipped
    rest = [text for text in texts if text not in found]
    if rest:
        from hooks import capture

        loaded = loaded_model(model)
        for text in rest:
            try:
                check_length(loaded, text)
            except PromptError as error:
                found[text] = str(error)
        rest = [text for text in rest if text not in found]
        with in_turn():
            found |= zip(rest, capture(loaded, rest), strict=True)
    return [found[text] for text in texts]


def folders() -> dict[str, Path]:
    """Name -> folder of every model in the shipped checkpoints and the folders that the server was started with."""
    more = os.environ.get(ROOTS_VARIABLE, "")
    return dict(available_models([CHECKPOINTS, *map(Path, filter(None, more.split(os.pathsep)))]))
