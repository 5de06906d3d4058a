"""The checkpoints that ship with the project, found without importing torch."""

import json
from collections.abc import Iterable
from pathlib import Path

CHECKPOINTS = Path(__file__).parent / "checkpoints"
"""Folder of the shipped models, one folder each."""

DEFAULT_MODEL = "versatile-6l-4m"
"""Name of the model that is used when none is named."""

MODEL_TYPE = "versatile_ffn"
"""`model_type` in the config.json of every model this project can load."""

OLMO_CONFIG, OLMO_WEIGHTS = "config.yaml", ("model.safetensors", "model.safetensors.index.json", "model.pt")
"""Files of a checkpoint of the authors' trainer (OLMo): its configuration, and its weights, preferred first: in one
file, in parts that an index names, or as torch saves them."""


def available_models(roots: Iterable[Path] = (CHECKPOINTS,)) -> list[tuple[str, Path]]:
    """Name and folder of each model right below `roots`: the default first, the others by name.

    A model is a folder whose config.json says `model_type` versatile_ffn, or a checkpoint of the authors' trainer;
    whether its weights are whole shows when it is loaded. Of two models with one name the one in the earlier root
    counts; roots that do not exist hold none.
    """
    found: dict[str, Path] = {}
    for root in roots:
        for config in sorted([*Path(root).glob("*/config.json"), *Path(root).glob(f"*/{OLMO_CONFIG}")]):
            folder = config.parent
            if is_olmo(folder) if config.name == OLMO_CONFIG else model_type_of(config) == MODEL_TYPE:
                found.setdefault(folder.name, folder)
    return sorted(found.items(), key=lambda model: (model[0] != DEFAULT_MODEL, model[0]))


def is_olmo(folder: Path) -> bool:
    """Whether a folder is a checkpoint of the authors' trainer, by the names of its files; config.json comes first."""
    has_weights = any((folder / name).is_file() for name in OLMO_WEIGHTS)
    return has_weights and (folder / OLMO_CONFIG).is_file() and not (folder / "config.json").exists()


def model_type_of(config: Path) -> str | None:
    """`model_type` of a config.json; None if it names none or the file is no JSON object."""
    try:
        fields = json.loads(config.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return fields.get("model_type") if isinstance(fields, dict) else None
