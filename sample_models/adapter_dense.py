"""Dense models: every token passes every layer's one FFN once. Nothing is decided, so there is no routing to record."""

from transformers import PreTrainedModel

from sample_models.adapter import AdaptedConfig, Adapter, run_to_check
from sample_models.adapter_families import DENSE
from sample_models.adapter_streams import attach_streams


class DenseAdapter(Adapter):
    """Plain Llama."""

    family = DENSE
    parameter_parts = {
        "embed_tokens": "token embeddings",
        "lm_head": "output head",
        "self_attn": "attention",
        "norm": "norms",
        "mlp": "FFNs",
    }

    def adapted(self, model: PreTrainedModel) -> AdaptedConfig:
        return AdaptedConfig(model.config, DENSE, frozenset(), len(model.model.layers))

    def attach(self, model: PreTrainedModel) -> None:
        attach_streams(model)

    def check(self, model: PreTrainedModel, config: AdaptedConfig) -> None:
        run_to_check(model)


__all__ = ["DenseAdapter"]
