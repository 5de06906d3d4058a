"""Instrumentation: a model and a text in, a `RoutingTrace` out. Torch stops here.

Names are resolved when first used, so that reading a trace never imports torch or TransformerLens. `__init__.pyi`
lists them, for the program and for editors alike.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
