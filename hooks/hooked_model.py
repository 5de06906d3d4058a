"""TransformerLens' view of a whole model; importing this needs TransformerLens."""

import torch
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

from hooks.hook_points import instrument
from sample_models.modeling_versatile import VersatileFFNForCausalLM


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


__all__ = ["HookedVersatileFFN"]
