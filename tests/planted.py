"""A tiny model with weights set by hand, in which one expert of one layer alone predicts what follows a letter."""

import torch

from sample_models.loading import LoadedModel
from tests.models import small_loaded

LAYER, EXPERT = 1, 5
LETTERS, DIGIT = "abcdefgh", "7"
"""After each of the letters comes the digit."""
TEXTS = [" ".join(f"{letter}{DIGIT}" for letter in row) for row in ("abcd", "hgfe", "cafe", "bead", "face", "deaf")]
STRENGTH = 1.5


def planted(*, layer: int = LAYER, expert: int = EXPERT) -> LoadedModel:
    """One loop for every token, no attention, and FFNs that write nothing but what the planted expert writes.

    Dimension 0 of the stream is on for letters, 1 for all tokens, and 2 is what the planted expert writes: the logit of
    the digit reads it. The router gives letters the planted expert first; others are chosen by the token's own noise.
    """
    loaded = small_loaded(num_hidden_layers=2)
    model, (*letters, digit) = loaded.model, loaded.tokenizer(LETTERS + DIGIT)["input_ids"]
    with torch.no_grad():
        noise = torch.randn(model.model.embed_tokens.weight.shape, generator=torch.Generator().manual_seed(0))
        embedding = 0.3 * noise
        embedding[:, :3] = torch.tensor([0.0, 1.0, 0.0])
        embedding[letters, 0] = 4.0
        model.model.embed_tokens.weight.copy_(embedding)
        head = torch.zeros_like(model.lm_head.weight)
        head[digit, 2] = STRENGTH
        model.lm_head.weight.copy_(head)
        for block in model.model.layers:
            block.self_attn.o_proj.weight.zero_()
            ffn = block.mlp
            ffn.up_gate_proj.weight.zero_()
            ffn.down_proj.weight.zero_()
            ffn.depth_head.weight.zero_()
            ffn.depth_head.weight[0, 1] = 9.0  # one loop
            ffn.router.weight[:, :3] = 0
        ffn, width = model.model.layers[layer].mlp, model.config.intermediate_size
        unit = expert * width // model.config.num_experts
        ffn.router.weight[expert, 0] = 9.0
        ffn.up_gate_proj.weight[unit, 0] = 1.0  # its value and its gate: on for letters alone
        ffn.up_gate_proj.weight[width + unit, 0] = 1.0
        ffn.down_proj.weight[2, unit] = 1.0
    return loaded
