"""TransformerLens hook points in a VersatileFFN model.

The model's taps (`sample_models.taps`), at which tensors are recorded and edited, already have TransformerLens' names.
`instrument(model)` replaces each tap by a hook point that does the same and also takes TransformerLens hooks. Where
TransformerLens is not installed, the taps stay: what records and edits here needs no more than them.
"""

import threading
from importlib.util import find_spec

from torch import nn

from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.module_walk import each_module
from sample_models.taps import HOOK_NAMES, Tap, edited, record

if HAS_LENS := find_spec("transformer_lens") is not None:
    from hooks.lens_points import TracePoint

_instrumenting = threading.Lock()


def instrument(model: VersatileFFNForCausalLM) -> None:
    """Replace every tap of a model by a hook point of the same name. The numbers stay; a second call does nothing.

    Without TransformerLens nothing is replaced.
    """
    if not HAS_LENS:
        return

    def is_bare(module: nn.Module) -> bool:
        return isinstance(module, Tap) and not isinstance(module, TracePoint)

    with _instrumenting:
        if not any(map(is_bare, each_module(model))):
            return  # as at every pass but the first, so this is the part that must be fast
        for path, module in list(model.named_modules()):
            if is_bare(module):
                parent, _, leaf = path.rpartition(".")
                point = TracePoint()
                for hooks in ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs"):
                    setattr(point, hooks, getattr(module, hooks))  # shared, so that their handles still remove them
                point.name, point.training = module.name, module.training
                setattr(model.get_submodule(parent), leaf, point)


__all__ = ["HAS_LENS", "HOOK_NAMES", "edited", "instrument", "record"]
