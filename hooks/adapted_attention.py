"""Queries and keys of a model of another family, recorded where its attention reads with them.

As a check, weights and values must rebuild what the layer's attention gave.
"""

import numpy as np
import torch
from transformers.models.llama.modeling_llama import repeat_kv

from hooks.attention_trace import AttentionInputs
from hooks.hook_points import instrument
from hooks.passes import run_rows, to_numpy
from hooks.reading import refuse_other_model
from hooks.replay import replayed, rerouted
from hooks.tap_tensors import names_of, routing_of_tokens, tap_names
from hooks.trace import RoutingTrace
from sample_models.adapter_streams import ATTENTION_TAPS
from sample_models.loading import LoadedModel
from sample_models.taps import edited

ROWS = 128
"""Query tokens whose weights over the text are in memory at a time."""


@torch.inference_mode()
def adapted_attention(loaded: LoadedModel, trace: RoutingTrace, token: int) -> AttentionInputs:
    """`capture_attention` for a traced text in such a model: the decisions are those of the trace.

    Raises ValueError for a trace of another model, or if the model's attention is not that of the trace's layers.
    """
    refuse_other_model(loaded, trace)
    layers = range(trace.num_layers)
    if trace.num_layers != len(loaded.model.model.layers):
        raise ValueError(f"{loaded.name} runs its layers more than once, so its attention is not that of one pass")
    instrument(loaded.model)
    window, names = trace.window_of(token), names_of(loaded.config)
    read_with = {what: [name.format(layer) for layer in layers] for what, name in ATTENTION_TAPS.items()}
    ids = trace.token_ids[window.first : window.end].tolist()
    with edited(replayed(loaded, trace, window)):
        recorded = [*tap_names(names), *(name for of_what in read_with.values() for name in of_what)]
        _, seen = run_rows(loaded.model.model, [ids], recorded)
    found = {what: [seen[name][0] for name in of_what] for what, of_what in read_with.items()}
    scale = float(loaded.model.model.layers[0].self_attn.scaling)
    reread = slice(0, window.own - window.first)  # tokens that the window before owns
    return AttentionInputs(
        routing=trace,
        as_read=rerouted(trace, window.first, routing_of_tokens(loaded.config, names, seen, 0, reread)),
        window=window,
        queries=np.stack([to_numpy(each).astype(np.float32) for each in found["query"]]),
        keys=np.stack([to_numpy(each).astype(np.float32) for each in found["key"]]),
        scale=scale,
        gap=np.stack([_gap(*tensors, scale) for tensors in zip(*found.values(), strict=True)]),
    )


def _gap(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, output: torch.Tensor, scale: float) -> np.ndarray:
    """Length of (output rebuilt from causal weights - the model's own) of each token, relative to the output."""
    groups = query.shape[0] // key.shape[0]
    key, value = (repeat_kv(tensor[None], groups)[0] for tensor in (key, value))
    position, rebuilt = torch.arange(query.shape[1], device=query.device), []
    for rows in position.split(ROWS):
        end = int(rows[-1]) + 1
        scores = scale * (query[:, rows] @ key[:, :end].transpose(1, 2)).float()
        scores = scores.masked_fill(position[:end] > rows[:, None], float("-inf"))
        rebuilt.append(scores.softmax(dim=-1).to(value.dtype) @ value[:, :end])
    own = output.flatten(1).float()
    difference = torch.cat(rebuilt, dim=1).transpose(0, 1).flatten(1).float() - own
    return to_numpy(difference.norm(dim=-1) / own.norm(dim=-1).clamp_min(1e-30))


__all__ = ["adapted_attention"]
