"""Reads weight files of the authors' trainer (OLMo), safetensors or `model.pt`, memory-mapped and without running code.

In the trainer's safetensors files each name is base64 of a pickled tuple. These pickles are never unpickled: their
opcodes are interpreted here, and only those for tuples of strings are allowed. `model.pt` is read by torch with
`weights_only=True`, which creates only tensors.
"""

import base64
import binascii
import pickletools
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from sample_models.foreign import brief
from sample_models.registry import OLMO_WEIGHTS
from sample_models.weight_files import plain_name, weight_files

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
"""Types of weights; the floats of eight bits are quantised weights without their scale."""


def olmo_weight_files(folder: Path) -> list[Path]:
    """The weight files of a checkpoint folder: one file, or the shards that an index lists.

    Raises ValueError if there is none, as in the sharded checkpoints of a training on several devices.
    """
    first = next((name for name in OLMO_WEIGHTS if (folder / name).is_file()), None)
    if first is None:
        raise ValueError(
            f"{folder} holds no weights: expected {' or '.join(OLMO_WEIGHTS)} there; a sharded checkpoint of the "
            "trainer becomes an unsharded one with its scripts/unshard.py SRC DST --model-only"
        )
    return [folder / first] if first.endswith(".pt") else weight_files(folder)


def open_olmo_weights(files: list[Path]) -> dict[str, torch.Tensor]:
    """Plain name (`weight_files.plain_name`) -> memory-mapped tensor of the weight files.

    Raises ValueError with one sentence if a file is damaged, contains anything but floating-point tensors, or a name
    that is no tuple of strings.
    """
    tensors: dict[str, torch.Tensor] = {}
    for path in files:
        stored = _open_safetensors(path) if path.suffix == ".safetensors" else _open_pt(path)
        for stored_name, tensor in stored.items():
            name = plain_name(stored_name)
            if name in tensors:
                raise ValueError(
                    f"{path} holds {brief(name, 80)} twice, with and without a wrapper's prefix: save the checkpoint "
                    "again"
                )
            if tensor.dtype not in FLOATS or tensor.layout != torch.strided:
                kind = str(tensor.dtype).removeprefix("torch.")
                raise ValueError(
                    f"{path} must hold tensors in float32, float16 or bfloat16, got {kind} in {brief(name, 80)}: save "
                    "the model's weights as they were trained"
                )
            if tensor.is_meta:
                raise ValueError(
                    f"{path} holds the shape of {brief(name, 80)} without its values (a meta tensor): save the "
                    "checkpoint again, with its weights in memory"
                )
            if tensor.numel() * tensor.itemsize > tensor.untyped_storage().nbytes():
                raise ValueError(f"{path} holds fewer values of {name} than its shape has: save the checkpoint again")
            tensors[name] = tensor
    return tensors


def decode_name(stored: str) -> str:
    """The tensor name in a key of the trainer's safetensors files; plain names, which contain a dot, are returned.

    Raises ValueError with one sentence for anything that is not base64 of a pickled `((string, ...), False)`.
    """
    if "." in stored:
        return stored
    try:
        value = _tuple_of(base64.b64decode(stored, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, IndexError, KeyError) as error:
        raise ValueError(f"the name {_short(stored)} is not base64 of a pickled tuple of strings ({error})") from error
    match value:
        case (tuple() as parts, False) if parts and all(isinstance(part, str) for part in parts):
            return ".".join(parts)
        case (_, True):
            raise ValueError(f"the name {_short(stored)} marks its value as pickled, and nothing is unpickled here")
    raise ValueError(f"the name {_short(stored)} must hold ((string, ...), False), got another tuple")


def _tuple_of(pickled: bytes):
    """The value of a pickle of nested tuples, strings and booleans. ValueError names the first other opcode."""
    stack: list = []
    marks: list[int] = []
    memo: dict[int, object] = {}
    for opcode, argument, _ in pickletools.genops(pickled):
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack[-1]
            case "UNICODE" | "BINUNICODE" | "SHORT_BINUNICODE" | "BINUNICODE8":
                stack.append(argument)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(opcode.name == "NEWTRUE")
            case "MARK":
                marks.append(len(stack))
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3":
                start = marks.pop() if opcode.name == "TUPLE" else len(stack) - int(opcode.name[-1])
                if start < 0:
                    raise ValueError("a tuple of more items than the file has")
                stack[start:] = [tuple(stack[start:])]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                memo[int(argument)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(memo[int(argument)])
            case other:
                raise ValueError(f"its opcode {other} is not allowed")
    raise ValueError("it does not end")  # unreachable: genops raises first


def _open_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            stored = list(file.keys())
            try:
                names = [decode_name(key) for key in stored]
            except ValueError as error:
                raise ValueError(
                    f"{path}: {error}: only checkpoints of the authors' trainer can be imported"
                ) from error
            if len(set(names)) < len(names):
                raise ValueError(f"{path} holds a name twice, encoded and plain: save the checkpoint again")
            return {name: file.get_tensor(key) for name, key in zip(names, stored, strict=True)}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a complete safetensors file ({error}): copy or download it again") from error


def _open_pt(path: Path) -> dict[str, torch.Tensor]:
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # a damaged or foreign file can raise anything
        reason = str(error).strip().partition("\n")[0][:120]
        raise ValueError(
            f"{path} is not a complete file of tensors saved by torch ({type(error).__name__}: {reason}): copy or "
            "download it again; nothing but tensors is ever loaded from it"
        ) from error
    flat = isinstance(stored, dict) and all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in stored.items()
    )
    if not flat:
        raise ValueError(
            f"{path} must hold a flat state dict, name -> tensor, and holds something else: give model.pt of an "
            "unsharded checkpoint"
        )
    return dict(stored)


def _short(name: str) -> str:
    return repr(name if len(name) <= 40 else name[:39] + "…")
