"""VersatileFFN models in Hugging Face style, the shipped checkpoints, and the recipe that trains them.

Names are resolved when first used, so that light commands never import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sample_models.configuration_versatile import VersatileFFNConfig
    from sample_models.importing import import_olmo, upcycle
    from sample_models.loading import LoadedModel, load_model
    from sample_models.modeling_versatile import VersatileFFNForCausalLM
    from sample_models.registry import CHECKPOINTS, DEFAULT_MODEL

_HOME = {
    "CHECKPOINTS": "sample_models.registry",
    "DEFAULT_MODEL": "sample_models.registry",
    "LoadedModel": "sample_models.loading",
    "VersatileFFNConfig": "sample_models.configuration_versatile",
    "VersatileFFNForCausalLM": "sample_models.modeling_versatile",
    "import_olmo": "sample_models.importing",
    "load_model": "sample_models.loading",
    "upcycle": "sample_models.importing",
}

__all__ = [
    "CHECKPOINTS",
    "DEFAULT_MODEL",
    "LoadedModel",
    "VersatileFFNConfig",
    "VersatileFFNForCausalLM",
    "import_olmo",
    "load_model",
    "upcycle",
]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'sample_models' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
