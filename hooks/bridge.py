"""TransformerBridge over a VersatileFFN model: all tools of TransformerLens, under its hook names and ours.

For notebooks. The app and `capture` use `instrument`, which keeps the model's own attention; the bridge computes
attention step by step so that scores and patterns can be seen, which is somewhat slower and equal up to rounding. Hook
points in the FFN have the names of `hooks.hook_points`, for example `blocks.0.mlp.hook_lambda`.
"""

import copy
import functools
from tempfile import TemporaryDirectory

import torch
from torch import nn
from transformer_lens.factories.architecture_adapter_factory import ArchitectureAdapterFactory
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.architecture_adapter import ArchitectureAdapter
from transformer_lens.model_bridge.generalized_components import (
    BlockBridge,
    EmbeddingBridge,
    RMSNormalizationBridge,
    RotaryEmbeddingBridge,
    UnembeddingBridge,
)
from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent
from transformer_lens.model_bridge.sources import build_bridge_from_module, detect_tokenizer_bos_eos
from transformers import AutoTokenizer

from hooks.lens_points import TracePoint
from sample_models.loading import LoadedModel, no_progress_bar
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.taps import Tap

ARCHITECTURE = "VersatileFFNForCausalLM"


def to_bridge(loaded: LoadedModel) -> TransformerBridge:
    """A `TransformerBridge` over a copy of a loaded model, of whatever `ffn` it has.

    The bridge changes the model that it is given, so it gets a copy: the loaded model stays as it is, and the weights
    are in memory twice. Texts become the same tokens as in `capture`, with a BOS or EOS token only if the tokenizer
    adds one. For a model without a tokenizer the bridge takes tensors of token ids. Texts of different lengths need a
    token to pad with: without one among the model's own, a list of them raises ValueError.

    `blocks.{i}.hook_mlp_out` is what the FFN adds to the residual stream, so that `cache.decompose_resid()` sums to it;
    `blocks.{i}.mlp.hook_out` is the FFN's own output, which already holds the residual. Outputs of single experts and
    of loops that a token did not take are computed only when a hook listens to them; this changes no other result.
    """
    model = own_copy(loaded.model)
    with TemporaryDirectory() as folder:
        tokenizer = None
        if not loaded.reads_ids:
            # TransformerLens changes the tokenizer that it is given, and may read it again from where it came from.
            loaded.tokenizer.save_pretrained(folder)
            tokenizer = AutoTokenizer.from_pretrained(folder)
        adds_bos = tokenizer is not None and detect_tokenizer_bos_eos(tokenizer)[0]
        bridge = build_bridge_from_module(
            model, ARCHITECTURE, hf_config=model.config, tokenizer=tokenizer, model_name=loaded.name
        )
    bridge.cfg.default_prepend_bos = adds_bos
    bridge.cfg.tokenizer_appends_eos = False  # otherwise TransformerLens takes away the EOS that the tokenizer adds
    if tokenizer is not None:
        refuse_made_up_tokens(bridge, model.config.vocab_size)
    return bridge.eval()


def refuse_made_up_tokens(bridge: TransformerBridge, vocab_size: int) -> None:
    """Let the bridge refuse tokens that TransformerLens adds to a tokenizer and the model has no embedding for."""
    to_tokens = bridge.to_tokens

    @functools.wraps(to_tokens)
    def known_tokens(*args, **kwargs) -> torch.Tensor:
        tokens = to_tokens(*args, **kwargs)
        if tokens.max() >= vocab_size:
            raise ValueError(
                "the tokenizer of this model has no token to pad with or to begin with that the model knows: give one "
                "text at a time, or a tensor of token ids"
            )
        return tokens

    bridge.to_tokens = known_tokens


def own_copy(model: VersatileFFNForCausalLM) -> VersatileFFNForCausalLM:
    """A copy of the model and its weights, without the hooks on the original."""
    with no_progress_bar():
        copied = VersatileFFNForCausalLM.from_pretrained(
            None,
            config=copy.deepcopy(model.config),
            state_dict={name: tensor.clone() for name, tensor in model.state_dict().items()},
            dtype=model.dtype,
        )
    return copied.to(model.device)


class FFNBridge(GeneralizedComponent):
    """The FFN with a hook point in the place of every tap; `hook_in` and `hook_out` are among them."""

    def set_original_component(self, original_component: nn.Module) -> None:
        super().set_original_component(original_component)
        for name, child in list(original_component.named_children()):
            if isinstance(child, Tap):
                setattr(self, name, TracePoint())
                setattr(original_component, name, getattr(self, name))

    def forward(self, hidden, *args, **kwargs):
        return self.original_component(hidden, *args, **kwargs)


class LayerBridge(BlockBridge):
    """Llama's block without a norm before the FFN: the FFN norms its input in every loop."""

    hook_aliases = {name: path for name, path in BlockBridge.hook_aliases.items() if name != "hook_mlp_out"} | {
        "hook_resid_mid": "mlp.hook_in"
    }

    def set_original_component(self, original_component: nn.Module) -> None:
        super().set_original_component(original_component)
        self.hook_mlp_out: HookPoint = TracePoint()  # the FFN's output minus its input
        original_component.hook_mlp_out = self.hook_mlp_out


class VersatileFFNAdapter(ArchitectureAdapter):
    """Tells TransformerLens where the parts of a VersatileFFN model are."""

    supports_compatibility_mode = False
    supports_fold_ln = False  # every loop applies the norm, so it cannot be folded into one matrix
    supports_hf_output_attentions = False

    def __init__(self, cfg):
        super().__init__(cfg)
        self._set_rms_rotary_defaults()
        self.weight_processing_conversions = self._qkvo_weight_conversions()
        parts = {
            "ln1": RMSNormalizationBridge(name="input_layernorm", config=cfg),
            "attn": self._build_attention_bridge(),
            "mlp": FFNBridge(name="mlp", config=cfg),
        }
        self.component_mapping = {
            "embed": EmbeddingBridge(name="model.embed_tokens"),
            "rotary_emb": RotaryEmbeddingBridge(name="model.rotary_emb"),
            "blocks": LayerBridge(name="model.layers", config=cfg, submodules=parts, mlp_reads_resid_directly=True),
            "ln_final": RMSNormalizationBridge(name="model.norm", config=cfg),
            "unembed": UnembeddingBridge(name="lm_head", config=cfg),
        }


ArchitectureAdapterFactory.register_adapter(ARCHITECTURE, VersatileFFNAdapter)

__all__ = ["to_bridge"]
