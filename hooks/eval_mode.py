"""Eval mode for the time of a pass: in training mode a model draws its loops at random, so a trace would be noise."""

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

_lock = threading.Lock()
_held: weakref.WeakKeyDictionary[nn.Module, tuple[int, list[nn.Module]]] = weakref.WeakKeyDictionary()
"""Model -> how many passes need it in eval mode now, and the modules that go back to training mode after the last."""


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Run a block with all modules of a model in eval mode; those in training mode return to it, also after an error.

    Several threads may do so at a time. A pass of its own that another thread runs meanwhile is in eval mode, too.
    """
    with _lock:
        passes, trained = _held.get(model, (0, None))
        if trained is None:
            trained = [module for module in model.modules() if module.training]
        for module in trained:
            module.training = False
        _held[model] = passes + 1, trained
    try:
        yield
    finally:
        with _lock:
            passes, trained = _held.pop(model)
            if passes > 1:
                _held[model] = passes - 1, trained
            else:
                for module in trained:
                    module.training = True


__all__ = ["in_eval_mode"]
