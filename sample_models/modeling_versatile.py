"""VersatileFFN language model (arXiv 2512.14531). What differs from Llama:

- The FFN of a layer is applied one to `max_loops` times per token (*depth*); its norm is applied anew at every loop.
- The same weights serve as `num_experts` virtual sub-experts, disjoint slices of the hidden units, routed top-k
  (*width*).
- A depth head reads the un-normalised residual stream and picks the loops: argmax in eval, Gumbel straight-through in
  training.
- lambda = (max_loops - loops) / max_loops mixes the paths: Y = lambda * Y_width + (1 - lambda) * Y_depth.
- The layer's output already contains the residual H: nothing is added after it.
- Every quantity worth seeing passes through a `Tap`, an identity module with a stable name.

Shapes: b batch, p token position, d hidden_size, f intermediate_size. Loops count from 1; a loop *choice* from 0.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForCausalLM, LlamaForCausalLM, LlamaModel, LlamaPreTrainedModel
from transformers import initialization as init
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaRMSNorm, LlamaRotaryEmbedding

from sample_models.configuration_versatile import VersatileFFNConfig


class Tap(nn.Identity):
    """A named place to look at, or replace, one tensor of the forward pass. Holds no parameters."""

    @property
    def listening(self) -> bool:
        """Whether anybody attends to this tensor: costly ones are computed only then."""
        return bool(self._forward_hooks) or bool(self._forward_pre_hooks)


def at_least_float32(tensor: torch.Tensor) -> torch.Tensor:
    """Half precision is too coarse for choosing between logits; float64 stays float64."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


