"""Fields of a trace from the router logits of any mixture of experts: arrays in, arrays out, no model and no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_softmax, softmax

from hooks.token_text import display_tokens, token_bytes
from hooks.trace_checks import MAX_NUMBER
from sample_models.adapter_families import MOE

NOTE = "This trace was made from router logits, and its layers are those with a router."
TOP_PREDICTIONS = 5
ROWS = 64
"""Tokens whose distributions over the vocabulary are in memory at a time."""


def router_fields(
    router_logits: ArrayLike | Sequence[ArrayLike],
    *,
    logits: ArrayLike,
    token_ids: ArrayLike,
    k: int,
    tokenizer: Any = None,
    special: ArrayLike | None = None,
    expert_ids: ArrayLike | None = None,
    expert_weights: ArrayLike | None = None,
    model: str = "unknown",
    config: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """All fields of a RoutingTrace, by name; `RoutingTrace.from_router_logits` describes the first three arguments.

    k               experts that the model chooses per token
    tokenizer       of transformers; gives tokens their text. Without it they are shown by id, as ⟨#17⟩
    special         [token] True for tokens that the tokenizer added; default: those that it calls special
    expert_ids      [layer, token, k] chosen experts; default: those of the k largest logits
    expert_weights  [layer, token, k] their weights, in the same order, 0 to 1; default: softmax over their logits
    model           name of the model
    config          its sizes, such as `hidden_size` and `intermediate_size` (of all experts together)

    Weights that are given are kept, whatever their sum. Raises ValueError for arrays that do not fit each other, or are
    not finite.
    """
    router, predicted, ids = _checked(router_logits, logits, token_ids)
    layers, tokens, experts = router.shape
    if not 1 <= k <= experts:
        raise ValueError(f"k must be 1..{experts}, the number of experts, got {k}")
    chosen, weights = _best_first(router, k, expert_ids, expert_weights)
    shown = _shown(tokenizer, ids)
    logprob, next_ids, next_logprobs, entropy = _predictions(predicted, ids)
    return {
        "tokens": shown,
        "token_ids": ids.astype(np.int64),
        "special": _special(tokenizer, ids, special),
        "depth_logits": np.zeros((layers, tokens, 1), np.float32),
        "loops": np.ones((layers, tokens), np.int64),
        "gate": np.ones((layers, tokens), np.float32),
        "width_ran": np.ones((layers, tokens), bool),
        "expert_logits": router,
        "expert_ids": chosen,
        "expert_weights": weights,
        "logprob": logprob,
        "next_ids": next_ids,
        "next_tokens": [_shown(tokenizer, row) for row in next_ids],
        "next_logprobs": next_logprobs,
        "next_entropy": entropy,
        "meta": {
            "model": model,
            "text": b"".join(map(token_bytes, shown)).decode("utf-8", errors="replace") if tokenizer else "",
            "family": MOE,
            "parts": ["width"],
            "notes": [NOTE],
            "config": {"num_experts": experts, "num_experts_per_tok": k, "num_hidden_layers": layers, **(config or {})},
        },
    }


def _checked(
    router_logits: ArrayLike | Sequence[ArrayLike], logits: ArrayLike, token_ids: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Router logits [layer, token, expert] as float32, logits [token, vocab] and ids [token], which fit each other."""
    stacked = [np.asarray(layer, dtype=np.float32) for layer in router_logits]
    if not stacked or len({layer.shape for layer in stacked}) > 1:
        raise ValueError("router_logits must have one or more layers, each with the same tokens and experts")
    router, predicted, ids = np.stack(stacked), np.asarray(logits), np.asarray(token_ids)
    if ids.ndim != 1 or ids.dtype.kind not in "iu" or not len(ids) or ids.min() < 0:
        raise ValueError(f"token_ids must be whole numbers [token] from 0, at least one, got {_shape(ids)}")
    if router.ndim != 3 or router.shape[1] != len(ids):
        raise ValueError(f"router_logits must be [layer, {len(ids)} tokens, expert], got {_shape(router)}")
    if predicted.ndim != 2 or len(predicted) != len(ids) or predicted.shape[1] <= ids.max():
        raise ValueError(
            f"logits must be [{len(ids)} tokens, vocab] with a number for every id, got {_shape(predicted)}"
        )
    for name, values in (("router_logits", router), ("logits", predicted)):
        if not (np.abs(values) <= MAX_NUMBER).all():
            raise ValueError(f"{name} holds numbers that are not finite, or beyond {MAX_NUMBER:g}")
    return router, predicted, ids


def _best_first(
    router: np.ndarray, k: int, ids: ArrayLike | None, weights: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray]:
    """Chosen experts and their weights, [layer, token, k] both, the largest weight first."""
    if ids is None and weights is not None:
        raise ValueError("expert_weights need expert_ids, which say whose weights they are")
    chosen = np.argsort(-router, axis=-1, kind="stable")[..., :k] if ids is None else np.asarray(ids)
    if chosen.shape != (*router.shape[:2], k) or chosen.dtype.kind not in "iu":
        raise ValueError(f"expert_ids must be whole numbers [layer, token, {k}], got {_shape(chosen)}")
    if chosen.min() < 0 or chosen.max() >= router.shape[2]:
        raise ValueError(f"expert_ids must be 0..{router.shape[2] - 1}, they run from {chosen.min()} to {chosen.max()}")
    own = softmax(np.take_along_axis(router, chosen, axis=-1), axis=-1)
    shares = own if weights is None else np.asarray(weights, dtype=np.float32)
    if shares.shape != chosen.shape or not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError(f"expert_weights must be [layer, token, {k}], from 0 to 1, got {_shape(shares)}")
    order = np.argsort(-shares, axis=-1, kind="stable")
    best = np.take_along_axis(chosen, order, axis=-1).astype(np.int64)
    return best, np.take_along_axis(shares, order, axis=-1).astype(np.float32)


def _predictions(logits: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, ...]:
    """logprob [token], top ids and log p [token, top], entropy [token]; nats. A few rows at a time."""
    logprob, parts = np.full(len(ids), np.nan, np.float32), []
    top = min(TOP_PREDICTIONS, logits.shape[1])
    for first in range(0, len(ids), ROWS):
        log_p = log_softmax(logits[first : first + ROWS].astype(np.float32), axis=-1)
        following = ids[first + 1 : first + 1 + len(log_p)]
        logprob[first + 1 : first + 1 + len(following)] = log_p[np.arange(len(following)), following]
        best = np.argsort(-log_p, axis=-1, kind="stable")[:, :top].astype(np.int64)
        parts.append((best, np.take_along_axis(log_p, best, axis=-1), 0 - (np.exp(log_p) * log_p).sum(axis=-1)))
    return logprob, *(np.concatenate(column) for column in zip(*parts, strict=True))


def _shown(tokenizer: Any, ids: np.ndarray) -> list[str]:
    return display_tokens(tokenizer, ids.tolist()) if tokenizer else [f"⟨#{each}⟩" for each in ids.tolist()]


def _special(tokenizer: Any, ids: np.ndarray, given: ArrayLike | None) -> np.ndarray:
    if given is None:
        return np.isin(ids, tokenizer.all_special_ids if tokenizer else [])
    stated = np.asarray(given, dtype=bool)
    if stated.shape != ids.shape:
        raise ValueError(f"special must be [{len(ids)} tokens], got {_shape(stated)}")
    return stated


def _shape(values: np.ndarray) -> str:
    return f"{values.dtype.name} [{', '.join(map(str, values.shape))}]"


__all__ = ["router_fields"]
