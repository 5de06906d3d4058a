"""Writing and editing small model folders."""

import json

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.text_data import train_tokenizer

SIZES = dict(vocab_size=300, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
TEXT = "the king and the queen\n"


def save_model(folder, **settings):
    """A small model folder with fresh weights and a tokenizer."""
    torch.manual_seed(0)
    model = VersatileFFNForCausalLM(VersatileFFNConfig(**SIZES | dict(eos_token_id=0, bos_token_id=None) | settings))
    model.save_pretrained(folder)
    text = folder.parent / "text.txt"
    text.write_text(TEXT * 20)
    train_tokenizer([text], 300, 64).save_pretrained(folder)
    return folder


def save_one_token_model(folder):
    """A model whose vocabulary is one token, which every word is."""
    torch.manual_seed(0)
    none = dict(bos_token_id=None, eos_token_id=None, pad_token_id=None)
    VersatileFFNForCausalLM(VersatileFFNConfig(**SIZES | {"vocab_size": 1}, **none)).save_pretrained(folder)
    words = Tokenizer(WordLevel({"a": 0}, unk_token="a"))
    words.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(folder)


def edit_config(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def edit_weights(folder, edit):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path, metadata={"format": "pt"})
