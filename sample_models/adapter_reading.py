"""Reads the folder of a model of another family: bounded configuration, safetensors, and a check; no code is run.

transformers has the classes; names and layouts of tensors that it knows how to convert are converted by it.
"""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, PreTrainedConfig, PreTrainedModel

from sample_models.adapter import AdaptedConfig, Adapter
from sample_models.adapter_dense import DenseAdapter
from sample_models.adapter_families import family_of
from sample_models.adapter_looped import LoopedAdapter
from sample_models.adapter_mixture import MixtureAdapter
from sample_models.config_file import check_quantised, check_sizes
from sample_models.foreign import told_as
from sample_models.weight_files import first_few, plain_shapes, read_tensors, weight_files

ADAPTERS: dict[str, Adapter] = {each.family: each for each in (MixtureAdapter(), DenseAdapter(), LoopedAdapter())}
"""To add a family, add its model types to `adapter_families.FAMILIES` and its adapter here."""
SHARED = frozenset(
    ("tie_word_embeddings", "pad_token_id", "bos_token_id", "eos_token_id", "rope_parameters", "rope_scaling")
    + ("rope_theta", "architectures")
)
"""Fields of a config.json that are read beside those of the model's own configuration class."""


def adapter_of(model_type: object) -> Adapter | None:
    """The adapter of a model type; None if no family has it."""
    return ADAPTERS.get(family_of(model_type))


_TAPPED, _ADAPTED = "_versatileffn_tapped", "_versatileffn_adapted"
"""Attributes of a model that has taps, and of one that has passed the check: what it decides."""


def adapt(model: PreTrainedModel) -> AdaptedConfig:
    """Put taps into a model of one of the families, check it, and say what it decides. Done once for each model object.

    Raises ValueError with a sentence if the model belongs to no family, or if its taps do not record what it decides.
    """
    if (known := getattr(model, _ADAPTED, None)) is not None:
        return known
    adapter = adapter_of(model.config.model_type)
    if adapter is None:
        raise ValueError(f"a model of type {model.config.model_type!r} belongs to no family that can be traced")
    config = adapter.adapted(model)
    if not hasattr(model, _TAPPED):
        adapter.attach(model)
        setattr(model, _TAPPED, True)
    adapter.check(model, config)
    setattr(model, _ADAPTED, config)
    return config


def adapted_config(path: Path, fields: dict[str, Any]) -> PreTrainedConfig:
    """The configuration in a config.json of another family: fields that its class reads, within what models have."""
    check_quantised(path, fields)
    kind = CONFIG_MAPPING[fields["model_type"]]
    own = {each.name for each in dataclasses.fields(kind)} - {
        each.name for each in dataclasses.fields(PreTrainedConfig)
    }
    own |= {*kind.attribute_map.keys(), *kind.attribute_map.values(), *SHARED}
    kept = {name: value for name, value in fields.items() if name in own}
    check_sizes(path, kept)
    with told_as(f"{path} has a field that does not fit", "correct it, or take config.json from the model's own save"):
        config = kind(**kept)
    config._attn_implementation = "sdpa"  # not a kernel, which is code that would be downloaded
    return config


def read_adapted(folder: Path, fields: dict[str, Any], dtype: torch.dtype) -> tuple[PreTrainedModel, list[Path]]:
    """The model of a folder whose config.json holds `fields`, and its weight files.

    Raises ValueError with one sentence for weights that are damaged, missing, too many, or of other shapes.
    """
    config, files = adapted_config(folder / "config.json", fields), weight_files(folder)
    kind = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    remedy = "take weights and config.json from the same save"
    shapes = plain_shapes(files)
    if config.num_hidden_layers > len(shapes):
        raise ValueError(
            f"{folder} holds {len(shapes)} tensor(s), too few for the {config.num_hidden_layers} layers of "
            f"config.json: {remedy}"
        )
    with told_as(f"{folder / 'config.json'} describes no model that can be built", "correct it"), torch.device("meta"):
        expected = sum(each.numel() for each in kind(config).parameters())
    found = sum(torch.Size(shape).numel() for shape in shapes.values())
    if expected > found:  # compared before memory is taken for them
        raise ValueError(f"{folder} holds {found:,} parameters, and config.json describes {expected:,}: {remedy}")
    with told_as(f"the weights of {folder} cannot be read", remedy):
        model, told = kind.from_pretrained(
            None, config=config, state_dict=read_tensors(files), dtype=dtype, output_loading_info=True
        )
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if names := sorted(each[0] if isinstance(each, tuple) else each for each in told.get(what) or ()):
            kind_of = what.removesuffix("_keys")
            raise ValueError(f"{folder} has {len(names)} {kind_of} tensor(s), {first_few(names)}: {remedy}")
    return model.eval(), files


__all__ = ["ADAPTERS", "adapt", "adapted_config", "adapter_of", "read_adapted"]
