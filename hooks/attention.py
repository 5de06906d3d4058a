"""Captures the queries and keys of every layer, in one more pass with the decisions of a trace.

The model's attention (SDPA) does not return its weights. They are computed from queries and keys, which the layer's own
modules give for the stream before it. As a check, weights and values must rebuild what the layer's attention wrote.
"""

import numpy as np
import torch
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb, repeat_kv

from hooks.adapted_attention import adapted_attention
from hooks.attention_trace import AttentionInputs
from hooks.capturing import capture, routing_names
from hooks.hook_points import instrument
from hooks.passes import run_rows, to_numpy
from hooks.replay import replayed, rerouted, trace_of
from hooks.trace import RoutingTrace
from sample_models.loading import LoadedModel
from sample_models.taps import edited

ROWS = 128
"""Query tokens whose weights over the text are in memory at a time."""


@torch.inference_mode()
def capture_attention(loaded: LoadedModel, text: RoutingTrace | str, *, token: int = 0) -> AttentionInputs:
    """Capture the queries and keys of all layers over a traced text; `.at(token)` gives the weights of a token's heads.

    The model runs once more, with its own attention and the loops, gate, experts and weights of the trace
    (`hooks.replay`). In a text longer than the trained context no head reads across windows (see `capture`): only the
    window that owns `token` is run and captured. A text without a trace is traced first. Size of the result:
    `attention_bytes(layers, tokens, hidden_size)`. Safe to call from several threads.

    Raises ValueError if the trace is of another model, if the text has no tokens or not this one, or if the model has
    no depth head and router.
    """
    if loaded.adapted is not None:
        trace = capture(loaded, text) if isinstance(text, str) else text
    else:
        trace = trace_of(loaded, text)
    if not 0 <= token < trace.num_tokens:
        raise ValueError(f"token must be 0..{trace.num_tokens - 1}, got {token}")
    if loaded.adapted is not None:
        return adapted_attention(loaded, trace, token)
    instrument(loaded.model)
    model, layers = loaded.model, loaded.config.num_hidden_layers
    before = {f"blocks.{layer}.hook_resid_pre": layer for layer in range(layers)}
    after = {f"blocks.{layer}.hook_resid_mid": layer for layer in range(layers)}
    queries, keys, gaps = [], [], []
    rebuilt = torch.empty(0)

    def keep(name: str, tensor: torch.Tensor) -> None:
        nonlocal rebuilt  # the stream after the attention of the layer that runs, computed from its weights
        if name in before:
            query, key, value = _inputs(model, before[name], tensor)
            queries.append(to_numpy(query))
            keys.append(to_numpy(key))
            rebuilt = tensor[0] + _write(model.model.layers[before[name]].self_attn, query, key, value)
        else:
            own = tensor[0].float()
            gaps.append(to_numpy((rebuilt.float() - own).norm(dim=-1) / own.norm(dim=-1).clamp_min(1e-30)))

    window = trace.window_of(token)
    names = {name: field for field, of_field in routing_names(layers).items() for name in of_field}
    reread = slice(0, window.own - window.first)  # tokens that the window before owns
    routed: dict[str, list[np.ndarray]] = {field: [] for field in names.values()}

    def listen(name: str, tensor: torch.Tensor) -> None:
        if name in names:
            routed[names[name]].append(to_numpy(tensor[0, reread]))
        else:
            keep(name, tensor)

    with edited(replayed(loaded, trace, window)):
        run_rows(model, [trace.token_ids[window.first : window.end].tolist()], [*before, *after, *names], listen)
    return AttentionInputs(
        routing=trace,
        as_read=rerouted(trace, window.first, {field: np.stack(values) for field, values in routed.items()}),
        window=window,
        queries=np.stack(queries),
        keys=np.stack(keys),
        scale=float(model.model.layers[0].self_attn.scaling),
        gap=np.stack(gaps),
    )


def _inputs(model, layer: int, stream: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries [head token channel], keys and values [shared token channel] of a layer from the stream before it."""
    block, positions = model.model.layers[layer], torch.arange(stream.shape[1], device=stream.device)[None]
    attention, normed = block.self_attn, block.input_layernorm(stream)
    query, key, value = (
        project(normed).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    query, key = apply_rotary_pos_emb(query, key, *model.model.rotary_emb(stream, position_ids=positions))
    return query[0], key[0], value[0]


def _write(attention, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """What attention adds to the stream [token hidden]: softmax in float32 of the causal scores, times the values."""
    key, value = (repeat_kv(tensor[None], attention.num_key_value_groups)[0] for tensor in (key, value))
    position, written = torch.arange(query.shape[1], device=query.device), []
    for rows in position.split(ROWS):
        end = int(rows[-1]) + 1
        scores = attention.scaling * (query[:, rows] @ key[:, :end].transpose(1, 2)).float()
        scores = scores.masked_fill(position[:end] > rows[:, None], float("-inf"))
        written.append(scores.softmax(dim=-1).to(value.dtype) @ value[:, :end])
    return attention.o_proj(torch.cat(written, dim=1).transpose(0, 1).flatten(1))


__all__ = ["capture_attention"]
