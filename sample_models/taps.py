"""Taps: named places of the forward pass whose tensors can be recorded or replaced, by whoever runs the model.

A recording or an edit belongs to the context that it was begun in (a context variable), not to the model: two threads
that run one model at the same time each see and change their own tensors, without a lock round the forward pass. A new
thread starts with none; `contextvars.copy_context().run` carries them over. They apply to every model that runs in the
context. Layers that `torch.compile` compiled attend to neither.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

import torch
from torch import nn

HOOK_NAMES = {
    "depth_logits": "blocks.{}.mlp.hook_depth_logits",
    "loop_choice": "blocks.{}.mlp.hook_loop_choice",
    "gate": "blocks.{}.mlp.hook_lambda",
    "expert_logits": "blocks.{}.mlp.hook_router_logits",
    "expert_ids": "blocks.{}.mlp.hook_expert_indices",
    "expert_weights": "blocks.{}.mlp.hook_expert_weights",
}
"""What a layer says and decides of a token -> the name of its tap, with the layer to fill in."""


class TapInfo(Protocol):
    """Where an edit stands: all that it may know beside its own tensor."""

    name: str

    def layer(self) -> int:
        """Decoder layer, from 0."""


class Edit(Protocol):
    """Takes the tensor of a tap and returns what the model goes on with: TransformerLens' signature of a hook."""

    def __call__(self, tensor: torch.Tensor, hook: TapInfo) -> torch.Tensor: ...


class Recording(dict[str, Any]):
    """Tensors by hook name, as they passed; only the names asked for, and of each what `keep(name, tensor)` gives."""

    def __init__(self, names: Iterable[str], keep: Callable[[str, torch.Tensor], Any] | None = None):
        super().__init__()
        self.names, self.keep = frozenset(names), keep

    def take(self, name: str, tensor: torch.Tensor) -> None:
        """Keep what passed at one of the names; a later pass takes its place."""
        self[name] = self.keep(name, tensor) if self.keep else tensor


class _Attention(NamedTuple):
    """What a context attends to."""

    edits: Mapping[str, Edit]
    recordings: tuple[Recording, ...]


_attention: ContextVar[_Attention | None] = ContextVar("attention", default=None)


class Tap(nn.Identity):
    """A named place to look at, or replace, one tensor of the forward pass. Holds no parameters.

    What passed torch's hooks is edited first and recorded then.
    """

    name: str | None = None
    """As TransformerLens would call it, for example `blocks.3.mlp.hook_lambda`; a tap of no whole model has none."""

    def layer(self) -> int:
        """Decoder layer of a named tap, from 0."""
        return int(self.name.split(".")[1])

    @property
    def listening(self) -> bool:
        """Whether anybody attends to this tensor, here and now: costly ones are computed only then."""
        if self._forward_hooks or self._forward_pre_hooks:
            return True
        if torch.compiler.is_dynamo_compiling() or (attention := _attention.get()) is None:
            return False
        return self.name in attention.edits or any(self.name in each.names for each in attention.recordings)

    def __call__(self, tensor: torch.Tensor) -> torch.Tensor:
        tensor = super().__call__(tensor)
        if torch.compiler.is_dynamo_compiling() or (attention := _attention.get()) is None:
            return tensor
        if edit := attention.edits.get(self.name):
            tensor = edit(tensor, hook=self)
        for recording in attention.recordings:
            if self.name in recording.names:
                recording.take(self.name, tensor)
        return tensor


def name_taps(layers: Iterable[nn.Module]) -> None:
    """Name every tap of a model's layers after its layer and its place there, once the model is built."""
    for index, layer in enumerate(layers):
        for path, module in layer.named_modules():
            if isinstance(module, Tap):
                module.name = f"blocks.{index}.{path}"


@contextmanager
def record(names: Iterable[str], keep: Callable[[str, torch.Tensor], Any] | None = None) -> Iterator[Recording]:
    """Record the tensors at `names` of every model that runs in this context; later passes overwrite.

    `keep(name, tensor)` may cut what is kept of a tensor while the pass goes on: without it, all of it stays in memory.
    Recordings that were begun outside go on.
    """
    recording = Recording(names, keep)
    edits, recordings = _attention.get() or _Attention({}, ())
    with _attending(_Attention(edits, (*recordings, recording))):
        yield recording


@contextmanager
def edited(edits: Mapping[str, Edit]) -> Iterator[None]:
    """Replace the tensors at some hook names (name -> edit) in every model that runs in this context.

    Recordings see what was put in. At a name that was edited outside, an edit takes what the outer one gave. The edits
    end with the block, also after an error; other threads never see them.
    """
    outer, recordings = _attention.get() or _Attention({}, ())
    both = {name: _one_after_the_other(outer[name], edits[name]) for name in outer.keys() & edits.keys()}
    with _attending(_Attention({**outer, **edits, **both}, recordings)):
        yield


@contextmanager
def _attending(attention: _Attention) -> Iterator[None]:
    token = _attention.set(attention)
    try:
        yield
    finally:
        _attention.reset(token)


def _one_after_the_other(first: Edit, second: Edit) -> Edit:
    return lambda tensor, hook: second(first(tensor, hook=hook), hook=hook)


__all__ = ["HOOK_NAMES", "Edit", "TapInfo", "Recording", "Tap", "edited", "name_taps", "record"]
