"""What the model would have said at one token, had something there been otherwise: many variants in few small passes.

The tokens before are computed once and stay as they are: a causal model cannot carry a change backwards. Only the token
itself runs anew, once per variant, on the keys and values of those before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from transformers import DynamicCache

from hooks.hook_points import instrument
from hooks.passes import run_rows
from hooks.reading import refuse_other_model
from hooks.replay import decided, replayed, undisturbed
from hooks.trace import RoutingTrace
from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.loading import LoadedModel
from sample_models.taps import Edit, TapInfo, edited

MAX_CACHE_BYTES = 256 * 2**20
"""Memory that the repeated keys and values of one pass may take; more variants take more passes."""


@dataclass(frozen=True)
class OwnPass:
    """The model as it is over the tokens that it read together: what each of them is run again on.

    Read only; several threads may share one.
    """

    first: int
    """Position in the text of the first token."""
    ids: list[int]
    logits: Float[torch.Tensor, "token vocab"]
    past: DynamicCache
    """Keys and values of every layer."""


def own_pass_bytes(config: VersatileFFNConfig, tokens: int) -> int:
    """Size of the `OwnPass` of so many tokens in float32."""
    return 4 * tokens * (_past_numbers(config) + config.vocab_size)


@torch.inference_mode()
def own_pass(loaded: LoadedModel, trace: RoutingTrace, token: int) -> OwnPass:
    """Run once, as it is and routed as `trace` says, the text that the trace is of.

    Of a long text the window runs that this token's numbers come from. Raises ValueError for a trace of another model.
    """
    refuse_other_model(loaded, trace)
    instrument(loaded.model)
    window = trace.window_of(token)
    ids = trace.token_ids[window.first : window.end].tolist()
    with edited(replayed(trace, window)):
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
    """Logits [variant, vocab] after a token of a traced text, each with its own edits (hook name -> edit) at it.

    An edit takes and returns the tensor of this one token in its variant, [1, ...]. What a variant's edits cannot have
    changed is decided as the trace says; from there on the layers decide anew. Without edits a variant gives the
    model's own logits, up to the rounding of another batch shape. `past` are the keys and values of the `own_pass` of
    this token; without it the tokens before are run once more. Safe to call from several threads.

    Raises ValueError for a trace of another model.
    """
    refuse_other_model(loaded, trace)
    model, window = loaded.model, trace.window_of(token)
    instrument(model)
    place = token - window.first
    if place and past is None:
        past = own_pass(loaded, trace, token).past
    here = torch.tensor([[trace.token_ids[token]]], device=model.device)
    found = []
    for start in range(0, len(variants), (rows := _rows_per_pass(loaded, place))):
        some = variants[start : start + rows]
        with edited(_decided_before(trace, token, some)), edited(_by_row(some)):
            own_past = _repeated(past, place, len(some)) if place else None
            output = model(here.expand(len(some), 1), past_key_values=own_past, use_cache=bool(place))
            found.append(output.logits[:, -1])
    return torch.cat(found).float()


def _decided_before(trace: RoutingTrace, token: int, variants: Sequence[Mapping[str, Edit]]) -> dict[str, Edit]:
    """One edit per decision, which puts the trace's into the rows of those variants whose edits leave it alone."""

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


def _by_row(variants: Sequence[Mapping[str, Edit]]) -> dict[str, Edit]:
    """One edit per hook name, which changes the rows of those variants that have one there."""

    def of_rows(rows: dict[int, Edit]) -> Edit:
        def edit(tensor: torch.Tensor, hook: TapInfo) -> torch.Tensor:
            tensor = tensor.clone()
            for row, change in rows.items():
                tensor[row] = change(tensor[row], hook=hook)
            return tensor

        return edit

    names = {name for variant in variants for name in variant}
    return {name: of_rows({row: each[name] for row, each in enumerate(variants) if name in each}) for name in names}


def _repeated(past: DynamicCache, token: int, times: int) -> DynamicCache:
    """A copy of the keys and values of the tokens before `token`, once per row: a pass appends to it."""
    return DynamicCache(
        [tuple(each[:, :, :token].expand(times, -1, -1, -1) for each in layer[:2]) for layer in past]
    )  # fmt: skip


def _rows_per_pass(loaded: LoadedModel, token: int) -> int:
    size = (token + 1) * _past_numbers(loaded.config) * loaded.model.dtype.itemsize
    return max(MAX_CACHE_BYTES // size, 1)


def _past_numbers(config: VersatileFFNConfig) -> int:
    """Numbers in the keys and values of one token."""
    return 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim


__all__ = ["OwnPass", "own_pass", "own_pass_bytes", "rerun_token"]
