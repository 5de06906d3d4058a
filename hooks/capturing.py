"""What the routing did with a text: one forward pass over it, or one over each window of a long text."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from itertools import islice
from typing import NamedTuple, overload

import numpy as np
import torch

from hooks.hook_points import HOOK_NAMES, instrument, record
from hooks.token_text import display_tokens
from hooks.trace import FORMAT_VERSION, RoutingTrace
from hooks.windows import Window, reading_windows
from sample_models.loading import LoadedModel

TOP_PREDICTIONS = 5
ROWS = 64
"""Tokens whose distributions over the vocabulary are summed up at a time."""
MAX_BATCH_TOKENS = 4096
"""Texts of a list, or their windows, share a forward pass up to this many tokens, padding included."""


@dataclass(frozen=True)
class Reading:
    """A text as the model reads it."""

    text: str
    ids: list[int]
    special: list[bool]
    """Which tokens the tokenizer added by itself."""
    context: int
    overlap: int
    windows: list[Window]
    """One, or as many as a text longer than `context` takes, each overlapping the former by `overlap` tokens."""

    @property
    def meta(self) -> dict[str, dict[str, int]]:
        """What the trace says of a text that was read in several windows."""
        if len(self.windows) == 1:
            return {}
        return {"windows": {"context": self.context, "overlap": self.overlap, "number": len(self.windows)}}


class Part(NamedTuple):
    """What one pass says of its window's own tokens."""

    routing: dict[str, np.ndarray]
    """Field of the trace -> [layer, token, ...]."""
    predictions: tuple[np.ndarray, ...]


@overload
def capture(loaded: LoadedModel, text: str, *, overlap: int | None = None) -> RoutingTrace: ...
@overload
def capture(loaded: LoadedModel, text: Sequence[str], *, overlap: int | None = None) -> list[RoutingTrace]: ...
def capture(loaded, text, *, overlap=None):
    """Trace a text, or each of a list of texts, through a loaded VersatileFFN model.

    The tokenizer adds what its own settings add and nothing else. A text within the trained context
    (`max_position_embeddings`) is read in one pass, a longer one in windows of that size, each overlapping the former
    by `overlap` tokens (default: half of it); its trace says so (`RoutingTrace.windows`). Texts of a list share passes,
    which changes no token's routing: padding stands behind the text, where a causal model cannot see it.
    Safe to call from several threads on one model.

    Raises ValueError if a text holds no token, if the overlap is no part of the context, or if the model's ffn is not
    'versatile'.
    """
    refuse_without_routing(loaded)
    instrument(loaded.model)
    alone = isinstance(text, str)
    readings = [read(loaded, each, overlap) for each in ([text] if alone else text)]
    passes = [(reading, window) for reading in readings for window in reading.windows]
    parts: list[Part | None] = [None] * len(passes)
    lengths = [window.end - window.first for _, window in passes]
    for batch in [[i] for i in range(len(passes))] if alone else _batches(lengths):
        for i, part in zip(batch, _trace_batch(loaded, [passes[i] for i in batch]), strict=True):
            parts[i] = part
    following = iter(parts)
    traces = [routing_trace(loaded, each, list(islice(following, len(each.windows)))) for each in readings]
    return traces[0] if alone else traces


def refuse_without_routing(loaded: LoadedModel) -> None:
    """Raise ValueError unless the model's ffn is 'versatile': others have no gate between width and depth."""
    if loaded.config.ffn != "versatile":
        raise ValueError(
            f"{loaded.name} has ffn {loaded.config.ffn!r}, without a gate between width and depth to trace: choose a "
            "model with ffn 'versatile'"
        )


def routing_names(layers: int) -> dict[str, list[str]]:
    """Field of a RoutingTrace -> its hook name in every layer."""
    return {field: [pattern.format(layer) for layer in range(layers)] for field, pattern in HOOK_NAMES.items()}


def read(loaded: LoadedModel, text: str, overlap: int | None = None) -> Reading:
    """Token ids and windows of a text; ValueError if it holds no token, or the overlap is no part of the context."""
    encoded = loaded.tokenizer(text, return_special_tokens_mask=True, verbose=False)
    ids, special = encoded["input_ids"], encoded["special_tokens_mask"]
    if not len(ids) > sum(special):
        raise ValueError("the text is empty: it holds no token to trace; type at least one character")
    context = loaded.config.max_position_embeddings
    overlap = context // 2 if overlap is None else overlap
    windows = reading_windows(len(ids), context, overlap)
    return Reading(text, ids, [bool(flag) for flag in special], context, overlap, windows)


def _batches(lengths: list[int]) -> Iterable[list[int]]:
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
def _trace_batch(loaded: LoadedModel, passes: list[tuple[Reading, Window]]) -> list[Part]:
    """One forward pass over windows padded on the right."""
    model = loaded.model
    longest = max(window.end - window.first for _, window in passes)
    rows = [reading.ids[window.first : window.end] for reading, window in passes]
    padded = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=model.device)
    names = routing_names(loaded.config.num_hidden_layers)
    with record(name for of_field in names.values() for name in of_field) as recording:
        logits = model(padded, use_cache=False).logits  # [window, token, vocab]
    return [window_part(reading, window, names, recording, logits, row) for row, (reading, window) in enumerate(passes)]


