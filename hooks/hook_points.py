"""TransformerLens hook points in a VersatileFFN model, and recording that concurrent callers cannot mix up.

`instrument(model)` puts a hook point where the model holds a `Tap` and names it in TransformerLens' convention. What is
recorded or edited is kept in context variables, not on the shared model: two threads that trace two texts through one
model at the same time each see their own tensors, without a lock round the forward pass.
"""

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

import torch
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

from sample_models.modeling_versatile import Tap, VersatileFFNForCausalLM

HOOK_NAMES = {
    "depth_logits": "blocks.{}.mlp.hook_depth_logits",
    "loop_choice": "blocks.{}.mlp.hook_loop_choice",
    "gate": "blocks.{}.mlp.hook_lambda",
    "expert_logits": "blocks.{}.mlp.hook_router_logits",
    "expert_ids": "blocks.{}.mlp.hook_expert_indices",
    "expert_weights": "blocks.{}.mlp.hook_expert_weights",
}
"""What a RoutingTrace is made of -> hook name, with the layer to fill in."""

_LAYER = re.compile(r"^model\.layers\.(\d+)\.")
_recording: ContextVar["Recording | None"] = ContextVar("recording", default=None)
_edits: ContextVar[Mapping[str, "Edit"]] = ContextVar("edits", default=MappingProxyType({}))
_instrumenting = threading.Lock()


Edit = Callable[[torch.Tensor], torch.Tensor]
"""Takes the tensor of a hook point and returns what the model goes on with."""


class Recording(dict[str, Any]):
    """Tensors by hook name, as they passed; only the names asked for, and of each what `keep(name, tensor)` gives."""

    def __init__(self, names: frozenset[str], keep: Callable[[str, torch.Tensor], Any] | None = None):
        super().__init__()
        self.names, self.keep = names, keep

    def take(self, name: str, tensor: torch.Tensor) -> None:
        self[name] = self.keep(name, tensor) if self.keep else tensor


class TracePoint(HookPoint):
    """A TransformerLens hook point that also knows the edits and the recording of the current context."""

    @property
    def listening(self) -> bool:
        """Whether anybody attends to this tensor, here and now (see `Tap.listening`)."""
        recording = _recording.get()
        recorded = recording is not None and self.name in recording.names
        return recorded or self.name in _edits.get() or bool(self._forward_hooks) or bool(self._forward_pre_hooks)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        x = super().__call__(x)  # with TransformerLens' own hooks, which may replace it
        if edit := _edits.get().get(self.name):
            x = edit(x)
        recording = _recording.get()
        if recording is not None and self.name in recording.names:
            recording.take(self.name, x)
        return x


@contextmanager
def record(names: Iterable[str], keep: Callable[[str, torch.Tensor], Any] | None = None) -> Iterator[Recording]:
    """Record the tensors at `names` of every instrumented model that runs in this context; later passes overwrite.

    `keep(name, tensor)` may cut what is kept of a tensor while the pass goes on: without it, all of it stays in memory.

    A new thread starts without a recording; `contextvars.copy_context().run` carries one over.
    """
    recording = Recording(frozenset(names), keep)
    token = _recording.set(recording)
    try:
        yield recording
    finally:
        _recording.reset(token)


@contextmanager
def edited(edits: Mapping[str, Edit]) -> Iterator[None]:
    """Replace the tensors at some hook names in every instrumented model that runs in this context.

    Recordings see what was put in. The edits end with the block, also after an error; other threads never see them.
    """
    token = _edits.set(edits)
    try:
        yield
    finally:
        _edits.reset(token)


def instrument(model: VersatileFFNForCausalLM) -> None:
    """Put a named hook point where the model holds a tap; done once per model, without effect on its numbers."""
    with _instrumenting:
        for path, module in list(model.named_modules()):
            if isinstance(module, Tap):
                parent, _, leaf = path.rpartition(".")
                point = TracePoint()
                for hooks in ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs"):
                    setattr(point, hooks, getattr(module, hooks))  # shared, so that their handles still remove them
                point.name = _LAYER.sub(r"blocks.\1.", path)
                setattr(model.get_submodule(parent), leaf, point)


class HookedVersatileFFN(HookedRootModule):
    """TransformerLens' view of a model: `hook_dict`, `run_with_hooks`, `run_with_cache` under its hook names.

    These three keep their state on the shared model: use them alone in a process, and `record` where others may run.
    """

    def __init__(self, model: VersatileFFNForCausalLM):
        super().__init__()
        instrument(model)
        self.model = model
        self.setup()

    def setup(self) -> None:
        """Register the hook points under their own names, where TransformerLens' setup would use module paths."""
        points = {module.name: module for module in self.modules() if isinstance(module, HookPoint)}
        self.mod_dict, self.hook_dict = dict(points), dict(points)

    def forward(self, *args, **kwargs) -> torch.Tensor:
        """Logits [batch, token, vocab]."""
        return self.model(*args, **kwargs).logits
