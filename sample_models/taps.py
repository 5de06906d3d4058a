"""Taps: named points of the forward pass whose tensors can be recorded or edited by whoever runs the model.

Recordings and edits are held in a context variable and not in the model, so that two threads that run one model at the
same time each see and change only their own tensors, without a lock. A new thread starts with none;
`contextvars.copy_context().run` carries them over. They apply to every model that runs in the context, but not to
layers compiled by `torch.compile`.
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
"""A layer's logit or decision -> the name of its tap, with a placeholder for the layer."""


class TapInfo(Protocol):
    """What an edit is told beside the tensor: the name and the layer of its tap."""

    name: str

    def layer(self) -> int:
        """Decoder layer, from 0."""


class Edit(Protocol):
    """A function of a tap's tensor that returns the tensor to use instead; the signature is TransformerLens'."""

    def __call__(self, tensor: torch.Tensor, hook: TapInfo) -> torch.Tensor: ...


class Recording(dict[str, Any]):
    """Hook name -> recorded tensor, or what `keep(name, tensor)` returned for it; only for the requested names."""

    def __init__(self, names: Iterable[str], keep: Callable[[str, torch.Tensor], Any] | None = None):
        super().__init__()
        self.names, self.keep = frozenset(names), keep

    def take(self, name: str, tensor: torch.Tensor) -> None:
        """Record a tensor at one of the names; a later pass overwrites it."""
        self[name] = self.keep(name, tensor) if self.keep else tensor


class _Active(NamedTuple):
    """The edits and recordings of a context."""

    edits: Mapping[str, Edit]
    recordings: tuple[Recording, ...]


_active: ContextVar[_Active | None] = ContextVar("active_taps", default=None)
_positions: ContextVar[torch.Tensor | None] = ContextVar("positions", default=None)


def tell_positions(positions: torch.Tensor | None) -> None:
    """Called by every layer: the positions [b p] of the tokens in its pass, for edits of this context."""
    if not torch.compiler.is_dynamo_compiling() and _active.get() is not None:
        _positions.set(positions)


def told_positions() -> torch.Tensor | None:
    """Positions [b p] of the tokens in the pass of this context, as the model counts them; None if no layer told them.

    A pass on cached keys and values counts on from the tokens before it. b is 1 if all rows have the same positions.
    """
    return _positions.get()


class Tap(nn.Identity):
    """An identity module at which one tensor of the forward pass can be recorded or edited. It has no parameters.

    torch's own forward hooks run first, then the edit, then the recordings.
    """

    name: str | None = None
    """TransformerLens' name, for example `blocks.3.mlp.hook_lambda`; None until `name_taps` has named a whole model."""

    def layer(self) -> int:
        """Decoder layer of a named tap, from 0."""
        return int(self.name.split(".")[1])

    @property
    def listening(self) -> bool:
        """Whether this tensor is hooked, edited or recorded in this context: costly tensors are computed only then."""
        if self._forward_hooks or self._forward_pre_hooks:
            return True
        if torch.compiler.is_dynamo_compiling() or (active := _active.get()) is None:
            return False
        return self.name in active.edits or any(self.name in recording.names for recording in active.recordings)

    def __call__(self, tensor: torch.Tensor) -> torch.Tensor:
        tensor = super().__call__(tensor)
        if torch.compiler.is_dynamo_compiling() or (active := _active.get()) is None:
            return tensor
        if edit := active.edits.get(self.name):
            tensor = edit(tensor, hook=self)
        for recording in active.recordings:
            if self.name in recording.names:
                recording.take(self.name, tensor)
        return tensor


def name_taps(layers: Iterable[nn.Module]) -> None:
    """Name every tap of a model's layers after its layer and its path in it. Called once, when the model is built."""
    for index, layer in enumerate(layers):
        for path, module in layer.named_modules():
            if isinstance(module, Tap):
                module.name = f"blocks.{index}.{path}"


@contextmanager
def record(names: Iterable[str], keep: Callable[[str, torch.Tensor], Any] | None = None) -> Iterator[Recording]:
    """Record the tensors at `names` of every model that runs in this context; later passes overwrite earlier ones.

    `keep(name, tensor)` returns what to store of a tensor; without it the whole tensor stays in memory. Outer
    recordings continue.
    """
    recording = Recording(names, keep)
    edits, recordings = _active.get() or _Active({}, ())
    with _activate(_Active(edits, (*recordings, recording))):
        yield recording


@contextmanager
def edited(edits: Mapping[str, Edit]) -> Iterator[None]:
    """Edit tensors (hook name -> edit) in every model that runs in this context.

    Recordings see the edited tensors. Where an outer block edits the same name, its edit comes first. The edits end
    with the block, also after an error, and other threads never see them.
    """
    outer, recordings = _active.get() or _Active({}, ())
    with _activate(_Active(composed(outer, edits), recordings)):
        yield


def composed(first: Mapping[str, Edit], second: Mapping[str, Edit]) -> dict[str, Edit]:
    """Both sets of edits as one; where both edit the same name, `second` takes what `first` gave."""
    both = {name: _one_edit(first[name], second[name]) for name in first.keys() & second.keys()}
    return {**first, **second, **both}


@contextmanager
def _activate(active: _Active) -> Iterator[None]:
    token = _active.set(active)
    try:
        yield
    finally:
        _active.reset(token)
        _positions.set(None)


def _one_edit(first: Edit, second: Edit) -> Edit:
    return lambda tensor, hook: second(first(tensor, hook=hook), hook=hook)


__all__ = [
    "HOOK_NAMES", "Edit", "TapInfo", "Recording", "Tap", "composed", "edited", "name_taps", "record", "tell_positions",
    "told_positions",
]  # fmt: skip