def window_part(
    reading: Reading,
    window: Window,
    names: Mapping[str, list[str]],
    seen: Mapping[str, torch.Tensor],
    logits: torch.Tensor,
    row: int = 0,
) -> Part:
    """What a pass says of its window's own tokens: `seen` by hook name and `logits` [row, token, ...] of the pass.

    `names`: field of the trace -> its hook names, one per layer.
    """
    own = slice(window.own - window.first, window.end - window.first)
    routing = {
        field: to_numpy(torch.stack([seen[name][row, own] for name in of_field])) for field, of_field in names.items()
    }
    return Part(routing, _predictions(logits[row, own], reading.ids[window.own + 1 : window.end + 1]))


def read_window(
    loaded: LoadedModel,
    reading: Reading,
    window: Window,
    more: Collection[str],
    keep: Callable[[str, torch.Tensor], None],
) -> Part:
    """One pass over one window, in which `keep(name, tensor)` is told what passes the hook names `more`."""
    names = routing_names(loaded.config.num_hidden_layers)
    whole = {name for of_field in names.values() for name in of_field}

    def listen(name: str, tensor: torch.Tensor) -> torch.Tensor | None:
        if name in whole:
            return tensor
        return keep(name, tensor)

    with record(whole | set(more), listen) as recording:
        ids = torch.tensor([reading.ids[window.first : window.end]], device=loaded.model.device)
        logits = loaded.model(ids, use_cache=False).logits
    return window_part(reading, window, names, recording, logits)


def _predictions(logits: torch.Tensor, following: list[int]) -> tuple[np.ndarray, ...]:
    """(log p of the token that follows [token], top ids and log p [token, top], entropy [token]), nats.

    After the last token of a text none follows, and its log p is that of token 0. A few rows at a time: the
    distributions over the vocabulary are large, and only these few numbers of each are kept.
    """
    came = torch.tensor([*following, 0][: len(logits)], device=logits.device)[:, None]
    parts = []
    for rows, after in zip(logits.split(ROWS), came.split(ROWS), strict=True):
        log_probs = rows.float().log_softmax(dim=-1)
        top = log_probs.topk(min(TOP_PREDICTIONS, log_probs.shape[-1]), dim=-1)
        entropy = -torch.einsum("tv,tv->t", log_probs.exp(), log_probs)
        parts.append((log_probs.gather(-1, after).squeeze(-1), top.indices, top.values, entropy))
    return tuple(to_numpy(torch.cat(column)) for column in zip(*parts, strict=True))


def routing_trace(loaded: LoadedModel, reading: Reading, parts: Sequence[Part]) -> RoutingTrace:
    """The trace of one text from what the pass of each of its windows says."""
    routing = {field: np.concatenate([part.routing[field] for part in parts], axis=1) for field in parts[0].routing}
    columns = zip(*(part.predictions for part in parts), strict=True)
    came, next_ids, next_logprobs, entropy = (np.concatenate(column) for column in columns)
    flat = display_tokens(loaded.tokenizer, next_ids.ravel().tolist())
    gate = routing["gate"].squeeze(-1)
    return RoutingTrace(
        tokens=display_tokens(loaded.tokenizer, reading.ids),
        token_ids=np.array(reading.ids),
        special=np.array(reading.special),
        depth_logits=routing["depth_logits"],
        loops=routing["loop_choice"] + 1,
        gate=gate,
        width_ran=gate > 0,
        expert_logits=routing["expert_logits"],
        expert_ids=routing["expert_ids"],
        expert_weights=routing["expert_weights"],
        logprob=np.concatenate([[np.float32(np.nan)], came[:-1]]),
        next_ids=next_ids,
        next_tokens=[flat[i : i + next_ids.shape[1]] for i in range(0, len(flat), next_ids.shape[1])],
        next_logprobs=next_logprobs,
        next_entropy=entropy,
        meta={
            "model": loaded.name,
            "weights_sha256": loaded.weights_sha256,
            "gates_trained": loaded.gates_trained,
            "reads_ids": loaded.reads_ids,
            "parameters": loaded.parameter_count,
            "heads_parameters": loaded.heads_parameter_count,
            "config": loaded.config.to_diff_dict(),
            "text": reading.text,
            **reading.meta,
            "dtype": str(loaded.model.dtype).removeprefix("torch."),
            "versions": _versions(),
            "format_version": FORMAT_VERSION,
        },
    )


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A copy that shares nothing with live tensors; bfloat16, which numpy lacks, becomes float32."""
    return (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy().copy()


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "transformers", "transformer-lens")}


__all__ = ["capture"]
