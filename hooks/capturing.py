"""One forward pass over a text, and everything that the routing did in it."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import overload

import numpy as np
import torch

from hooks.hook_points import HOOK_NAMES, instrument, record
from hooks.token_text import display_tokens
from hooks.trace import FORMAT_VERSION, RoutingTrace
from sample_models.loading import LoadedModel

TOP_PREDICTIONS = 5
ROWS = 64
"""Tokens whose distributions over the vocabulary are summed up at a time."""
MAX_BATCH_TOKENS = 4096
"""Texts of a list share a forward pass up to this many tokens, padding included."""


@overload
def capture(loaded: LoadedModel, text: str) -> RoutingTrace: ...
@overload
def capture(loaded: LoadedModel, text: Sequence[str]) -> list[RoutingTrace]: ...
def capture(loaded, text):
    """Trace a text, or each of a list of texts, through a loaded VersatileFFN model.

    The tokenizer adds what its own settings add and nothing else. The model runs once per text; texts of a list share
    passes, which changes no token's routing: padding stands behind the text, where a causal model cannot see it.
    Safe to call from several threads on one model.

    Raises ValueError if a text holds no token, or if the model's ffn is not 'versatile'.
    """
    refuse_without_routing(loaded)
    instrument(loaded.model)
    if isinstance(text, str):
        return _trace_batch(loaded, [text], [tokenise(loaded, text)])[0]
    encoded = [tokenise(loaded, each) for each in text]
    traces: list[RoutingTrace | None] = [None] * len(encoded)
    for batch in _batches([len(ids) for ids, _ in encoded]):
        found = _trace_batch(loaded, [text[i] for i in batch], [encoded[i] for i in batch])
        for i, trace in zip(batch, found, strict=True):
            traces[i] = trace
    return traces


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


def tokenise(loaded: LoadedModel, text: str) -> tuple[list[int], list[bool]]:
    """Token ids, and which of them the tokenizer added by itself."""
    encoded = loaded.tokenizer(text, return_special_tokens_mask=True, verbose=False)
    ids, special = encoded["input_ids"], encoded["special_tokens_mask"]
    if not len(ids) > sum(special):
        raise ValueError("the text is empty: it holds no token to trace; type at least one character")
    return ids, [bool(flag) for flag in special]


def _batches(lengths: list[int]) -> Iterable[list[int]]:
    """Indices of texts that share a pass: of similar length, longest first, within MAX_BATCH_TOKENS."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > MAX_BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


@torch.inference_mode()
def _trace_batch(loaded: LoadedModel, texts: list[str], encoded: list[tuple[list[int], list[bool]]]):
    """One forward pass over texts padded on the right, cut into one trace each."""
    model, layers = loaded.model, loaded.config.num_hidden_layers
    longest = max(len(ids) for ids, _ in encoded)
    padded = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in encoded], device=model.device)
    names = routing_names(layers)
    with record(name for of_field in names.values() for name in of_field) as recording:
        logits = model(padded, use_cache=False).logits  # [text, token, vocab]
    routing = {field: torch.stack([recording[name] for name in of_field]) for field, of_field in names.items()}
    return [
        routing_trace(
            loaded, text, ids, special, {field: t[:, i, : len(ids)] for field, t in routing.items()}, logits[i]
        )
        for i, (text, (ids, special)) in enumerate(zip(texts, encoded, strict=True))
    ]


def _predictions(logits: torch.Tensor, ids: list[int]) -> tuple[torch.Tensor, ...]:
    """(log p of each next token that came [token - 1], top ids and log p [token, top], entropy [token]), nats.

    A few rows at a time: the distributions over the vocabulary are large, and only these few numbers of each are kept.
    """
    following = torch.tensor([*ids[1:], 0], device=logits.device)[:, None]  # the last one is read by nobody
    parts = []
    for rows, after in zip(logits[: len(ids)].split(ROWS), following.split(ROWS), strict=True):
        log_probs = rows.float().log_softmax(dim=-1)
        top = log_probs.topk(min(TOP_PREDICTIONS, log_probs.shape[-1]), dim=-1)
        entropy = -torch.einsum("tv,tv->t", log_probs.exp(), log_probs)
        parts.append((log_probs.gather(-1, after).squeeze(-1), top.indices, top.values, entropy))
    came, *others = (torch.cat(column) for column in zip(*parts, strict=True))
    return came[:-1], *others


def routing_trace(loaded, text, ids, special, routing, logits) -> RoutingTrace:
    """The trace of one text from its routing tensors [layer, token, ...] and logits [token, vocab]."""
    read, top_ids, top_logprobs, entropy = _predictions(logits, ids)
    next_ids = to_numpy(top_ids)
    flat = display_tokens(loaded.tokenizer, next_ids.ravel().tolist())
    gate = to_numpy(routing["gate"]).squeeze(-1)
    return RoutingTrace(
        tokens=display_tokens(loaded.tokenizer, ids),
        token_ids=np.array(ids),
        special=np.array(special),
        depth_logits=to_numpy(routing["depth_logits"]),
        loops=to_numpy(routing["loop_choice"]) + 1,
        gate=gate,
        width_ran=gate > 0,
        expert_logits=to_numpy(routing["expert_logits"]),
        expert_ids=to_numpy(routing["expert_ids"]),
        expert_weights=to_numpy(routing["expert_weights"]),
        logprob=np.concatenate([[np.float32(np.nan)], to_numpy(read)]),
        next_ids=next_ids,
        next_tokens=[flat[i : i + next_ids.shape[1]] for i in range(0, len(flat), next_ids.shape[1])],
        next_logprobs=to_numpy(top_logprobs),
        next_entropy=to_numpy(entropy),
        meta={
            "model": loaded.name,
            "weights_sha256": loaded.weights_sha256,
            "gates_trained": loaded.gates_trained,
            "reads_ids": loaded.reads_ids,
            "parameters": loaded.parameter_count,
            "heads_parameters": loaded.heads_parameter_count,
            "config": loaded.config.to_diff_dict(),
            "text": text,
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
