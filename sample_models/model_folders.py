"""Finds and checks a model's folder: configuration, tensor names and shapes, and tokenizer must fit each other.

All this is checked before a weight is read, and refused with a ValueError of one sentence. Only `hf:` uses the network.
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError

from sample_models.adapter_families import family_of
from sample_models.adapter_reading import adapted_config
from sample_models.config_file import config_of
from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.foreign import brief, read_json
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.olmo_config import read_olmo_config
from sample_models.olmo_weights import olmo_weight_files
from sample_models.recipes import recipes
from sample_models.registry import CHECKPOINTS, MODEL_TYPE, OLMO_CONFIG, available_models, is_olmo, wrong_type
from sample_models.weight_files import first_few, plain_shapes

HUB = "hf:"
"""Prefix of a hub id. Without it nothing is downloaded, so that a mistyped path is never sent to the hub."""


def model_folder(source: str | Path) -> Path:
    """The folder of a shipped model's name, a path, or `hf:org/name`, which is downloaded."""
    if is_hub_id(source):
        return fetch(source.removeprefix(HUB))
    if isinstance(source, str) and source == Path(source).name and (CHECKPOINTS / source / "config.json").exists():
        return CHECKPOINTS / source
    if source in recipes():
        return built_folder(source)
    if Path(source).is_dir():
        return Path(source)
    if Path(source).exists():
        raise ValueError(f"expected the folder of a model, got the file {source}: give the folder that holds it")
    names = ", ".join(name for name, _ in available_models()) or "none"
    raise ValueError(
        f"no model folder and no shipped model at {source}: give an existing folder, a hub id as {HUB}org/name, or one "
        f"of the shipped names ({names})"
    )


def built_folder(name: str) -> Path:
    """The folder of a model that has a recipe. ValueError, with the remedy, if it was not built on this machine yet."""
    recipe = recipes()[name]
    if not recipe.is_built:
        raise ValueError(f"{name} is built on this machine first: run `python -m app get-model {name}`")
    return recipe.target


def is_hub_id(source: str | Path) -> bool:
    """Whether a source names a model of the hub."""
    return isinstance(source, str) and source.startswith(HUB)


def fetch(name: str) -> Path:
    """Download hub model `org/name` or `org/name@revision` of either format; a revision is a branch, tag or commit.

    Its configuration is checked before its weights are fetched.
    """
    named = re.fullmatch(r"(\w[\w.-]*/\w[\w.-]*)(?:@(\w[\w./-]*))?", name)
    if not named:
        raise ValueError(
            f"a hub id must read {HUB}org/name, got {HUB}{brief(name)}: give organisation and model, and a branch, tag "
            f"or commit as {HUB}org/name@revision"
        )
    model, revision = named.groups()

    def get(*patterns: str) -> Path:
        return Path(snapshot_download(model, revision=revision, allow_patterns=list(patterns)))

    try:
        folder = get("config.json", OLMO_CONFIG)
        if (folder / "config.json").exists() or not (folder / OLMO_CONFIG).exists():
            _check_config(folder)
            return get("*.json", "*.safetensors")
        read_olmo_config(folder / OLMO_CONFIG)
        # Not *.safetensors: the trainer also saves its optimizer state, which is twice as large.
        folder = get("*.json", "model*.safetensors")
        return folder if is_olmo(folder) else get("model.pt")
    except (OSError, HFValidationError) as error:
        raise ValueError(
            f"{HUB}{name} could not be fetched from the hub ({type(error).__name__}): check the spelling and the "
            "connection, or give a folder"
        ) from error


def _check_config(folder: Path) -> None:
    """Raise ValueError unless a folder has the configuration of a model that can be loaded."""
    fields = read_json(folder / "config.json") if os.path.lexists(folder / "config.json") else {}
    if family_of(fields.get("model_type")):
        adapted_config(folder / "config.json", fields)
    else:
        read_config(folder)


def read_config(folder: Path) -> VersatileFFNConfig:
    """The configuration of a model folder. ValueError unless it is a VersatileFFN whose sizes fit each other."""
    path = folder / "config.json"
    if not os.path.lexists(path):
        if (folder / OLMO_CONFIG).exists():
            olmo_weight_files(folder)
        raise ValueError(
            f"{folder} holds no model: expected config.json there, give a folder written by save_pretrained"
        )
    fields = read_json(path)
    if (found := fields.get("model_type")) != MODEL_TYPE:
        raise ValueError(f"{path} {wrong_type(found)}")
    return config_of(path, fields)


def check_tensors(files: Iterable[Path], config: VersatileFFNConfig) -> None:
    """Compare names and shapes in the files' headers with those of the configuration's model."""
    files = list(files)
    found = plain_shapes(files)
    folder = files[-1].parent
    if config.num_hidden_layers > len(found):  # compared first: building a model of so many layers may take long
        raise ValueError(
            f"{folder} holds {len(found)} tensor(s), too few for the {config.num_hidden_layers} layers of config.json: "
            "take weights and config.json from the same save"
        )
    with torch.device("meta"):
        expected = VersatileFFNForCausalLM(config).state_dict()
    compare_shapes(
        found, {name: tuple(t.shape) for name, t in expected.items()}, folder, tied=config.tie_word_embeddings
    )


def compare_shapes(
    found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]], folder: Path, *, tied: bool
) -> None:
    """ValueError if a folder's tensors (name -> shape) are not the expected ones; a tied head may be missing."""
    left_out = {"lm_head.weight"} if tied else set()  # save_pretrained leaves it out
    remedy = "take weights and config.json from the same save"
    if missing := sorted(expected.keys() - found.keys() - left_out):
        raise ValueError(f"{folder} lacks {len(missing)} expected tensor(s), {first_few(missing)}: {remedy}")
    if unexpected := sorted(found.keys() - expected.keys()):
        raise ValueError(f"{folder} holds {len(unexpected)} unexpected tensor(s), {first_few(unexpected)}: {remedy}")
    for name, shape in found.items():
        if shape != expected[name]:
            raise ValueError(
                f"{name} in {folder} must have shape {expected[name]} by config.json, got {shape}: {remedy}"
            )
