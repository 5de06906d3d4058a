"""What the model would have said at one token, had something there been otherwise: many variants in few small passes.

The tokens before are computed once and stay as they are: a causal model cannot carry a change backwards. Only the token
itself runs anew, once per variant, on the keys and values of those before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from transformers import DynamicCache

from hooks.capturing import to_numpy
from hooks.hook_points import HOOK_NAMES, Edit, edited, instrument, record
from hooks.trace import RoutingTrace
from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.loading import LoadedModel

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
    loops: Int[np.ndarray, "layer token"]
    """Loops after which each token left."""
    logits: Float[torch.Tensor, "token vocab"]
    past: DynamicCache
    """Keys and values of every layer."""


def own_pass_bytes(config: VersatileFFNConfig, tokens: int) -> int:
    """Size of the `OwnPass` of so many tokens in float32."""
    return 4 * tokens * (_past_numbers(config) + config.vocab_size)


@torch.inference_mode()
def own_pass(loaded: LoadedModel, trace: RoutingTrace, token: int) -> OwnPass:
    """Run once, as it is, the text that `trace` is of; of a long one the window that this token's numbers come from."""
    window = trace.window_of(token)
    ids = trace.token_ids[window.first : window.end].tolist()
    names = [HOOK_NAMES["loop_choice"].format(layer) for layer in range(trace.num_layers)]
    instrument(loaded.model)
    with record(names) as plain:
        output = loaded.model(torch.tensor([ids], device=loaded.model.device), use_cache=True)
    loops = np.stack([to_numpy(plain[name][0]) for name in names]) + 1  # a choice counts from 0
    return OwnPass(window.first, ids, loops, output.logits[0], output.past_key_values)


@torch.inference_mode()
def rerun_token(
    loaded: LoadedModel,
    ids: Sequence[int],
    token: int,
    variants: Sequence[Mapping[str, Edit]],
    *,
    past: DynamicCache | None = None,
) -> torch.Tensor:
    """Logits [variant, vocab] after `ids[token]`, each with its own edits (hook name -> edit) at this token.

    An edit takes and returns the tensor of this one token in its variant, [1, ...]. Without edits a variant gives the
    model's own logits, up to the rounding of another batch shape. `past` are the keys and values of a pass that read
    the tokens before, at least; without it they are run once more. Safe to call from several threads.
    """
    model = loaded.model
    instrument(model)
    if token and past is None:
        before = torch.tensor([list(ids[:token])], device=model.device)
        past = model.model(before, use_cache=True).past_key_values
    here = torch.tensor([[ids[token]]], device=model.device)
    found = []
    for start in range(0, len(variants), (rows := _rows_per_pass(loaded, token))):
        some = variants[start : start + rows]
        with edited(_by_row(some)):
            own_past = _repeated(past, token, len(some)) if token else None
            output = model(here.expand(len(some), 1), past_key_values=own_past, use_cache=bool(token))
            found.append(output.logits[:, -1])
    return torch.cat(found).float()


def _by_row(variants: Sequence[Mapping[str, Edit]]) -> dict[str, Edit]:
    """One edit per hook name, which changes the rows of those variants that have one there."""

    def of_rows(rows: dict[int, Edit]) -> Edit:
        def edit(tensor: torch.Tensor) -> torch.Tensor:
            tensor = tensor.clone()
            for row, change in rows.items():
                tensor[row] = change(tensor[row])
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
