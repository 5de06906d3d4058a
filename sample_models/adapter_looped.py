"""Looped and early-exit models: one decision per token, after how many passes through the layers it exits.

The decision is about all layers together, so a trace has one layer. The reference class is `modeling_looped`.
"""

import torch

from sample_models.adapter import DEPTH_FIELDS, AdaptedConfig, Adapter, run_to_check
from sample_models.adapter_families import LOOPED
from sample_models.modeling_looped import LoopedLlamaForCausalLM
from sample_models.taps import HOOK_NAMES, record


class LoopedAdapter(Adapter):
    """Our reference class, which has its taps already."""

    family = LOOPED
    parameter_parts = {
        "embed_tokens": "token embeddings",
        "lm_head": "output head",
        "exit_gate": "exit gate",
        "self_attn": "attention",
        "norm": "norms",
        "mlp": "FFNs",
    }

    def adapted(self, model: LoopedLlamaForCausalLM) -> AdaptedConfig:
        config, decides = model.config, model.config.exits == "token"
        layers, whole = config.num_hidden_layers, config.exit_after == "stack"
        one = f"A loop is a pass through all {layers} layers" if whole else "A loop is the next layer"
        note = (
            f"{one}. One choice per token is about all layers, so the trace has one layer. A token that has exited is "
            "still run in later loops, where others read it."
            if decides
            else f"{one}. Every token of a text takes {config.loops} loops, and nothing is decided."
        )
        return AdaptedConfig(
            config,
            LOOPED,
            frozenset({"depth"} if decides else ()),
            1,
            tapped=dict.fromkeys(DEPTH_FIELDS, frozenset({0})) if decides else {},
            max_loops=config.loops if decides else 1,
            notes=(note,),
        )

    def attach(self, model: LoopedLlamaForCausalLM) -> None:
        """Nothing: the class has its taps."""

    @torch.no_grad()
    def check(self, model: LoopedLlamaForCausalLM, config: AdaptedConfig) -> None:
        """The exit of every token must be the likeliest of probabilities that sum to 1."""
        names = [HOOK_NAMES[field].format(0) for field in DEPTH_FIELDS if field in config.tapped]
        with record(names) as seen:
            run_to_check(model)
        if names:
            logits, choice = (seen[name] for name in names)
            sums = logits.exp().sum(dim=-1)
            if not torch.allclose(sums, torch.ones_like(sums), atol=1e-3) or (logits.argmax(dim=-1) != choice).any():
                raise ValueError("a token must take its likeliest exit: the explorer does not know this kind of exit")


__all__ = ["LoopedAdapter"]
