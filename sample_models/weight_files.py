"""Safetensors files of a model folder: one file, or the shards of an index, checked against the index."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from sample_models.foreign import MAX_NAMES_MB, brief, is_file, read_json

if TYPE_CHECKING:
    import torch

INDEX = "model.safetensors.index.json"
FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
"""Types of tensors that are weights as they are; integers and eight-bit floats are quantised ones without a scale."""
WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.")
"""What torch.compile and FSDP put into the names of the modules that they wrap; DDP puts "module." before them."""


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder: one, or the shards that its index names, by name.

    Raises ValueError unless each shard holds exactly the tensors that the index places in it.
    """
    if is_file(folder / "model.safetensors"):
        return [folder / "model.safetensors"]
    if not is_file(folder / INDEX):
        raise ValueError(
            f"{folder} holds no weights: expected model.safetensors there, save the model with "
            "save_pretrained (pickled .bin or .pt files are not read)"
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
    weight_map = read_json(path, max_mb=MAX_NAMES_MB).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(file, str) for file in weight_map.values()):
        raise ValueError(f"{path} holds no weight_map of file names: save the model again")
    files = sorted(set(weight_map.values()))
    bare = all(Path(file).name == file and "\\" not in file and file.endswith(".safetensors") for file in files)
    if not files or not bare:
        raise ValueError(
            f"{path} must name .safetensors files of its own folder, got {brief(files)}: save the model again"
        )
    if missing := [file for file in files if not is_file(path.parent / file)]:
        raise ValueError(
            f"{path.parent} lacks {len(missing)} weight file(s), {first_few(missing)}: copy or download them"
        )
    names: dict[Path, set[str]] = {path.parent / file: set() for file in files}
    for name, file in weight_map.items():
        names[path.parent / file].add(name)
    return names


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape, from the header of a safetensors file; no tensor is read.

    Raises ValueError for a damaged file, and for tensors that are not floating-point weights.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                entry = file.get_slice(name)
                shapes[name] = tuple(entry.get_shape())
                if (kind := entry.get_dtype()) not in FLOATS:
                    raise ValueError(
                        f"{path} must hold weights in float32, float16 or bfloat16, got {kind} in {brief(name, 80)}: "
                        "dequantize() the model and save it again"
                    )
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} is not a complete safetensors file ({brief(error)}): copy or download it again"
        ) from error
    return shapes


def read_tensors(files: Iterable[Path]) -> "dict[str, torch.Tensor]":
    """Plain name -> memory-mapped tensor of all files, which `tensor_shapes` has accepted."""
    from safetensors.torch import load_file

    tensors = {}
    for path in files:
        for stored, tensor in load_file(path).items():
            tensors[plain_name(stored)] = tensor
    return tensors


def plain_shapes(files: Iterable[Path]) -> dict[str, tuple[int, ...]]:
    """Plain name -> shape of all tensors. Raises ValueError, naming the tensor, if two have one plain name."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path in files:
        for stored, shape in tensor_shapes(path).items():
            if (name := plain_name(stored)) in shapes:
                raise ValueError(f"{path} holds {brief(name, 80)} twice, under two names: save the model again")
            shapes[name] = shape
    return shapes


def plain_name(stored: str) -> str:
    """A tensor's name without what torch.compile, DDP and FSDP put before and into it."""
    for wrapper in WRAPPERS:
        stored = stored.replace(wrapper, "")
    while stored.startswith("module."):
        stored = stored.removeprefix("module.")
    return stored


def first_few(names: list[str]) -> str:
    """At most three of the names, for a message."""
    return ", ".join(brief(name, 80) for name in names[:3]) + (", ..." if len(names) > 3 else "")


__all__ = ["INDEX", "first_few", "plain_name", "plain_shapes", "read_index", "read_tensors", "tensor_shapes"]
__all__ += ["weight_files"]
