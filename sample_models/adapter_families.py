"""The families of models beside VersatileFFN, by the `model_type` of their config.json. Does not import torch."""

MOE, DENSE, LOOPED = "mixture of experts", "dense model", "looped model"
FAMILIES = {
    MOE: frozenset(
        ("mixtral", "olmoe", "qwen2_moe", "qwen3_moe", "flex_olmo", "granitemoe", "granitemoeshared", "mellum")
    ),
    DENSE: frozenset(("llama",)),
    LOOPED: frozenset(("looped_llama",)),
}
"""Family -> the model types that are read as one. Of the mixtures of experts in transformers these are the ones whose
experts are the k largest logits of a router and weigh by a softmax of them."""


def family_of(model_type: object) -> str | None:
    """The family of a model type; None if it belongs to none."""
    return next((family for family, types in FAMILIES.items() if model_type in [*types]), None)


__all__ = ["DENSE", "FAMILIES", "LOOPED", "MOE", "family_of"]
