"""VersatileFFN models in Hugging Face style, the shipped checkpoints, and the recipe that trains them.

Public names are imported on first use, so that light commands never import torch. `__init__.pyi` lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
