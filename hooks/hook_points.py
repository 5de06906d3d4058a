"""TransformerLens hook points in a VersatileFFN model.

The model's taps (`sample_models.taps`), at which tensors are recorded and edited, already have TransformerLens' names.
`instrument(model)` replaces each tap by a hook point that does the same and also takes TransformerLens hooks.
"""

import threading

import torch
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.taps import HOOK_NAMES, Tap, edited, record

_instrumenting = threading.Lock()


class TracePoint(HookPoint, Tap):
    """A TransformerLens hook point that is a tap: its hooks may replace the tensor before anything else sees it."""


def instrument(model: VersatileFFNForCausalLM) -> None:
    """Replace every tap of a model by a hook point of the same name. The numbers stay; a second call does nothing."""
    with _instrumenting:
        for path, module in list(model.named_modules()):
            if isinstance(module, Tap) and not isinstance(module, TracePoint):
                parent, _, leaf = path.rpartition(".")
                point = TracePoint()
                for hooks in ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs"):
                    setattr(point, hooks, getattr(module, hooks))  # shared, so that their handles still remove them
                point.name, point.training = module.name, module.training
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


__all__ = ["HOOK_NAMES", "HookedVersatileFFN", "TracePoint", "edited", "instrument", "record"]
