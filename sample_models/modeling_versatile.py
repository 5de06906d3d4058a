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

from dataclasses import dataclass
from functools import wraps

import torch
from torch import nn
from transformers import LlamaForCausalLM, LlamaModel, LlamaPreTrainedModel
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import MoeCausalLMOutputWithPast
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaRMSNorm, LlamaRotaryEmbedding
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func
from transformers.utils import ModelOutput, can_return_tuple
from transformers.utils.output_capturing import OutputRecorder

from .configuration_versatile import VersatileFFNConfig
from .feed_forward import FFN, DenseFFN, DepthPath, VersatileFFN
from .taps import Tap, name_taps, tell_positions

HEADS = ("router_logits", "depth_logits")
"""What `output_router_logits` and `output_depth_logits` return, of every layer that has such a head."""


class VersatileFFNDecoderLayer(GradientCheckpointingLayer):
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
    _no_split_modules = ["VersatileFFNDecoderLayer"]
    _can_record_outputs = {
        "hidden_states": VersatileFFNDecoderLayer,
        "attentions": LlamaAttention,
        **{name: OutputRecorder(Tap, layer_name=f"mlp.hook_{name}") for name in HEADS},
    }

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

    @wraps(LlamaModel.forward)
    def forward(self, *args, **kwargs):
        outputs = super().forward(*args, **kwargs)
        for name in HEADS:
            if (
                isinstance(outputs, ModelOutput) and name in outputs
            ):  # [b * p, ...] as in transformers' other MoE models
                outputs[name] = tuple(logits.flatten(0, -2) for logits in outputs[name])
        return outputs


@dataclass
class VersatileFFNOutput(MoeCausalLMOutputWithPast):
    """transformers' output of MoE models, and the logits of every depth head, each [b * p, loop]."""

    depth_logits: tuple[torch.Tensor, ...] | None = None


class VersatileFFNForCausalLM(VersatileFFNPreTrainedModel, LlamaForCausalLM):
    """Llama's causal language model with its loss and `generate`, over `VersatileFFNModel`.

    `output_router_logits`, an argument or a field of the configuration, returns the logits of every router and, as
    `aux_loss`, the balance loss of transformers' MoE models over all tokens that `attention_mask` keeps. If there are
    labels, `router_aux_loss_coef` times `aux_loss` is added to the loss, so that `Trainer` balances the experts.
    `output_depth_logits` returns the logits of every depth head.
    """

    def __init__(self, config: VersatileFFNConfig):
        LlamaPreTrainedModel.__init__(self, config)
        self.model = VersatileFFNModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values=None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        output_router_logits: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs,
    ) -> VersatileFFNOutput:
        if output_router_logits is None:
            output_router_logits = self.config.output_router_logits
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_router_logits=output_router_logits,
            **kwargs,
        )
        hidden = outputs.last_hidden_state
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep  # all with -0
        logits = self.lm_head(hidden[:, kept])
        loss = aux_loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        if router_logits := outputs.get("router_logits"):
            mask = None if attention_mask is None else attention_mask[:, -hidden.shape[1] :]
            sizes = self.config.num_experts, self.config.num_experts_per_tok
            aux_loss = load_balancing_loss_func(router_logits, *sizes, mask)
            if loss is not None:
                loss = loss + self.config.router_aux_loss_coef * aux_loss.to(loss.device)
        return VersatileFFNOutput(
            loss=loss,
            aux_loss=aux_loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            router_logits=router_logits or None,
            depth_logits=outputs.get("depth_logits") or None,
        )

    def set_tau(self, tau: float) -> None:
        """Set the Gumbel-softmax temperature of every depth head (training mode only)."""
        for module in self.modules():
            if isinstance(module, DepthPath):
                module.tau.fill_(tau)


__all__ = ["DenseFFN", "VersatileFFN", "VersatileFFNForCausalLM", "VersatileFFNModel", "VersatileFFNOutput"]
