from .configuration_versatile import VersatileFFNConfig as VersatileFFNConfig
from .conversion import import_olmo as import_olmo
from .conversion import upcycle as upcycle
from .loading import LoadedModel as LoadedModel
from .loading import load_model as load_model
from .modeling_versatile import VersatileFFNForCausalLM as VersatileFFNForCausalLM
from .registry import CHECKPOINTS as CHECKPOINTS
from .registry import DEFAULT_MODEL as DEFAULT_MODEL
