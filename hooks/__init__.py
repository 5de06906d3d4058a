"""Instrumentation: a model and a text in, a `RoutingTrace` out. Torch stops here.

Names are resolved when first used, so that reading a trace never imports torch or TransformerLens.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hooks.capturing import capture
    from hooks.instrument import HOOK_NAMES, instrument
    from hooks.trace import RoutingTrace

_HOME = {
    "RoutingTrace": "hooks.trace",
    "capture": "hooks.capturing",
    "instrument": "hooks.instrument",
    "HOOK_NAMES": "hooks.instrument",
}

__all__ = ["HOOK_NAMES", "RoutingTrace", "capture", "instrument"]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'hooks' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
