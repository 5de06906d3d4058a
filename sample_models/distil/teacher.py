"""The dense model to imitate, read from a folder or a GGUF file, and the VersatileFFN that begins as it."""

import copy
from pathlib import Path

import torch
from torch import nn
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.distil.low_rank import LowRankLinear
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.upcycling import read_dense


def dense_folder(source: Path, aside: Path) -> Path:
    """The folder of a dense model: `source` itself, or for a GGUF file `aside`, into which it is written first.

    transformers dequantises the tensors of the file; the folder holds them in float32. Raises ValueError for a file
    that holds another architecture than Llama's, or that cannot be read.
    """
    if source.suffix.lower() != ".gguf":
        return source
    if (aside / "config.json").exists():
        return aside
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        read = LlamaForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{source} cannot be read as a dense Llama ({error}): give another GGUF file") from error
    fields = read.config.to_dict()
    fields.pop("quantization_config", None)  # with it transformers refuses to save what it has dequantised
    model = LlamaForCausalLM(LlamaConfig(**fields))
    model.load_state_dict(read.state_dict())
    tokenizer.save_pretrained(aside)
    model.save_pretrained(aside)  # config.json last: it tells a finished folder
    return aside


def read_pair(source: Path) -> tuple[VersatileFFNForCausalLM, VersatileFFNForCausalLM]:
    """(student, teacher) of a dense model folder: the VersatileFFN with its weights, and the dense model itself.

    Both in float32, the teacher frozen and in eval mode. The student's router and depth heads are fresh. Raises
    ValueError as `read_dense` does.
    """
    weights = read_dense(source)
    student = filled(weights.config, weights.tensors)
    dense = copy.deepcopy(weights.config)
    dense.ffn = "dense"
    shared = {
        name: t for name, t in weights.tensors.items() if not name.endswith(("router.weight", "depth_head.weight"))
    }
    return student, filled(dense, shared).eval().requires_grad_(False)


def filled(config: VersatileFFNConfig, tensors: dict[str, torch.Tensor]) -> VersatileFFNForCausalLM:
    """A model with these weights; a tied head may be left out."""
    model = VersatileFFNForCausalLM(config)
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    model.tie_weights()
    left_out = {"lm_head.weight"} if config.tie_word_embeddings else set()
    assert not unexpected and set(missing) <= left_out, (missing, unexpected)
    return model


def halve_matrices(model: VersatileFFNForCausalLM) -> torch.Tensor:
    """Put all frozen matrices but the embedding into bfloat16, for autocast; returns the output head [vocab, d] so.

    Embedding and norms stay in float32, and so does the residual stream.
    """
    for module in model.model.modules():
        if isinstance(module, (nn.Linear, LowRankLinear)) and not module.weight.requires_grad:
            module.weight.data = module.weight.data.to(torch.bfloat16)
    return model.lm_head.weight.detach().to(torch.bfloat16)


__all__ = ["dense_folder", "halve_matrices", "read_pair"]
