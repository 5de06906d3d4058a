"""Recipes of models that are put together on this machine: from a dense model in a pinned package, and an update of it.

A folder below `UPDATES` holds `recipe.json` and the update that `sample_models.distil` trained, in files of at most
16 MiB. Imports no torch: `sample_models.distil.building` builds.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sample_models.cache_folder import cache_folder

UPDATES = Path(__file__).parent / "updates"
"""Folder of the updates that ship with the project, one folder for each model that can be built."""


@dataclass(frozen=True)
class Recipe:
    """What a model is built from."""

    name: str
    folder: Path
    package: str
    """Name and version of a Python package, as in name==1.0."""
    sha256: str
    """SHA-256 of the package's wheel."""
    member: str
    """The GGUF file of the dense model in the wheel."""
    update_sha256: str
    """SHA-256 of the update's files, one after the other by name."""

    @property
    def parts(self) -> list[Path]:
        """The files of the update."""
        return sorted(self.folder.glob("update*.safetensors"))

    @property
    def target(self) -> Path:
        """Where the model lies once it is built: another package or update has another place."""
        return cache() / f"{self.sha256[:12]}-{self.update_sha256[:12]}" / self.name

    @property
    def is_built(self) -> bool:
        """Whether the model lies there."""
        return (self.target / "config.json").exists()


def cache() -> Path:
    """Where built models are kept."""
    return cache_folder() / "models"


def recipes() -> dict[str, Recipe]:
    """Name -> recipe of every model that can be built."""
    found = {}
    for path in sorted(UPDATES.glob("*/recipe.json")):
        found[path.parent.name] = Recipe(path.parent.name, path.parent, **json.loads(path.read_text(encoding="utf-8")))
    return found


def built_roots() -> list[Path]:
    """The folders directly below which lie the models that were built and are up to date."""
    return [recipe.target.parent for recipe in recipes().values() if recipe.is_built]


def update_digest(parts: Iterable[Path]) -> str:
    """SHA-256 of the files of an update, one after the other."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.read_bytes())
    return digest.hexdigest()


__all__ = ["UPDATES", "Recipe", "built_roots", "recipes", "update_digest"]
