"""Reruns one token with edits, many variants in few small passes: what would the model have predicted there?

In a causal model an edit at a token changes nothing at the tokens before it. These run once, and only the token itself
is run again, once per variant, on their keys and values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from transformers import DynamicCache

from hooks.hook_points import instrument
from hooks.intervening import edits_of
from hooks.passes import run_rows
from hooks.reading import refuse_other_model
from hooks.replay import decided, replayed, undisturbed
from hooks.trace import RoutingTrace
from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.loading import LoadedModel
from sample_models.taps import Edit, TapInfo, edited

MAX_CACHE_BYTES = 256 * 2**20
"""Most memory for the repeated keys and values of one pass; more variants take more passes."""


@dataclass(frozen=True)
class OwnPass:
    """The plain pass of one window, without edits: its logits, and the keys and values on which a token is rerun.

    Read only; several threads may share one.
    """

    first: int
    """Position in the text of the window's first token."""
    ids: list[int]
    logits: Float[torch.Tensor, "token vocab"]
    past: DynamicCache
    """Keys and values of every layer."""


def own_pass_bytes(config: VersatileFFNConfig, tokens: int) -> int:
    """Bytes of the `OwnPass` of this many tokens in float32."""
    return 4 * tokens * (_cache_entries_per_token(config) + config.vocab_size)


@torch.inference_mode()
def own_pass(loaded: LoadedModel, trace: RoutingTrace, token: int) -> OwnPass:
    """Run the window that owns `token` once, without edits and routed as `trace` says.

    Raises ValueError for a trace of another model.
    """
    refuse_other_model(loaded, trace)
    instrument(loaded.model)
    window = trace.window_of(token)
    ids = trace.token_ids[window.first : window.end].tolist()
    with edited(replayed(loaded, trace, window)):
        output, _ = run_rows(loaded.model, [ids], use_cache=True)
    return OwnPass(window.first, ids, output.logits[0], output.past_key_values)


@torch.inference_mode()
def rerun_token(
    loaded: LoadedModel,
    trace: RoutingTrace,
    token: int,
    variants: Sequence[Mapping[str, Edit]],
    *,
    past: DynamicCache | None = None,
) -> torch.Tensor:
    """Logits [variant, vocab] at a token of a traced text, rerun with the edits of each variant (hook name -> edit).

    An edit takes and returns the tensor of this one token in its variant, [1, ...]. Decisions that a variant's edits
    cannot change are replayed from the trace; the later ones are made anew, under the interventions of the trace if it
    has any, which a variant's own edits follow. A variant without edits gives the model's
    own logits, up to the rounding of another batch shape. `past` holds the keys and values of this token's `own_pass`;
    without it the tokens before are run once more. Safe to call from several threads.

    Raises ValueError for a trace of another model.
    """
    refuse_other_model(loaded, trace)
    model, window = loaded.model, trace.window_of(token)
    instrument(model)
    place = token - window.first
    if place and past is None:
        past = own_pass(loaded, trace, token).past
    here = torch.tensor([[trace.token_ids[token]]], device=model.device)
    logits, again = [], edits_of(loaded, trace, window)
    for start in range(0, len(variants), (rows := _rows_per_pass(loaded, place))):
        batch = variants[start : start + rows]
        with edited(again), edited(_replayed_decisions(trace, token, batch)), edited(_edits_by_row(batch)):
            own_past = _repeated_past(past, place, len(batch)) if place else None
            output = model(here.expand(len(batch), 1), past_key_values=own_past, use_cache=bool(place))
            logits.append(output.logits[:, -1])
    return torch.cat(logits).float()


def _replayed_decisions(trace: RoutingTrace, token: int, variants: Sequence[Mapping[str, Edit]]) -> dict[str, Edit]:
    """Edits that replay each decision of the trace in the rows of the variants whose edits cannot change it."""

    def put(rows: list[int], value: np.ndarray) -> Edit:
        def edit(tensor: torch.Tensor, hook: TapInfo) -> torch.Tensor:
            tensor = tensor.clone()
            tensor[rows] = torch.tensor(value, dtype=tensor.dtype, device=tensor.device)
            return tensor

        return edit

    edits = {}
    for name, value in decided(trace, slice(token, token + 1)).items():
        if rows := [row for row, variant in enumerate(variants) if undisturbed(name, variant)]:
            edits[name] = put(rows, value)
    return edits


def _edits_by_row(variants: Sequence[Mapping[str, Edit]]) -> dict[str, Edit]:
    """One edit per hook name, which applies to each row the edit that its variant has there, if any."""

    def of_rows(rows: dict[int, Edit]) -> Edit:
        def edit(tensor: torch.Tensor, hook: TapInfo) -> torch.Tensor:
            tensor = tensor.clone()
            for row, change in rows.items():
                tensor[row] = change(tensor[row], hook=hook)
            return tensor

        return edit

    names = {name for variant in variants for name in variant}
    return {
        name: of_rows({row: variant[name] for row, variant in enumerate(variants) if name in variant}) for name in names
    }


def _repeated_past(past: DynamicCache, token: int, times: int) -> DynamicCache:
    """The keys and values of the tokens before `token`, copied once per row, because a pass appends to them."""
    return DynamicCache(
        [tuple(tensor[:, :, :token].expand(times, -1, -1, -1) for tensor in layer[:2]) for layer in past]
    )  # fmt: skip


def _rows_per_pass(loaded: LoadedModel, token: int) -> int:
    size = (token + 1) * _cache_entries_per_token(loaded.config) * loaded.model.dtype.itemsize
    return max(MAX_CACHE_BYTES // size, 1)


def _cache_entries_per_token(config: VersatileFFNConfig) -> int:
    """Entries of the keys and values of one token, all layers together."""
    return 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim


__all__ = ["OwnPass", "own_pass", "own_pass_bytes", "rerun_token"]
