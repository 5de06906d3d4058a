"""Small models of other families with random weights, written as folders: what they decide means nothing."""

import dataclasses

import torch
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING

import sample_models.modeling_looped  # noqa: F401  registers its model type
from tests.models import byte_tokenizer

SIZES = dict(
    vocab_size=257,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=256,
    pad_token_id=0,
    bos_token_id=None,
    eos_token_id=256,
    num_experts_per_tok=2,
    moe_intermediate_size=16,
    shared_expert_intermediate_size=16,
    shared_intermediate_size=16,
)


def save_other(folder, model_type, *, experts=8, **settings):
    """A folder with a random model of a type of transformers; only the sizes that its configuration has are set."""
    kind = CONFIG_MAPPING[model_type]
    names = {each.name for each in dataclasses.fields(kind)}
    wanted = SIZES | {"num_experts": experts, "num_local_experts": experts} | settings
    torch.manual_seed(0)
    config = kind(**{name: value for name, value in wanted.items() if name in names})
    model = MODEL_FOR_CAUSAL_LM_MAPPING[kind](config)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder
