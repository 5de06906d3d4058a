"""VersatileFFN language model (arXiv 2512.14531). What differs from Llama:

- The FFN of a layer is applied one to `max_loops` times per token (*depth*); its norm is applied anew at every loop.
- The same weights serve as `num_experts` virtual sub-experts, disjoint slices of the hidden units, routed top-k
  (*width*).
- A depth head reads the un-normalised residual stream and picks the loops: argmax in eval, Gumbel straight-through in
  training.
- lambda = (max_loops - loops) / max_loops mixes the paths: Y = lambda * Y_width + (1 - lambda) * Y_depth.
- The layer's output already contains the residual H: nothing is added after it.
- Every quantity of interest passes through a `Tap`, an identity module with a stable name (taps.py).

The FFN itself, and the paper's baselines and ablations that `config.ffn` can put in its place, are in feed_forward.py.
"""

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, LlamaForCausalLM, LlamaModel, LlamaPreTrainedModel
from transformers import initialization as init
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaRMSNorm, LlamaRotaryEmbedding

from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.feed_forward import FFN, DenseFFN, DepthPath, VersatileFFN
from sample_models.taps import Tap, name_taps, tell_positions


class VersatileFFNDecoderLayer(nn.Module):
    """Llama's layer, except: the FFN norms its own input and its output already holds the residual."""

    def __init__(self, config: VersatileFFNConfig, layer_idx: int):
        super().__init__()
        self.input_layernorm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.self_attn = LlamaAttention(config, layer_idx)
        self.mlp = FFN[config.ffn](config)
        self.hook_resid_pre, self.hook_resid_mid = Tap(), Tap()
        self.hook_mlp_out, self.hook_resid_post = Tap(), Tap()

    def forward(self, hidden_states: torch.Tensor, **kwargs) -> torch.Tensor:
        tell_positions(kwargs.get("position_ids"))
        residual = self.hook_resid_pre(hidden_states)
        attention_out, _ = self.self_attn(hidden_states=self.input_layernorm(residual), **kwargs)
        residual = self.hook_resid_mid(residual + attention_out)  # [b p d] = H
        output = self.mlp(residual)  # [b p d] = Y
        if self.hook_mlp_out.listening:
            update = output - residual
            edited = self.hook_mlp_out(update)
            # Only an edited update is added back: H + (Y - H) is not bit-equal to Y, and recording must change nothing.
            output = output if edited is update else residual + edited
        return self.hook_resid_post(output)


class VersatileFFNPreTrainedModel(LlamaPreTrainedModel):
    config: VersatileFFNConfig
    # Recomputing a layer would draw different Gumbel noise.
    supports_gradient_checkpointing = False
    _no_split_modules = ["VersatileFFNDecoderLayer"]
    _can_record_outputs = {"hidden_states": VersatileFFNDecoderLayer, "attentions": LlamaAttention}

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, DepthPath):
            init.constant_(module.tau, self.config.training_tau)  # a buffer that is not in checkpoints


class VersatileFFNModel(VersatileFFNPreTrainedModel, LlamaModel):
    """Llama's model with its own forward, over layers with a versatile FFN."""

    def __init__(self, config: VersatileFFNConfig):
        # Not LlamaModel.__init__, which would build Llama's layers and freeze the padding token's embedding.
        LlamaPreTrainedModel.__init__(self, config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(VersatileFFNDecoderLayer(config, i) for i in range(config.num_hidden_layers))
        name_taps(self.layers)
        self.norm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.rotary_emb = LlamaRotaryEmbedding(config=config)
        self.gradient_checkpointing = False
        self.post_init()


class VersatileFFNForCausalLM(VersatileFFNPreTrainedModel, LlamaForCausalLM):
    """Llama's causal language model with its own forward, loss and `generate`, over `VersatileFFNModel`."""

    def __init__(self, config: VersatileFFNConfig):
        LlamaPreTrainedModel.__init__(self, config)
        self.model = VersatileFFNModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def set_tau(self, tau: float) -> None:
        """Set the Gumbel-softmax temperature of every depth head (training mode only)."""
        for module in self.modules():
            if isinstance(module, DepthPath):
                module.tau.fill_(tau)


AutoConfig.register(VersatileFFNConfig.model_type, VersatileFFNConfig)
AutoModelForCausalLM.register(VersatileFFNConfig, VersatileFFNForCausalLM)

__all__ = ["DenseFFN", "VersatileFFN", "VersatileFFNForCausalLM", "VersatileFFNModel"]
