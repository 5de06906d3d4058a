"""A small reference of looped and early-exit language models, to try the explorer with. What differs from Llama:

- A pass (*loop*) runs all layers, as in Ouro and Huginn, or the next layer alone, as an early exit does (`exit_after`).
- After every loop an exit gate reads the normed stream of a token. With the gates g_l the token exits after loop l with
  probability p_l = g_l (1 - g_1) ... (1 - g_{l-1}); what is left exits after the last loop. The likeliest exit is
  taken.
- The token's output is its stream after that loop. Later loops still run, so that other tokens can read it there.
- With `exits` "fixed" every token of a text takes `max_loops` loops, and no gate decides.
"""

from typing import Literal

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache, LlamaConfig, LlamaForCausalLM, LlamaModel
from transformers.masking_utils import create_causal_mask
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.models.llama.modeling_llama import LlamaPreTrainedModel

from sample_models.taps import Tap, tell_positions


@strict
class LoopedLlamaConfig(LlamaConfig):
    """Llama's configuration, and how a model loops.

    max_loops (int, 4): most loops of a token; with `exit_after` "layer" it is the number of layers.
    exits (str, "token"): "token" lets a gate decide for every token, "fixed" gives all tokens `max_loops`.
    exit_after (str, "stack"): what one loop runs, all layers ("stack") or the next one ("layer").
    """

    model_type = "looped_llama"

    max_loops: int = 4
    exits: Literal["token", "fixed"] = "token"
    exit_after: Literal["stack", "layer"] = "stack"

    @property
    def loops(self) -> int:
        """Loops that run."""
        return self.max_loops if self.exit_after == "stack" else self.num_hidden_layers


class ExitGate(nn.Module):
    """Chooses the number of loops of every token from the streams after all of them."""

    def __init__(self, config: LoopedLlamaConfig):
        super().__init__()
        self.gate = nn.Linear(config.hidden_size, 1)
        self.hook_depth_logits, self.hook_loop_choice = Tap(), Tap()
        for tap in ("hook_depth_logits", "hook_loop_choice"):
            getattr(self, tap).name = f"blocks.0.mlp.{tap}"

    def forward(self, normed: torch.Tensor) -> torch.Tensor:
        """Loops - 1 [b p] from the normed streams after all loops [b p loop d]."""
        scores = self.gate(normed)[..., 0].float()  # [b p loop]
        goes_on = nn.functional.logsigmoid(-scores).cumsum(dim=-1)
        before = nn.functional.pad(goes_on, (1, 0))  # log of the probability to have reached a loop
        exits = before[..., :-1] + nn.functional.logsigmoid(scores)
        log_probs = torch.cat([exits[..., :-1], before[..., -2:-1]], dim=-1)
        log_probs = self.hook_depth_logits(log_probs)
        return self.hook_loop_choice(log_probs.argmax(dim=-1))


class _LoopCache:
    """The part of a cache that one loop uses: each loop has keys and values of its own."""

    def __init__(self, cache: DynamicCache, first: int):
        self.cache, self.first = cache, first

    def update(self, key: torch.Tensor, value: torch.Tensor, layer_idx: int, *more, **named):
        return self.cache.update(key, value, self.first + layer_idx, *more, **named)


class LoopedLlamaModel(LlamaModel):
    """Llama's model, whose layers run again and again until a token exits."""

    config: LoopedLlamaConfig

    def __init__(self, config: LoopedLlamaConfig):
        super().__init__(config)
        self.exit_gate = ExitGate(config) if config.exits == "token" else None
        self.hook_resid_post = Tap()
        self.hook_resid_post.name = "blocks.0.hook_resid_post"
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: DynamicCache | None = None,
        use_cache: bool | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPast:
        stream = self.embed_tokens(input_ids)
        past = past_key_values if past_key_values is not None else DynamicCache() if use_cache else None
        if position_ids is None:
            seen = past.get_seq_length() if past is not None else 0
            position_ids = (torch.arange(stream.shape[1], device=stream.device) + seen)[None]
        tell_positions(position_ids)
        mask = create_causal_mask(self.config, stream, attention_mask, past, position_ids=position_ids)
        rotated, layers = self.rotary_emb(stream, position_ids=position_ids), list(self.layers)
        streams = []
        for loop in range(self.config.loops):
            whole = self.config.exit_after == "stack"
            cache = past and _LoopCache(past, loop * len(layers) if whole else 0)
            for layer in layers if whole else layers[loop : loop + 1]:
                stream = layer(
                    stream,
                    attention_mask=mask,
                    position_ids=position_ids,
                    past_key_values=cache,
                    position_embeddings=rotated,
                )
            streams.append(stream)
        if self.exit_gate is not None:
            after = torch.stack(streams, dim=-2)  # [b p loop d]
            chosen = self.exit_gate(self.norm(after))
            stream = after.take_along_dim(chosen[..., None, None], dim=-2).squeeze(-2)
        stream = self.hook_resid_post(stream)
        return BaseModelOutputWithPast(last_hidden_state=self.norm(stream), past_key_values=past)


class LoopedLlamaForCausalLM(LlamaForCausalLM):
    """Llama's causal language model over `LoopedLlamaModel`."""

    config: LoopedLlamaConfig

    def __init__(self, config: LoopedLlamaConfig):
        LlamaPreTrainedModel.__init__(self, config)
        self.model = LoopedLlamaModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()


AutoConfig.register(LoopedLlamaConfig.model_type, LoopedLlamaConfig)
AutoModelForCausalLM.register(LoopedLlamaConfig, LoopedLlamaForCausalLM)

__all__ = ["LoopedLlamaConfig", "LoopedLlamaForCausalLM", "LoopedLlamaModel"]
