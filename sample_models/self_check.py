"""The check of a model on loading: finite logits and decisions, and FFN outputs that equal the sum of their parts."""

import torch

from sample_models.modeling_versatile import VersatileFFN, VersatileFFNForCausalLM
from sample_models.taps import record

TOLERANCE = {torch.float64: 1e-5, torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 1e-2}
"""Largest allowed difference between an FFN output and its rebuilt value, relative to the largest entry of the token's
output or input: rounding grows with what is summed. Of every token by itself, since the stream of the first token is
hundreds of times as large as the others' in some models."""

CHECK_TOKENS = 24
PARTS = ("hook_in", "hook_loop_choice", "hook_lambda", "hook_expert_indices", "hook_expert_weights", "hook_out")
"""Taps of an FFN from which its output is rebuilt, and of the output itself."""
LOGITS = {"hook_depth_logits": "depth head", "hook_router_logits": "router"}
"""Tap of an FFN -> the head whose logits pass it: a choice among infinite ones is none, though its output is finite."""


@torch.no_grad()
def check_model(model: VersatileFFNForCausalLM) -> None:
    """Run a short text through a model in eval mode, and compare each layer's FFN output with its rebuilt value.

    Raises ValueError if a logit of the model, of a depth head or of a router is not finite, or if a layer's output
    differs from `rebuilt_output` by more than `TOLERANCE` (the sentence names layer and gap).
    """
    vocab_size = model.config.vocab_size
    ids = torch.arange(CHECK_TOKENS, device=model.device)[None] * vocab_size // CHECK_TOKENS  # [1, token]
    ffns = {i: layer.mlp for i, layer in enumerate(model.model.layers) if isinstance(layer.mlp, VersatileFFN)}
    with record(f"blocks.{layer}.mlp.{name}" for layer in ffns for name in (*PARTS, *LOGITS)) as recorded:
        logits = model(ids, use_cache=False).logits
    if not logits.isfinite().all():
        raise ValueError("its logits are not finite, so its weights are damaged or overflow: try another dtype or copy")
    tolerance = TOLERANCE[logits.dtype]
    for layer, ffn in ffns.items():
        for name, head in LOGITS.items():
            if not recorded[f"blocks.{layer}.mlp.{name}"].isfinite().all():
                raise ValueError(
                    f"the logits of the {head} of layer {layer} are not finite, so its weights are damaged or "
                    "overflow: try another dtype or copy"
                )
        seen = {name: recorded[f"blocks.{layer}.mlp.{name}"] for name in PARTS}
        output, hidden = seen["hook_out"].float(), seen["hook_in"].float()
        scale = torch.maximum(output.abs(), hidden.abs()).amax(dim=-1).clamp_min(1e-30)  # [1, token]
        gap = ((output - rebuilt_output(ffn, seen).float()).abs().amax(dim=-1) / scale).max().item()
        if not gap <= tolerance:
            raise ValueError(
                f"the FFN output of layer {layer} must equal the sum of its recorded parts within {tolerance:g} of a "
                f"token's largest entry, got a gap of {gap:.2g}: model code and weights do not belong together"
            )


def rebuilt_output(ffn: VersatileFFN, seen: dict[str, torch.Tensor]) -> torch.Tensor:
    """Y [batch, token, d] = H + (1 - lambda) * sum of the steps taken + lambda * sum of w_e f_e(H).

    Steps and expert outputs are computed separately for each path, without the merged operations of the forward pass.
    """
    hidden, choice, width_share = seen["hook_in"], seen["hook_loop_choice"], seen["hook_lambda"]
    depth, state = torch.zeros_like(hidden), hidden
    for loop in range(ffn.max_loops):
        step = ffn.loop(state) - state  # D_l, the write of loop l
        depth += step * (choice >= loop)[..., None]
        state = state + step
    chosen = ffn.expert_outputs(ffn.activations(hidden)).take_along_dim(seen["hook_expert_indices"][..., None], dim=-2)
    width = (seen["hook_expert_weights"][..., None] * chosen).sum(dim=-2)
    return hidden + (1 - width_share) * depth + width_share * width
