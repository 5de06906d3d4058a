"""A `LoadedModel` of whatever model object somebody has: a plain one, a compiled one, or one with PEFT adapters."""

import dataclasses
from pathlib import Path

from torch import nn
from transformers import PreTrainedTokenizerBase

from hooks.eval_mode import in_eval_mode
from sample_models.adapter_families import family_of
from sample_models.adapter_reading import adapt
from sample_models.loading import LoadedModel
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.weight_state import active_adapters


def as_loaded(model: LoadedModel | nn.Module, tokenizer: PreTrainedTokenizerBase | None = None) -> LoadedModel:
    """The model with its tokenizer and its name, for `capture` and all that takes a `LoadedModel`.

    A model under `torch.compile` or with PEFT adapters is unwrapped; the adapters stay in it, and its name says so. A
    model of another family keeps the taps that it gets here, and reads with torch's scaled_dot_product_attention from
    then on; its weights are not changed. With a `LoadedModel`, `tokenizer` takes the place of its own.

    Raises ValueError with one sentence for a model without a tokenizer, for a PEFT model whose adapter is a prompt, and
    for a model of another kind.
    """
    if isinstance(model, LoadedModel):
        return model if tokenizer is None else dataclasses.replace(model, tokenizer=tokenizer)
    inner = unwrapped(model)
    known = isinstance(inner, VersatileFFNForCausalLM) or _family(inner)
    if not known:
        raise ValueError(
            f"expected a VersatileFFNForCausalLM or a model of a family in docs/adapters.md, got "
            f"{type(inner).__module__}.{type(inner).__name__}: load the folder with sample_models.load_model, or "
            "import sample_models before transformers loads it"
        )
    if tokenizer is None:
        raise ValueError(
            "a model alone cannot read a text: give its tokenizer too, as capture(model, text, tokenizer=...)"
        )
    adapters = active_adapters(inner)
    name = name_of(inner) + (f" with adapter {', '.join(adapters)}" if adapters else "")
    with in_eval_mode(inner):
        adapted = None if isinstance(inner, VersatileFFNForCausalLM) else adapt(inner)
    return LoadedModel(inner, tokenizer, name, adapted=adapted)


def _family(model: nn.Module) -> str | None:
    return family_of(getattr(getattr(model, "config", None), "model_type", None))


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside `torch.compile` and PEFT. ValueError for adapters that are a prompt, which would be left out."""
    while True:
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif hasattr(model, "peft_config") and hasattr(model, "get_base_model"):
            if model.active_peft_config.is_prompt_learning:
                raise ValueError(
                    "the PEFT adapter of this model is a prompt, which is no part of the model: trace it without the "
                    "adapter, or merge another kind of adapter"
                )
            model = model.get_base_model()
        else:
            return model


def name_of(model: nn.Module) -> str:
    """The hub id or the name of the folder that a model was loaded from; without either, its class."""
    source = str(getattr(model.config, "_name_or_path", "") or "")
    if not source:
        return type(model).__name__
    return Path(source).resolve().name if Path(source).is_absolute() or Path(source).is_dir() else source


__all__ = ["as_loaded", "name_of", "unwrapped"]
