"""Taps in decoder layers of transformers: the stream before and after a layer, and what its attention reads with.

Attention stays torch's scaled_dot_product_attention; `ATTENTION` is the name of a function that calls it and passes
queries and keys (after the rotary embedding), values and output through taps on the way.
"""

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from sample_models.adapter import add_tap
from sample_models.taps import tell_positions, told_positions

ATTENTION = "tapped_sdpa"
ATTENTION_TAPS = {
    "query": "blocks.{}.attn.hook_rot_q",
    "key": "blocks.{}.attn.hook_rot_k",
    "value": "blocks.{}.attn.hook_v",
    "output": "blocks.{}.attn.hook_z",
}
"""What attention reads with [row head token channel] and gives [row token head channel] -> the name of its tap."""
BEFORE, AFTER = "blocks.{}.hook_resid_pre", "blocks.{}.hook_resid_post"


def attach_streams(model: PreTrainedModel) -> None:
    """Put these taps into all layers, and have them tell the positions of their tokens. The model's numbers stay."""
    for index, layer in enumerate(model.model.layers):
        for name in (BEFORE, AFTER):
            add_tap(layer, name, index)
        layer.register_forward_pre_hook(_before_layer, with_kwargs=True)
        layer.register_forward_hook(_after_layer)
        for name in ATTENTION_TAPS.values():
            add_tap(layer.self_attn, name, index)
    model.set_attn_implementation(ATTENTION)


def attention_through_taps(
    module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask, **how
) -> tuple[torch.Tensor, None]:
    """transformers' attention with torch's scaled_dot_product_attention, past the taps while somebody listens."""
    if told_positions() is not None:
        query, key, value = module.hook_rot_q(query), module.hook_rot_k(key), module.hook_v(value)
    output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **how)
    return (output if told_positions() is None else module.hook_z(output)), None


def _before_layer(layer: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
    hidden, told = args[0], kwargs.get("position_ids")
    tell_positions(torch.arange(hidden.shape[1], device=hidden.device)[None] if told is None else told)
    if told_positions() is None:
        return None
    return (layer.hook_resid_pre(hidden), *args[1:]), kwargs


def _after_layer(layer: nn.Module, args: tuple, output: torch.Tensor) -> torch.Tensor:
    return output if told_positions() is None else layer.hook_resid_post(output)


AttentionInterface.register(ATTENTION, attention_through_taps)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)

__all__ = ["AFTER", "ATTENTION", "ATTENTION_TAPS", "BEFORE", "attach_streams"]
