"""Small models with random weights and varied routing, and a byte-level tokenizer."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.loading import LoadedModel
from sample_models.modeling_versatile import VersatileFFN, VersatileFFNForCausalLM


def byte_tokenizer(**special: str) -> PreTrainedTokenizerFast:
    """One token per byte, ids 0..255; special tokens follow."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({char: i for i, char in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **({"eos_token": "<|endoftext|>"} | special))


def small_loaded(seed: int = 0, **sizes) -> LoadedModel:
    """A two-layer model over `byte_tokenizer` whose heads are scaled so that all loop counts and experts occur."""
    tokenizer = byte_tokenizer()
    defaults = dict(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2
    )
    defaults["max_position_embeddings"] = 1024  # room for every text but those that are to be read in windows
    torch.manual_seed(seed)
    config = VersatileFFNConfig(
        bos_token_id=None,
        eos_token_id=256,
        pad_token_id=256,
        initializer_range=0.1,
        **(defaults | sizes),
    )
    model = VersatileFFNForCausalLM(config).eval()
    for module in model.modules():
        if isinstance(module, VersatileFFN):
            torch.nn.init.normal_(module.depth_head.weight, std=2.0)
            torch.nn.init.normal_(module.router.weight, std=2.0)
    return LoadedModel(model, tokenizer, "small")