class DenseFFN(nn.Module):
    """One SwiGLU pass with its own norm: Y = H + f(H)."""

    def __init__(self, config: VersatileFFNConfig):
        super().__init__()
        self.norm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        # One matrix for both halves: rows [0, f) are the value, rows [f, 2f) the gate of SwiGLU.
        self.up_gate_proj = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.hook_in, self.hook_out = Tap(), Tap()

    def activations(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden units of the FFN after SwiGLU: [..., d] -> [..., f]."""
        value, gate = self.up_gate_proj(self.norm(hidden)).chunk(2, dim=-1)
        return F.silu(gate) * value

    def loop(self, hidden: torch.Tensor) -> torch.Tensor:
        """F(h) = h + f(h): one pass through the shared FFN."""
        return hidden + self.down_proj(self.activations(hidden))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.hook_out(self.loop(self.hook_in(hidden)))


class VersatileFFN(DenseFFN):
    """The shared FFN used wide and deep, and the two small heads that decide how."""

    def __init__(self, config: VersatileFFNConfig):
        super().__init__(config)
        self.num_experts, self.top_k, self.max_loops = (
            config.num_experts,
            config.num_experts_per_tok,
            config.max_loops,
        )
        self.router = nn.Linear(config.hidden_size, config.num_experts, bias=False)
        self.depth_head = nn.Linear(config.hidden_size, config.max_loops, bias=False)
        self.tau = nn.Buffer(torch.tensor(config.tau), persistent=False)
        self.hook_depth_logits, self.hook_loop_choice, self.hook_lambda = Tap(), Tap(), Tap()
        self.hook_router_logits, self.hook_expert_indices, self.hook_expert_weights = Tap(), Tap(), Tap()
        self.hook_expert_out, self.hook_width_out, self.hook_depth_out = Tap(), Tap(), Tap()
        for loop in range(1, config.max_loops + 1):
            self.add_module(f"hook_depth_state_{loop}", Tap())

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        hidden = self.hook_in(hidden)  # [b p d] = H
        choice, loop_probs = self.choose_loops(hidden)
        loops = torch.arange(1, self.max_loops + 1, device=hidden.device, dtype=hidden.dtype)
        # Not detached: in training lambda carries the straight-through gradient to the depth head.
        width_share = self.hook_lambda((self.max_loops - loop_probs @ loops[:, None]) / self.max_loops)  # [b p 1]
        activations = self.activations(hidden)  # [b p f], shared by loop 1 and the width path
        depth_out = self.hook_depth_out(self.depth_path(hidden, activations, choice, loop_probs))
        width_out = self.hook_width_out(self.width_path(hidden, activations, width_share))
        return self.hook_out(width_share * width_out + (1 - width_share) * depth_out)

    def choose_loops(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The loop choice [b p] and its one-hot form [b p loop], differentiable (straight-through) in training."""
        logits = self.hook_depth_logits(self.depth_head(hidden))  # [b p loop]
        scores = at_least_float32(logits)
        if self.training:
            gumbel = -torch.empty_like(scores).exponential_().log()
            scores = (scores + gumbel) / self.tau
        choice = self.hook_loop_choice(scores.argmax(dim=-1))  # [b p], the first index on ties
        one_hot = F.one_hot(choice, self.max_loops).to(scores.dtype)
        if self.training:
            soft = scores.softmax(dim=-1)
            one_hot = one_hot - soft.detach() + soft
        return choice, one_hot.to(hidden.dtype)

    def depth_path(self, hidden, activations, choice, loop_probs) -> torch.Tensor:
        """Y_depth [b p d]: the state after the chosen number of loops.

        Training needs every state for the straight-through gradient, and a listener asked to see them; otherwise no
        token runs deeper than it chose.
        """
        first = hidden + self.down_proj(activations)
        taps = [getattr(self, f"hook_depth_state_{loop}") for loop in range(1, self.max_loops + 1)]
        if not self.training and not any(tap.listening for tap in taps):
            return self.loop_until_exit(first, choice)
        states = [taps[0](first)]
        for tap in taps[1:]:
            states.append(tap(self.loop(states[-1])))
        if self.training:
            return sum(p * state for p, state in zip(loop_probs.split(1, dim=-1), states, strict=True))
        return torch.stack(states, dim=-2).take_along_dim(choice[..., None, None], dim=-2).squeeze(-2)

    def loop_until_exit(self, first: torch.Tensor, choice: torch.Tensor) -> torch.Tensor:
        """H(loops) [b p d] from H(1): each loop runs only the tokens that have not left yet."""
        states, exits = first.flatten(0, -2), choice.flatten()  # [b*p d], [b*p]
        for loop in range(1, self.max_loops):
            running = (exits >= loop).nonzero().squeeze(-1)
            if running.numel() == 0:
                break
            states[running] = self.loop(states[running])
        return states.view_as(first)

    def width_path(self, hidden, activations, width_share) -> torch.Tensor:
        """Y_width [b p d] = H + sum_k w_k f_{e_k}(H); zeros where it did not run (lambda = 0 in eval)."""
        logits = self.hook_router_logits(self.router(hidden))  # [b p expert]
        kept, indices = logits.topk(self.top_k, dim=-1)  # [b p k], best first
        weights = self.hook_expert_weights(at_least_float32(kept).softmax(dim=-1).to(logits.dtype))
        indices = self.hook_expert_indices(indices)
        if self.hook_expert_out.listening:
            outputs = self.hook_expert_out(self.expert_outputs(activations))  # [b p expert d]
            chosen = outputs.take_along_dim(indices[..., None], dim=-2)
            width_out = hidden + (weights[..., None] * chosen).sum(dim=-2)
            return width_out if self.training else torch.where(width_share > 0, width_out, 0)
        share = torch.zeros_like(logits).scatter(-1, indices, weights)  # [b p expert], 0 for those not chosen
        if self.training:
            return hidden + self.down_proj(self.weigh_slices(activations, share))
        routed = (width_share > 0).squeeze(-1)
        width_out = torch.zeros_like(hidden)
        width_out[routed] = hidden[routed] + self.down_proj(self.weigh_slices(activations[routed], share[routed]))
        return width_out

    def weigh_slices(self, activations: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        """Each expert's slice of the hidden units times its share: [..., f], [..., expert] -> [..., f]."""
        return (activations.unflatten(-1, (self.num_experts, -1)) * share[..., None]).flatten(-2)

    def expert_outputs(self, activations: torch.Tensor) -> torch.Tensor:
        """f_e(H) of every expert, without the residual [b p expert d]; their sum over experts is f(H)."""
        slices = activations.unflatten(-1, (self.num_experts, -1))  # [b p expert s]
        return torch.einsum("bpes,des->bped", slices, self.down_proj.weight.unflatten(-1, (self.num_experts, -1)))


FFN = {"versatile": VersatileFFN, "dense": DenseFFN}


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
        residual = self.hook_resid_pre(hidden_states)
        attention_out, _ = self.self_attn(hidden_states=self.input_layernorm(residual), **kwargs)
        residual = self.hook_resid_mid(residual + attention_out)  # [b p d] = H
        output = self.mlp(residual)  # [b p d] = Y
        if self.hook_mlp_out.listening:
            update = output - residual
            edited = self.hook_mlp_out(update)
            # Only an edit is added back: H + (Y - H) is not bit for bit Y, and looking must change nothing.
            output = output if edited is update else residual + edited
        return self.hook_resid_post(output)


class VersatileFFNPreTrainedModel(LlamaPreTrainedModel):
    config: VersatileFFNConfig
    # Recomputing a layer would draw other Gumbel noise than its forward pass did.
    supports_gradient_checkpointing = False
    _no_split_modules = ["VersatileFFNDecoderLayer"]
    _can_record_outputs = {"hidden_states": VersatileFFNDecoderLayer, "attentions": LlamaAttention}

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, VersatileFFN):
            init.constant_(module.tau, self.config.tau)  # a buffer that no checkpoint holds


class VersatileFFNModel(VersatileFFNPreTrainedModel, LlamaModel):
    """Llama's model (its forward as it is) over layers with a versatile FFN."""

    def __init__(self, config: VersatileFFNConfig):
        # Not LlamaModel's own: it would build Llama's layers, and freeze the padding token's embedding.
        LlamaPreTrainedModel.__init__(self, config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(VersatileFFNDecoderLayer(config, i) for i in range(config.num_hidden_layers))
        self.norm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.rotary_emb = LlamaRotaryEmbedding(config=config)
        self.gradient_checkpointing = False
        self.post_init()


class VersatileFFNForCausalLM(VersatileFFNPreTrainedModel, LlamaForCausalLM):
    """Llama's causal language model (its forward, loss and `generate` as they are) over `VersatileFFNModel`."""

    def __init__(self, config: VersatileFFNConfig):
        LlamaPreTrainedModel.__init__(self, config)
        self.model = VersatileFFNModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def set_tau(self, tau: float) -> None:
        """Set the Gumbel-softmax temperature of every depth head (training mode only)."""
        for module in self.modules():
            if isinstance(module, VersatileFFN):
                module.tau.fill_(tau)


AutoConfig.register(VersatileFFNConfig.model_type, VersatileFFNConfig)
AutoModelForCausalLM.register(VersatileFFNConfig, VersatileFFNForCausalLM)

__all__ = ["DenseFFN", "Tap", "VersatileFFN", "VersatileFFNForCausalLM", "VersatileFFNModel"]
