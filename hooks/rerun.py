"""Reruns one token with edits, many variants in few small passes: what would the model have predicted there?

In a causal model an edit at a token changes nothing at the tokens before it. These run once, and only the token itself
is run again on their keys and values. The variants stand beside each other in one sequence, all at the token's
position, and each sees the tokens before it and itself alone, so that no key or value is copied for a variant. A
variant joins them at the layer of its first edit, since below it is what the token is without edits.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
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
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.taps import Edit, TapInfo, edited

MAX_VARIANTS = 256
"""Most variants of one pass."""
Check = Callable[[], None]
"""Called before each layer of each pass; an exception that it raises ends the work."""


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

    A variant without edits gives the model's own logits, up to the rounding of another batch shape. Otherwise this is
    `rerun_streams`, which says the rest.
    """
    model, streams = loaded.model, rerun_streams(loaded, trace, token, variants, past=past)
    return model.lm_head(model.model.norm(streams)).float()


@torch.inference_mode()
def rerun_streams(
    loaded: LoadedModel,
    trace: RoutingTrace,
    token: int,
    variants: Sequence[Mapping[str, Edit]],
    *,
    past: DynamicCache | None = None,
    check: Check = lambda: None,
) -> torch.Tensor:
    """Streams [variant, hidden] after the last layer at a token of a traced text, rerun with the edits of each variant.

    An edit takes and returns the tensor of this one token in its variant, [1, ...]. Decisions that a variant's edits
    cannot change are replayed from the trace; the later ones are made anew, under the interventions of the trace if it
    has any, which a variant's own edits follow. `past` holds the keys and values of this token's `own_pass`;
    without it the tokens before are run once more. Safe to call from several threads.

    Raises ValueError for a trace of another model.
    """
    refuse_other_model(loaded, trace)
    model, window = loaded.model, trace.window_of(token)
    instrument(model)
    place = token - window.first
    if place and past is None:
        past = own_pass(loaded, trace, token).past
    streams, again = [], edits_of(loaded, trace, window)
    for start in range(0, len(variants), MAX_VARIANTS):
        batch = variants[start : start + MAX_VARIANTS]
        begins = [min((_layer(name) for name in variant), default=trace.num_layers) for variant in batch]
        order = sorted(range(len(batch)), key=begins.__getitem__)
        rows, begins = [{}, *(batch[i] for i in order)], [0, *sorted(begins)]
        with edited(again), edited(_replayed_decisions(trace, token, rows, begins)), edited(_edits_by_row(rows)):
            stream = _streams(model, int(trace.token_ids[token]), place, past, begins, check)
        streams.append(stream[1:][np.argsort(order)])
    return torch.cat(streams)


def _streams(
    model: VersatileFFNForCausalLM,
    token_id: int,
    place: int,
    past: DynamicCache | None,
    begins: Sequence[int],
    check: Check,
) -> torch.Tensor:
    """The stream [row, hidden] after the last layer, of a token at a place in its window.

    A row leaves the first one before layer `begins[row]`; these ascend from 0.
    """
    inner, device = model.model, model.device
    past = cache_before(past, place) if place else None
    stream = inner.embed_tokens(torch.tensor([[token_id]], device=device))  # [1, row, hidden]
    turned = inner.rotary_emb(stream, position_ids=torch.tensor([[place]], device=device))
    for index in range(len(inner.layers) + 1):
        rows = bisect_right(begins, index)
        stream = torch.cat([stream, stream[:, :1].expand(1, rows - stream.shape[1], -1)], dim=1)
        if index == len(inner.layers):
            return stream[0]
        check()
        before = torch.ones(rows, place, dtype=torch.bool, device=device)
        seen = torch.cat([before, torch.eye(rows, dtype=torch.bool, device=device)], dim=1)
        stream = inner.layers[index](
            stream,
            attention_mask=seen[None, None],
            position_ids=torch.full((1, rows), place, device=device),
            position_embeddings=turned,
            past_key_values=past,
        )


def _replayed_decisions(
    trace: RoutingTrace, token: int, rows: Sequence[Mapping[str, Edit]], begins: Sequence[int]
) -> dict[str, Edit]:
    """Edits that replay each decision of the trace in the rows whose own edits cannot change it.

    These are the first row and, in the layer where a row begins, that row if its edits come behind the decision: rows
    that begin later are not there yet, and those that began before are disturbed.
    """

    def put(places: list[int], value: np.ndarray) -> Edit:
        def edit(tensor: torch.Tensor, hook: TapInfo) -> torch.Tensor:
            tensor = tensor.clone()
            tensor[0, places] = torch.tensor(value, dtype=tensor.dtype, device=tensor.device)
            return tensor

        return edit

    edits = {}
    for name, value in decided(trace, slice(token, token + 1)).items():
        layer = _layer(name)
        here = range(bisect_left(begins, layer, lo=1), bisect_right(begins, layer))
        edits[name] = put([0, *(place for place in here if undisturbed(name, rows[place]))], value)
    return edits


def _edits_by_row(rows: Sequence[Mapping[str, Edit]]) -> dict[str, Edit]:
    """One edit per hook name, which applies to each row the edit that it has there, if any."""

    def of_rows(changes: dict[int, Edit]) -> Edit:
        def edit(tensor: torch.Tensor, hook: TapInfo) -> torch.Tensor:
            tensor = tensor.clone()
            for place, change in changes.items():
                tensor[0, place : place + 1] = change(tensor[0, place : place + 1], hook=hook)
            return tensor

        return edit

    names = {name for row in rows for name in row}
    return {name: of_rows({place: row[name] for place, row in enumerate(rows) if name in row}) for name in names}


def _layer(name: str) -> int:
    """Layer of a hook name."""
    return int(name.split(".")[1])


def cache_before(past: DynamicCache, token: int) -> DynamicCache:
    """The keys and values of the tokens before `token`, to which a pass may append its own without changing `past`."""
    if token == 0:
        return DynamicCache()
    return DynamicCache([tuple(tensor[:, :, :token] for tensor in layer[:2]) for layer in past])


def _cache_entries_per_token(config: VersatileFFNConfig) -> int:
    """Entries of the keys and values of one token, all layers together."""
    return 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim


__all__ = ["OwnPass", "cache_before", "own_pass", "own_pass_bytes", "rerun_streams", "rerun_token"]
