"""Which models there are: the shipped ones and those in other folders. Does not import torch."""

import json
from collections.abc import Iterable
from pathlib import Path

CHECKPOINTS = Path(__file__).parent / "checkpoints"
"""Folder of the shipped models' folders."""

DEFAULT_MODEL = "versatile-6l-4m"
"""Name of the model that is used when none is named."""

MODEL_TYPE = "versatile_ffn"
"""`model_type` in the config.json of every model this project can load."""

OLMO_CONFIG, OLMO_WEIGHTS = "config.yaml", ("model.safetensors", "model.safetensors.index.json", "model.pt")
"""Files of a checkpoint of the authors' trainer (OLMo): its configuration; its weights, in order of preference, in one
file, in shards listed by an index, or saved by torch."""


def available_models(roots: Iterable[Path] = (CHECKPOINTS,)) -> list[tuple[str, Path]]:
    """Name and folder of each model directly below `roots`: the default first, the others by name.

    A model is a folder whose config.json has `model_type` versatile_ffn, or a checkpoint of the authors' trainer. Its
    weights are not checked here. Of two models with one name the one in the earlier root counts. Roots that do not
    exist are ignored.
    """
    models: dict[str, Path] = {}
    for root in roots:
        for config in sorted([*Path(root).glob("*/config.json"), *Path(root).glob(f"*/{OLMO_CONFIG}")]):
            folder = config.parent
            if is_olmo(folder) if config.name == OLMO_CONFIG else model_type_of(config) == MODEL_TYPE:
                models.setdefault(folder.name, folder)
    return sorted(models.items(), key=lambda model: (model[0] != DEFAULT_MODEL, model[0]))


def is_olmo(folder: Path) -> bool:
    """Whether a folder is a checkpoint of the authors' trainer, by its file names. One with config.json is not."""
    has_weights = any((folder / name).is_file() for name in OLMO_WEIGHTS)
    return has_weights and (folder / OLMO_CONFIG).is_file() and not (folder / "config.json").exists()


def model_type_of(config: Path) -> str | None:
    """`model_type` of a config.json; None if it has none or is no JSON object."""
    try:
        fields = json.loads(config.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return fields.get("model_type") if isinstance(fields, dict) else None
