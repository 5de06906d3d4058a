"""Safetensors files of a model folder: one file, or the shards of an index, checked against the index."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

INDEX = "model.safetensors.index.json"


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder: one, or the shards that its index names, by name.

    Raises ValueError unless each shard holds exactly the tensors that the index places in it.
    """
    if (folder / "model.safetensors").exists():
        return [folder / "model.safetensors"]
    if not (folder / INDEX).exists():
        raise ValueError(
            f"{folder} holds no weights: expected model.safetensors there, save the model with save_pretrained "
            "(pickled .bin or .pt files are not read)"
        )
    shards = read_index(folder / INDEX)
    for path, names in shards.items():
        if differing := sorted(names ^ tensor_shapes(path).keys()):
            raise ValueError(
                f"{path} must hold the tensors that {INDEX} places in it, got {len(differing)} that only one of them "
                f"names, {first_few(differing)}: take index and shards from the same save"
            )
    return list(shards)


def read_index(path: Path) -> dict[Path, set[str]]:
    """Shard -> names of its tensors, from the index of a sharded model. Shards must be existing files beside it."""
    try:
        weight_map = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        files = sorted(set(weight_map.values()))
        bare = all(Path(file).name == file and "\\" not in file and file.endswith(".safetensors") for file in files)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} holds no weight_map of file names: save the model again") from error
    if not files or not bare:
        raise ValueError(f"{path} must name .safetensors files of its own folder, got {files}: save the model again")
    if missing := [file for file in files if not (path.parent / file).is_file()]:
        raise ValueError(
            f"{path.parent} lacks {len(missing)} weight file(s), {first_few(missing)}: copy or download them"
        )
    return {path.parent / file: {name for name, own in weight_map.items() if own == file} for file in files}


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape, from the header of a safetensors file; no tensor is read."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is no whole safetensors file ({error}): copy or download it again") from error


def first_few(names: list[str]) -> str:
    """At most three of the names, for a message."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


__all__ = ["INDEX", "first_few", "read_index", "tensor_shapes", "weight_files"]
