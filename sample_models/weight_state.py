"""Which weights a model has now: cheap marks that show whether they were changed, and their SHA-256.

A model in memory can be edited after it was loaded, and a trace must not name the weights that it was loaded with.
torch counts the changes of every tensor, except those through `.data`, which only reading all weights would show.
"""

import hashlib
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from sample_models.module_walk import each_module

_hashed: weakref.WeakKeyDictionary[nn.Module, tuple[tuple, str]] = weakref.WeakKeyDictionary()


def weight_marks(model: nn.Module) -> tuple:
    """Where every saved tensor of a model lies and how often it was changed, and which PEFT adapters are active."""
    found: list[Any] = []
    for module in each_module(model):
        tensors = [*module._parameters.values()] if module._parameters else []
        if module._buffers:
            left_out = module._non_persistent_buffers_set
            tensors += [each for name, each in module._buffers.items() if name not in left_out]
        for tensor in tensors:
            if tensor is not None:
                found.append((tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version))
    return (*found, *active_adapters(model))


def active_adapters(model: nn.Module) -> list[str]:
    """Names of the PEFT adapters that change the model's output now; merged ones are part of its weights."""
    return list(dict.fromkeys(name for _, name in _adapted(model)))


def _adapted(model: nn.Module) -> Iterator[tuple[str, str]]:
    """(path of a module, name of an adapter that is active in it)."""
    if "peft" not in sys.modules:
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    for path, module in model.named_modules():
        if isinstance(module, BaseTunerLayer) and not module.disable_adapters:
            yield from ((path, name) for name in module.active_adapters if name not in module.merged_adapters)


def tensors_sha256(model: nn.Module) -> str:
    """SHA-256 of name, dtype, shape and bytes of all tensors, in the order of their names, and of active adapters.

    Computed again only when `weight_marks` differ from those of the last time.
    """
    marks = weight_marks(model)
    known = _hashed.get(model)
    if known is None or known[0] != marks:
        known = _hashed[model] = marks, _digest(model)
    return known[1]


@torch.no_grad()
def _digest(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    for path, name in _adapted(model):
        digest.update(f"adapter {name} in {path}".encode())
    return digest.hexdigest()


__all__ = ["active_adapters", "tensors_sha256", "weight_marks"]
