"""References for converted models: the released code's numbers, and a slow forward pass over the trainer's tensors."""

import numpy as np
import torch
from torch.nn import functional as F

from hooks import capture
from tests.golden_weights import golden

TOLERANCE = 5e-5


def check_golden(loaded):
    """Assert logits within tolerance of the released code's, and the same loops and experts."""
    expected = golden("tiny/eval")
    with torch.no_grad():
        logits = loaded.model(expected["input_ids"]).logits
    torch.testing.assert_close(logits, expected["logits"], rtol=0, atol=TOLERANCE)
    for row, ids in enumerate(expected["input_ids"]):
        trace = capture(loaded, " ".join(map(str, ids.tolist())))
        for layer in range(trace.num_layers):
            block = f"blocks.{layer}."
            np.testing.assert_array_equal(trace.loops[layer] - 1, expected[f"{block}loop_choice"][row])
            np.testing.assert_array_equal(trace.expert_ids[layer], expected[f"{block}topk_indices"][row])


def olmo_logits(tensors: dict[str, torch.Tensor], settings: dict, ids: torch.Tensor) -> torch.Tensor:
    """Logits [token, embedding_size] of one row of ids, for names without prefix and groups."""
    d, heads, kv = settings["d_model"], settings["n_heads"], settings["n_kv_heads"] or settings["n_heads"]
    hidden = tensors["transformer.wte.weight"][ids]
    for layer in range(settings["n_layers"]):
        prefix = f"transformer.blocks.{layer}."
        block = {
            name.removeprefix(prefix).removesuffix(".weight"): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
        normed = norm(hidden, block["attn_norm"], settings)
        if "att_proj" in block:
            width = d // heads * kv
            q, k, v = (normed @ block["att_proj"].T).split([d, width, width], dim=-1)
        else:
            q, k, v = (normed @ block[f"{letter}_proj"].T for letter in "qkv")
        hidden = hidden + attention(q, k, v, heads, kv, settings["rope_theta"]) @ block["attn_out"].T
        hidden = torch.stack([ffn(token, block, settings) for token in hidden])
    head = tensors.get("transformer.ff_out.weight", tensors["transformer.wte.weight"])
    return norm(hidden, tensors["transformer.ln_f.weight"], settings) @ head.T


def norm(hidden: torch.Tensor, weight: torch.Tensor, settings: dict) -> torch.Tensor:
    return weight * hidden / (hidden.square().mean(dim=-1, keepdim=True) + float(settings["layer_norm_eps"])).sqrt()


def attention(q, k, v, heads: int, kv: int, theta: float) -> torch.Tensor:
    """Causal attention head by head; head i reads key/value head i // (heads / kv)."""
    size = q.shape[-1] // heads
    angles = torch.arange(len(q))[:, None] / theta ** (torch.arange(0, size, 2) / size)
    cos, sin = angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)

    def turned(x):
        first, second = x.chunk(2, dim=-1)
        return x * cos + torch.cat([-second, first], dim=-1) * sin

    outputs = []
    for i, query in enumerate(q.split(size, dim=-1)):
        own = i // (heads // kv)
        key, value = k.split(size, dim=-1)[own], v.split(size, dim=-1)[own]
        scores = turned(query) @ turned(key).T / size**0.5
        future = torch.ones_like(scores, dtype=torch.bool).triu(1)
        outputs.append(scores.masked_fill(future, -torch.inf).softmax(dim=-1) @ value)
    return torch.cat(outputs, dim=-1)


def ffn(hidden: torch.Tensor, block: dict[str, torch.Tensor], settings: dict) -> torch.Tensor:
    """Y of one token: dense, or wide and deep where the block has the two heads."""

    def units(h):
        value, gate = (norm(h, block["ff_norm"], settings) @ block["ff_proj"].T).chunk(2)
        return F.silu(gate) * value

    states = [hidden]
    for _ in range(4):
        states.append(states[-1] + block["ff_out"] @ units(states[-1]))
    if "depth_predictor" not in block:
        return states[1]
    loops = int((block["depth_predictor"] @ hidden).argmax()) + 1
    share = (4 - loops) / 4
    kept = (block["expert_gate"] @ hidden).topk(2)
    slices = zip(units(hidden).chunk(8), block["ff_out"].chunk(8, dim=1), strict=True)
    experts = [out @ unit for unit, out in slices]
    wide = hidden + sum(w * experts[e] for w, e in zip(kept.values.softmax(dim=0), kept.indices, strict=True))
    return share * wide + (1 - share) * states[loops]
