"""Reads the config.json of a VersatileFFN: only fields that the model reads, each within what a model can have.

The file may come from anywhere. What it says is bounded here, before anything is built from it: ten million layers or a
billion labels would take all memory, and a few fields change what transformers does with the model.
"""

from pathlib import Path
from typing import Any

from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.foreign import brief, told_as

MOST = {
    "vocab_size": 2**24,
    "hidden_size": 2**20,
    "intermediate_size": 2**24,
    "num_hidden_layers": 256,
    "num_attention_heads": 2**12,
    "num_key_value_heads": 2**12,
    "head_dim": 2**16,
    "max_position_embeddings": 2**30,
    "num_experts": 256,
    "num_experts_per_tok": 64,
    "max_loops": 64,
}
"""Whole numbers of a configuration -> the largest that is read. Layers, experts and loops: as many as a trace may have
(`hooks.trace_checks.MAX_SIZES`)."""

READ = frozenset(
    [*MOST, "ffn", "tau", "gates_trained", "architectures", "hidden_act", "initializer_range", "rms_norm_eps"]
    + ["use_cache", "pad_token_id", "bos_token_id", "eos_token_id", "pretraining_tp", "tie_word_embeddings"]
    + ["rope_parameters", "rope_scaling", "rope_theta", "attention_bias", "attention_dropout", "mlp_bias"]
    + ["router_aux_loss_coef"]
)
"""Fields that are read. The others name kernels, other weights, labels or formats of outputs, or mean nothing here."""


def config_of(path: Path, fields: dict[str, Any]) -> VersatileFFNConfig:
    """The configuration in the fields of a config.json.

    Raises ValueError with one sentence for weights that were quantised, and for values that no model can have.
    """
    check_quantised(path, fields)
    kept = {name: value for name, value in fields.items() if name in READ}
    check_sizes(path, kept)
    if (act := kept.get("hidden_act", "silu")) != "silu":
        raise ValueError(f"{path} must have hidden_act silu, which a VersatileFFN computes, got {brief(act, 40)}")
    with told_as(f"{path} has a field that does not fit", "correct it, or take config.json from the model's own save"):
        config = VersatileFFNConfig(**kept)
    with told_as(f"{path} has rotary positions that cannot be computed", "correct its rope_parameters"):
        rotated = 2 * LlamaRotaryEmbedding(config).inv_freq.numel()
    if rotated != config.head_dim:
        raise ValueError(f"{path} must rotate all {config.head_dim} entries of a head, got {rotated}: correct it")
    config._attn_implementation = "sdpa"  # not a kernel, which is code that would be downloaded
    return config


def check_quantised(path: Path, fields: dict[str, Any]) -> None:
    """ValueError, with the remedy, if a config.json is about weights that were quantised."""
    if (quantised := fields.get("quantization_config")) is not None:
        method = quantised.get("quant_method") if isinstance(quantised, dict) else None
        raise ValueError(
            f"{path} has a quantization_config ({brief(method or 'with no method', 40)}), and quantised weights are "
            "not read: load the model where that works, dequantize() it, and save_pretrained() it in float32, "
            "float16 or bfloat16"
        )


def check_sizes(path: Path, fields: dict[str, Any]) -> None:
    """ValueError for sizes that no model has, heads that do not fit each other, and unknown rotary positions."""
    try:
        _check_sizes(fields)
        _check_numbers(fields)
        _check_rope(fields)
    except ValueError as error:
        raise ValueError(f"{path} has a field that does not fit: {error}; correct it") from error


def _check_sizes(fields: dict[str, Any]) -> None:
    """ValueError for a size that is no whole number within `MOST`, or heads that do not fit each other."""
    for name, most in MOST.items():
        value = fields.get(name)
        if value is not None and (type(value) is not int or not 1 <= value <= most):
            raise ValueError(f"{name} must be a whole number from 1 to {most:,}, got {brief(value, 40)}")
    default = VersatileFFNConfig
    hidden, heads = (fields.get(name) or getattr(default, name) for name in ("hidden_size", "num_attention_heads"))
    head = fields.get("head_dim") or hidden // heads
    if head % 2 or head < 2:
        raise ValueError(f"head_dim must be even, for its halves are rotated together, got {head}")
    groups = fields.get("num_key_value_heads") or heads
    if heads % groups:
        raise ValueError(f"num_attention_heads must be a multiple of num_key_value_heads, got {heads} and {groups}")


def _check_numbers(fields: dict[str, Any]) -> None:
    """ValueError for a number, however deep in the fields, that the libraries cannot hold."""
    todo = list(fields.items())
    while todo:
        name, value = todo.pop()
        if isinstance(value, dict):
            todo += value.items()
        elif isinstance(value, list):
            todo += [(name, each) for each in value]
        elif type(value) is int and not -(2**31) < value < 2**31:
            raise ValueError(f"{brief(name, 40)} must be below {2**31:,}, got {brief(value, 40)}")


def _check_rope(fields: dict[str, Any]) -> None:
    """ValueError for a kind of rotary positions that transformers does not compute."""
    for name in ("rope_parameters", "rope_scaling"):
        rope = fields.get(name)
        if rope is None:
            continue
        if not isinstance(rope, dict):
            raise ValueError(f"{name} must be an object, got {brief(rope, 40)}")
        kind = rope.get("rope_type", rope.get("type", "default"))
        if not isinstance(kind, str) or kind not in ("default", *ROPE_INIT_FUNCTIONS):
            known = ", ".join(("default", *ROPE_INIT_FUNCTIONS))
            raise ValueError(f"rope_type must be one of {known}, got {brief(kind, 40)}")


__all__ = ["MOST", "check_quantised", "check_sizes", "config_of"]
