"""Captures the routing of a text: one forward pass over it, or one over each window of a long text."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from itertools import islice
from typing import Any, NamedTuple, overload

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from hooks.any_model import as_loaded
from hooks.hook_points import HAS_LENS, instrument
from hooks.intervening import check_for_text, refuse_outside, window_edits
from hooks.interventions import as_json
from hooks.passes import run_rows, to_numpy
from hooks.reading import Reading, read, refuse_untraceable
from hooks.tap_tensors import Names, names_of, routing_of_tokens, tap_names
from hooks.token_text import display_tokens
from hooks.trace import FORMAT_VERSION, INTERVENED_VERSION, RoutingTrace
from hooks.trace_checks import MAX_NUMBER
from hooks.windows import Window
from sample_models.intervention import Intervention
from sample_models.loading import LoadedModel
from sample_models.taps import HOOK_NAMES, edited

TOP_PREDICTIONS = 5
ROWS = 64
"""Tokens whose distributions over the vocabulary are in memory at a time."""
MAX_BATCH_TOKENS = 4096
"""Texts of a list, or their windows, share a forward pass up to this many tokens, padding included."""


class NotFiniteError(ValueError):
    """A model's logits, routing logits or lambda of a text are not finite, so that they say nothing about it."""


class Part(NamedTuple):
    """Routing and predictions of the tokens whose numbers come from one window's pass."""

    routing: dict[str, np.ndarray]
    """Field of the trace -> [layer, token, ...]."""
    predictions: tuple[np.ndarray, ...]
    """As `predictions` gives them."""


@overload
def capture(
    loaded: LoadedModel | nn.Module,
    text: str | Reading,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    overlap: int | None = None,
    chat: bool = False,
    interventions: Sequence[Intervention] = (),
) -> RoutingTrace: ...
@overload
def capture(
    loaded: LoadedModel | nn.Module,
    text: Sequence[str | Reading],
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    overlap: int | None = None,
    chat: bool = False,
    interventions: Sequence[Intervention] = (),
) -> list[RoutingTrace]: ...
def capture(loaded, text, *, tokenizer=None, overlap=None, chat=False, interventions=()):
    """Trace a text, or each of a list of texts, through a model.

    The model is a `LoadedModel`, or any model object with `tokenizer` beside it, also one under `torch.compile` or with
    PEFT adapters (`hooks.any_model.as_loaded`). A model in training mode is in eval mode for the time of the pass. If
    weights were changed since they were read from files, `meta` says `weights_changed` and has the SHA-256 of the
    tensors; a change through a tensor's `.data` cannot be seen.

    Special tokens are added only as the tokenizer's own settings say. A text within the trained context
    (`max_position_embeddings`) is read in one pass, a longer one in windows of that size, each overlapping the one
    before by `overlap` tokens (default: half of it); `RoutingTrace.windows` lists them. Texts of a list share passes,
    which changes no token's routing: the padding is on the right, where a causal model cannot see it. A text that was
    read already (`hooks.reading.read`) is not tokenized again. With `chat` the model's chat template makes each text a
    user's message; `meta` then has the whole text as it was read, and `chat`. Safe to call from several threads on one
    model.

    `interventions` (`hooks.interventions`) are decided otherwise than the model would, in every text and in every
    window that reads a named token; the trace holds them. The model itself is not changed.

    Raises ValueError if a text holds no token, if the overlap is not smaller than the context, if an intervention does
    not fit model or text, if the model's ffn is not 'versatile', or if it has no chat template that can be used. Raises
    NotFiniteError if the model's logits of a
    token are not finite.
    """
    loaded = as_loaded(loaded, tokenizer)
    refuse_untraceable(loaded)
    refuse_outside()
    instrument(loaded.model)
    alone = isinstance(text, str | Reading)
    texts = [text] if alone else text
    readings = [item if isinstance(item, Reading) else read(loaded, item, overlap, chat=chat) for item in texts]
    for reading in readings:
        check_for_text(loaded, interventions, len(reading.ids))
    passes = [(reading, window) for reading in readings for window in reading.windows]
    parts: list[Part | None] = [None] * len(passes)
    lengths = [window.end - window.first for _, window in passes]
    for batch in [[i] for i in range(len(passes))] if alone else batches_of(lengths):
        for i, part in zip(batch, _trace_batch(loaded, [passes[i] for i in batch], interventions), strict=True):
            parts[i] = part
    following = iter(parts)
    traces = [
        routing_trace(loaded, reading, list(islice(following, len(reading.windows))), interventions)
        for reading in readings
    ]
    return traces[0] if alone else traces


def routing_names(layers: int) -> dict[str, list[str]]:
    """Field of a RoutingTrace -> its hook name in every layer."""
    return {field: [pattern.format(layer) for layer in range(layers)] for field, pattern in HOOK_NAMES.items()}


