"""Finds and checks a model's folder: configuration, tensor names and shapes, and tokenizer must fit each other.

All this is checked before a weight is read, and refused with a ValueError of one sentence. Only `hf:` uses the network.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, StrictDataclassError
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.id_tokenizer import IdTokenizer
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.olmo_config import read_olmo_config
from sample_models.olmo_weights import olmo_weight_files
from sample_models.recipes import recipes
from sample_models.registry import CHECKPOINTS, MODEL_TYPE, OLMO_CONFIG, available_models, is_olmo, model_type_of
from sample_models.weight_files import first_few, tensor_shapes

HUB = "hf:"
"""Prefix of a hub id. Without it nothing is downloaded, so that a mistyped path is never sent to the hub."""

OTHER_TOKENIZERS = ("tokenizer.model", "spiece.model", "vocab.json", "vocab.txt", "tokenizer_config.json")
"""Files of tokenizers in other formats than tokenizer.json."""


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
    folder = recipes()[name].target
    if not (folder / "config.json").exists():
        raise ValueError(f"{name} is built on this machine first: run `python -m app get-model {name}`")
    return folder


def is_hub_id(source: str | Path) -> bool:
    """Whether a source names a model of the hub."""
    return isinstance(source, str) and source.startswith(HUB)


def fetch(name: str) -> Path:
    """Download hub model `org/name` of either format. Its configuration is checked before its weights are fetched."""
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name):
        raise ValueError(f"a hub id must read {HUB}org/name, got {HUB}{name}: give organisation and model")
    try:
        folder = Path(snapshot_download(name, allow_patterns=["config.json", OLMO_CONFIG]))
        if (folder / "config.json").exists() or not (folder / OLMO_CONFIG).exists():
            read_config(folder)
            return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors"]))
        read_olmo_config(folder / OLMO_CONFIG)
        # Not *.safetensors: the trainer also saves its optimizer state, which is twice as large.
        folder = Path(snapshot_download(name, allow_patterns=["*.json", "model*.safetensors"]))
        return folder if is_olmo(folder) else Path(snapshot_download(name, allow_patterns=["model.pt"]))
    except (OSError, HFValidationError) as error:
        raise ValueError(
            f"{HUB}{name} could not be fetched from the hub ({type(error).__name__}): check the spelling and the "
            "connection, or give a folder"
        ) from error


def read_config(folder: Path) -> VersatileFFNConfig:
    """The configuration of a model folder. ValueError unless it is a VersatileFFN whose sizes fit each other."""
    path = folder / "config.json"
    if not path.exists():
        if (folder / OLMO_CONFIG).exists():
            olmo_weight_files(folder)
        raise ValueError(
            f"{folder} holds no model: expected config.json there, give a folder written by save_pretrained"
        )
    found = model_type_of(path)
    if found != MODEL_TYPE:
        raise ValueError(
            f"{path} must have model_type {MODEL_TYPE!r}, got {found!r}: only VersatileFFN models can be loaded"
        )
    try:
        config = VersatileFFNConfig.from_pretrained(folder)
    except (StrictDataclassError, TypeError, ValueError) as error:
        reason = str(error.__cause__ or error).strip().splitlines()[-1].strip()
        raise ValueError(f"{path} has a field that does not fit: {reason}") from error
    config._attn_implementation = "sdpa"  # the file could name a kernel, which is code that would be downloaded
    vars(config).pop("transformers_weights", None)  # the file could name other weights than those checked here
    return config


def check_tensors(files: Iterable[Path], config: VersatileFFNConfig) -> None:
    """Compare names and shapes in the files' headers with those of the configuration's model."""
    found: dict[str, tuple[int, ...]] = {}
    for path in files:
        found |= tensor_shapes(path)
    with torch.device("meta"):
        expected = VersatileFFNForCausalLM(config).state_dict()
    compare_shapes(
        found, {name: tuple(t.shape) for name, t in expected.items()}, path.parent, tied=config.tie_word_embeddings
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


def read_tokenizer(folder: Path, config: VersatileFFNConfig) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder, or an `IdTokenizer` if there is none.

    ValueError if it has more tokens than the model has embeddings.
    """
    if not (folder / "tokenizer.json").exists():
        if other := [name for name in OTHER_TOKENIZERS if (folder / name).exists()]:
            raise ValueError(
                f"{folder} holds a tokenizer of another format ({other[0]}): expected tokenizer.json there, save it "
                "with the tokenizer's save_pretrained"
            )
        return IdTokenizer(config.vocab_size)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # a damaged file can raise anything in the parser
        raise ValueError(f"the tokenizer in {folder} cannot be read ({error!r}): copy or save it again") from error
    if len(tokenizer) > config.vocab_size:
        raise ValueError(
            f"the tokenizer in {folder} must have at most vocab_size = {config.vocab_size} tokens, got "
            f"{len(tokenizer)}: take tokenizer and model from the same save"
        )
    return tokenizer
