"""The golden files: weights, inputs and every intermediate of a run of the authors' released code (float32, CPU).

`golden/*/manifest.json` says what each tensor is. Names of the released code are mapped to ours as in the conversion.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file

from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.olmo import our_tensors
from sample_models.olmo_config import read_olmo_config

GOLDEN = Path(__file__).parent / "golden"

CONFIG = dict(
    vocab_size=128,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=3,
    num_attention_heads=4,
    rms_norm_eps=1e-6,
    max_position_embeddings=64,
    bos_token_id=None,
    eos_token_id=0,
    pad_token_id=1,
)
"""The sizes in golden/tiny/config.yaml, under our names."""

TAPS = {
    "x_out": "mlp.hook_in",
    "depth_logits": "mlp.hook_depth_logits",
    "loop_choice": "mlp.hook_loop_choice",
    "moe_weight": "mlp.hook_lambda",
    "h1": "mlp.hook_depth_state_1",
    "h2": "mlp.hook_depth_state_2",
    "h3": "mlp.hook_depth_state_3",
    "h4": "mlp.hook_depth_state_4",
    "routing_logits_full": "mlp.hook_router_logits",
    "topk_indices": "mlp.hook_expert_indices",
    "topk_weights": "mlp.hook_expert_weights",
    "x_depth": "mlp.hook_depth_out",
    "x_moe": "mlp.hook_width_out",
    "x_final": "mlp.hook_out",
}
"""Name of a golden tensor of a block -> the tap with the same quantity in our layer."""


def golden(file: str) -> dict[str, torch.Tensor]:
    """Tensors of one golden file, for example `golden("tiny/eval")`."""
    return load_file(GOLDEN / f"{file}.safetensors")


def our_names(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights, or gradients, under the names of our model; the fused attention projection is split into q, k and v."""
    return our_tensors(tensors, read_olmo_config(GOLDEN / "tiny" / "config.yaml"))


def golden_model(**settings) -> VersatileFFNForCausalLM:
    """Our model with the golden weights, in eval mode; `settings` go to its configuration."""
    model = VersatileFFNForCausalLM(VersatileFFNConfig(**CONFIG | settings))
    model.load_state_dict(our_names(golden("tiny/model_plainkeys")))
    return model.eval()
