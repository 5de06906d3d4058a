"""VersatileFFN models in Hugging Face style, the shipped checkpoints, and the recipe that trains them.

Public names are imported on first use, so that light commands never import torch. `__init__.pyi` lists them. Importing
the package makes transformers' Auto classes and pipelines know its models.
"""

import lazy_loader

from sample_models.auto_classes import register

register()
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
