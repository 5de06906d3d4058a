"""Upcycling: a dense Llama model as a VersatileFFN with the same weights and untrained routers and depth heads.

This is the start of continued pre-training (paper, section 3.3). Before it, loops and experts are noise.
"""

import os
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import LlamaConfig, LlamaForCausalLM

from sample_models.config_file import check_quantised, check_sizes
from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.foreign import brief, read_json, told_as
from sample_models.model_folders import check_tensors, compare_shapes, read_config
from sample_models.olmo import ModelWeights, fresh_gates
from sample_models.registry import MODEL_TYPE, is_olmo
from sample_models.weight_files import plain_shapes, read_tensors, weight_files

SHARED_FIELDS = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "head_dim", "max_position_embeddings", "rms_norm_eps", "initializer_range"),
    *("tie_word_embeddings", "rope_parameters", "bos_token_id", "eos_token_id", "pad_token_id"),
)
"""Configuration fields with the same meaning in Llama and VersatileFFN."""

READ_ALSO = ("hidden_act", "attention_bias", "mlp_bias", "rope_theta", "rope_scaling", "architectures")
"""Other fields of Llama's config.json that are read."""

REQUIRED_OPTIONS = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False}
"""Llama's options with the only values for which it computes the same FFN and attention as a VersatileFFN."""


def read_dense(folder: Path) -> ModelWeights:
    """Configuration and weights of a dense model folder (Llama's, or ours with `ffn: dense`), with fresh gates.

    Raises ValueError with one sentence for another kind of model, an unsupported option, or mismatched weights.
    """
    config_file = folder / "config.json"
    if is_olmo(folder):
        raise ValueError(f"{folder} is a checkpoint of the authors' trainer: give it to import-olmo")
    found = read_json(config_file).get("model_type") if os.path.lexists(config_file) else None
    if found == MODEL_TYPE:
        dense = read_config(folder)
        if dense.ffn != "dense":
            raise ValueError(f"{folder} must hold a dense model, got ffn {dense.ffn!r}: this one already has gates")
        files = weight_files(folder)
        check_tensors(files, dense)
        tensors = _mapped(files)
    elif found == "llama":
        dense = read_llama_config(config_file)
        files = weight_files(folder)
        tensors = {name: t for name, t in _mapped(files).items() if not name.endswith(".rotary_emb.inv_freq")}
        with torch.device("meta"):
            expected = LlamaForCausalLM(dense).state_dict()
        compare_shapes(_shapes(tensors), _shapes(expected), folder, tied=dense.tie_word_embeddings)
        tensors = merged_llama(tensors, dense.num_hidden_layers)
    else:
        raise ValueError(
            f"{folder} must hold a model of model_type 'llama' in config.json, got {brief(repr(found), 40)}: other "
            "models cannot be upcycled"
        )
    try:
        config = VersatileFFNConfig(
            **{name: getattr(dense, name) for name in SHARED_FIELDS}, architectures=["VersatileFFNForCausalLM"]
        )
    except StrictDataclassError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[-1].strip()
        raise ValueError(f"{config_file} cannot become a VersatileFFN: {reason}") from error
    return ModelWeights(config, tensors | fresh_gates(config), files)


def read_llama_config(path: Path) -> LlamaConfig:
    """Llama's configuration; ValueError, naming the option, if it violates `REQUIRED_OPTIONS`."""
    fields = read_json(path)
    check_quantised(path, fields)
    kept = {name: fields[name] for name in (*SHARED_FIELDS, *READ_ALSO) if name in fields}
    check_sizes(path, kept)
    with told_as(f"{path} has a field that does not fit", "correct it, or take config.json from the model's own save"):
        config = LlamaConfig(**kept)
    for name, value in REQUIRED_OPTIONS.items():
        if (given := getattr(config, name, None)) != value and given is not None:
            raise ValueError(
                f"{path}: {name} must be {value!r} in a model of the VersatileFFN family, got "
                f"{brief(repr(given), 40)}: such a model computes something else and cannot be upcycled"
            )
    return config


def merged_llama(tensors: dict[str, torch.Tensor], layers: int) -> dict[str, torch.Tensor]:
    """Llama's tensors under our names; up and gate projection become one matrix, up (SwiGLU's value) first."""
    ours = dict(tensors)
    for layer in range(layers):
        prefix = f"model.layers.{layer}"
        up, gate = (ours.pop(f"{prefix}.mlp.{half}_proj.weight") for half in ("up", "gate"))
        ours[f"{prefix}.mlp.up_gate_proj.weight"] = torch.cat([up, gate])
        ours[f"{prefix}.mlp.norm.weight"] = ours.pop(f"{prefix}.post_attention_layernorm.weight")
    return ours


def _shapes(tensors: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _mapped(files: list[Path]) -> dict[str, torch.Tensor]:
    """The memory-mapped tensors of all files; ValueError with one sentence for a damaged file."""
    plain_shapes(files)
    return read_tensors(files)


__all__ = ["read_dense"]