def batches_of(lengths: list[int]) -> Iterable[list[int]]:
    """Indices of texts or windows that share a pass: of similar length, longest first, within MAX_BATCH_TOKENS."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > MAX_BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


@torch.inference_mode()
def _trace_batch(
    loaded: LoadedModel, passes: list[tuple[Reading, Window]], interventions: Sequence[Intervention]
) -> list[Part]:
    """One forward pass over windows padded on the right."""
    names = names_of(loaded.config)
    rows = [reading.ids[window.first : window.end] for reading, window in passes]
    with edited(window_edits(loaded, interventions, [window for _, window in passes])):
        output, seen = run_rows(loaded.model, rows, tap_names(names))
    return [window_part(loaded, *passes[row], names, seen, output.logits, row) for row in range(len(rows))]


def window_part(
    loaded: LoadedModel,
    reading: Reading,
    window: Window,
    names: Names,
    seen: Mapping[str, torch.Tensor],
    logits: torch.Tensor,
    row: int = 0,
) -> Part:
    """The part of a trace that one row of a pass gives.

    `seen` holds the recorded tensors by hook name, [row, token, ...], and `names` the hook names of every field of the
    trace, one per layer.
    """
    own = window.own_part
    routing = routing_of_tokens(loaded.config, names, seen, row, own)
    refuse_not_finite(routing, logits[row, own])
    return Part(routing, predictions(logits[row, own], reading.ids[window.own + 1 : window.end + 1]))


def refuse_not_finite(routing: Mapping[str, np.ndarray], logits: torch.Tensor) -> None:
    """Raise NotFiniteError unless all numbers [layer, token, ...] and logits [token, vocab] are finite.

    Those beyond what a trace file may hold count as not finite: half precision ends far below. The token at fault is
    not named, since attention carries NaN to tokens before it, too.
    """
    floats = [values for values in routing.values() if values.dtype.kind == "f"]
    if not (logits.abs() <= MAX_NUMBER).all() or not all((np.abs(values) <= MAX_NUMBER).all() for values in floats):
        raise NotFiniteError(
            "the model's numbers for this text are not finite, so its weights are damaged or overflow: check it with "
            "`python -m app check`, and try another copy or dtype"
        )


def predictions(logits: torch.Tensor, following: Sequence[int]) -> tuple[np.ndarray, ...]:
    """(log p of the token that follows [token], top ids and log p [token, top], entropy [token]), nats.

    No token follows the last one of a text: its log p is that of token id 0, and is not used. A few rows at a time,
    because the distributions over the vocabulary are large and only these few numbers are needed of each.
    """
    next_ids = torch.tensor([*following, 0][: len(logits)], device=logits.device)[:, None]
    parts = []
    for rows, after in zip(logits.split(ROWS), next_ids.split(ROWS), strict=True):
        log_probs = rows.float().log_softmax(dim=-1)
        top = log_probs.topk(min(TOP_PREDICTIONS, log_probs.shape[-1]), dim=-1)
        entropy = 0 - torch.einsum("tv,tv->t", log_probs.exp(), log_probs)  # 0 -, for a sure one has 0 and not -0
        parts.append((log_probs.gather(-1, after).squeeze(-1), top.indices, top.values, entropy))
    return tuple(to_numpy(torch.cat(column)) for column in zip(*parts, strict=True))


def routing_trace(
    loaded: LoadedModel, reading: Reading, parts: Sequence[Part], interventions: Sequence[Intervention] = ()
) -> RoutingTrace:
    """The trace of one text from the parts of its windows, which were read under these interventions."""
    routing = {field: np.concatenate([part.routing[field] for part in parts], axis=1) for field in parts[0].routing}
    columns = zip(*(part.predictions for part in parts), strict=True)
    logprob_of_next, next_ids, next_logprobs, entropy = (np.concatenate(column) for column in columns)
    flat = display_tokens(loaded.tokenizer, next_ids.ravel().tolist())
    return RoutingTrace(
        tokens=display_tokens(loaded.tokenizer, reading.ids),
        token_ids=np.array(reading.ids),
        special=np.array(reading.special),
        **routing_fields(routing),
        logprob=np.concatenate([[np.float32(np.nan)], logprob_of_next[:-1]]),
        next_ids=next_ids,
        next_tokens=[flat[i : i + next_ids.shape[1]] for i in range(0, len(flat), next_ids.shape[1])],
        next_logprobs=next_logprobs,
        next_entropy=entropy,
        meta=model_meta(loaded)
        | {"text": reading.text, **reading.meta}
        | {"format_version": INTERVENED_VERSION if interventions else FORMAT_VERSION}
        | ({"interventions": as_json(interventions)} if interventions else {}),
    )


def routing_fields(routing: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Fields of a RoutingTrace from the tensors recorded at HOOK_NAMES, each [layer, token, ...]."""
    gate = routing["gate"].squeeze(-1)
    unchanged = ("depth_logits", "expert_logits", "expert_ids", "expert_weights")
    choice = routing["loop_choice"]  # counts from 0
    ran = (gate > 0) & (routing["expert_weights"] > 0).any(axis=-1)  # weights of 0 are only had by intervention
    return {"loops": choice + 1, "gate": gate, "width_ran": ran} | {name: routing[name] for name in unchanged}


def model_meta(loaded: LoadedModel) -> dict[str, Any]:
    """The entries of `RoutingTrace.meta` about the model, whatever it reads."""
    digest, changed = loaded.weights_now()
    return {
        "model": loaded.name,
        "weights_sha256": digest,
        "gates_trained": loaded.gates_trained,
        "reads_ids": loaded.reads_ids,
        "parameters": loaded.parameter_count,
        "heads_parameters": loaded.heads_parameter_count,
        "config": {name: value for name, value in loaded.config.to_diff_dict().items() if name != "auto_map"},
        **_told_of_family(loaded),
        **({"weights_changed": True} if changed else {}),
        "dtype": str(loaded.model.dtype).removeprefix("torch."),
        "versions": _versions(),
    }


def _told_of_family(loaded: LoadedModel) -> dict[str, Any]:
    """Entries of `meta` on a model of another family: which, what it decides, and what readers must know."""
    if (adapted := loaded.adapted) is None:
        return {}
    return {"family": adapted.family, "parts": sorted(adapted.parts), "notes": list(adapted.notes)}


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    lens = ("transformer-lens",) if HAS_LENS else ()
    return {name: version(name) for name in ("torch", "transformers", *lens)}


__all__ = ["NotFiniteError", "capture"]
