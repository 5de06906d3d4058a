"""Which models there are: the shipped ones and those in other folders. Does not import torch."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from sample_models.adapter_families import FAMILIES, family_of
from sample_models.foreign import MAX_NAMES_MB, brief, is_file, read_json
from sample_models.recipes import recipes

CHECKPOINTS = Path(__file__).parent / "checkpoints"
"""Folder of the shipped models' folders."""

DEFAULT_MODEL = "versatile-6l-4m"
"""Name of the shipped model that is used when none is named and none was built on this machine."""

MODEL_TYPE = "versatile_ffn"
"""`model_type` in the config.json of every model this project can load."""

OLMO_CONFIG, OLMO_WEIGHTS = "config.yaml", ("model.safetensors", "model.safetensors.index.json", "model.pt")
"""Files of a checkpoint of the authors' trainer (OLMo): its configuration; its weights, in order of preference, in one
file, in shards listed by an index, or saved by torch."""


def available_models(roots: Iterable[Path] = (CHECKPOINTS,)) -> list[tuple[str, Path]]:
    """Name and folder of each model directly below `roots`: those of `default_models` first, the others by name.

    A model is a folder whose config.json has `model_type` versatile_ffn or one of another family
    (`sample_models.adapter_families`), or a checkpoint of the authors' trainer. Its weights are not checked here. Of
    two models with one name the one in the earlier root counts. Roots that do not exist are ignored, and so are
    `strange_folders`.
    """
    models: dict[str, Path] = {}
    for folder, strange in _model_folders(roots):
        if strange is None:
            models.setdefault(folder.name, folder)
    first = {name: place for place, name in enumerate(default_models())}
    return sorted(models.items(), key=lambda model: (first.get(model[0], len(first)), model[0]))


def default_models() -> list[str]:
    """Names of the models that are used when none is named, best first: those built here, the shipped one."""
    return [*(name for name, recipe in recipes().items() if recipe.is_built), DEFAULT_MODEL]


def strange_folders(roots: Iterable[Path]) -> list[str]:
    """A sentence for each folder directly below `roots` that `available_models` skips although it may hold a model."""
    return [strange for _, strange in _model_folders(roots) if strange is not None]


def _model_folders(roots: Iterable[Path]) -> Iterator[tuple[Path, str | None]]:
    """Each folder below `roots` that holds a model, and why it cannot be offered (None: it can), by root and name."""
    for root in roots:
        try:
            with os.scandir(root) as entries:
                folders = sorted(Path(entry.path) for entry in entries)
        except OSError:
            continue
        for folder in folders:
            try:
                if _holds_model(folder):
                    yield folder, None
            except ValueError as error:
                yield folder, str(error)


def _holds_model(folder: Path) -> bool:
    """Whether a folder holds a model. ValueError with one sentence if it holds one that cannot be read."""
    if not os.path.lexists(folder / "config.json") and not is_olmo(folder):
        return False
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise ValueError(f"{os.fsencode(folder)!r} is not a name in UTF-8: rename the folder") from None
    if is_olmo(folder):
        return True
    found = read_json(folder / "config.json").get("model_type")
    if found != MODEL_TYPE and family_of(found) is None:
        raise ValueError(f"{folder / 'config.json'} {wrong_type(found)}")
    return True


def wrong_type(found: object) -> str:
    """What is wrong with the `model_type` of a model that cannot be read, to follow the name of its file."""
    others = "; ".join(f"{family} ({', '.join(sorted(types))})" for family, types in FAMILIES.items())
    return (
        f"must have model_type {MODEL_TYPE!r}, got {brief(repr(found), 40)}: only VersatileFFN models and these "
        f"families can be loaded: {others}"
    )


def has_chat_template(folder: Path) -> bool:
    """Whether a model came with a chat template, by its files alone. False if they cannot be read."""
    settings = folder / "tokenizer_config.json"
    try:
        return is_file(folder / "chat_template.jinja") or (
            is_file(settings) and bool(read_json(settings, max_mb=MAX_NAMES_MB).get("chat_template"))
        )
    except ValueError:  # whoever loads the model is told why
        return False


def is_olmo(folder: Path) -> bool:
    """Whether a folder is a checkpoint of the authors' trainer, by its file names. One with config.json is not."""
    has_weights = any(is_file(folder / name) for name in OLMO_WEIGHTS)
    return has_weights and is_file(folder / OLMO_CONFIG) and not os.path.lexists(folder / "config.json")


def model_type_of(config: Path) -> str | None:
    """`model_type` of a config.json; None if it has none or is no JSON object."""
    try:
        return read_json(config).get("model_type")
    except ValueError:
        return None
