"""Facts about the model of a trace, read from the trace alone."""

from dataclasses import dataclass
from typing import Any

from hooks.trace import RoutingTrace


@dataclass(frozen=True)
class ModelFacts:
    """What a trace says about its model; None where it says nothing."""

    name: str | None
    weights_sha256: str | None
    layers: int
    experts: int
    max_loops: int
    context: int | None
    """Trained context, in tokens."""
    parameters: int | None
    heads_share: float | None
    """Parameters of router and depth head, as a share of all parameters."""
    gates_trained: bool | None
    reads_ids: bool
    """Whether the model has no tokenizer, so that its texts are token ids."""
    vocabulary: int | None
    """Size of the vocabulary, in embeddings."""
    precision: str | None
    """Number format in which the model ran, such as float32."""


def model_facts(trace: RoutingTrace) -> ModelFacts:
    """The facts about the model of a trace. Impossible values, which a file from elsewhere may hold, become None."""
    meta = trace.meta
    parameters, heads = _count(meta.get("parameters")), _count(meta.get("heads_parameters"))
    trained = meta.get("gates_trained")
    return ModelFacts(
        name=meta.get("model") or None,
        weights_sha256=meta.get("weights_sha256") or None,
        layers=trace.num_layers,
        experts=trace.num_experts,
        max_loops=trace.max_loops,
        context=_count(meta.get("config", {}).get("max_position_embeddings")),
        parameters=parameters,
        heads_share=heads / parameters if parameters and heads else None,
        gates_trained=trained if isinstance(trained, bool) else None,
        reads_ids=meta.get("reads_ids") is True,
        vocabulary=_count(meta.get("config", {}).get("vocab_size")),
        precision=meta.get("dtype") or None,
    )


def _count(value: Any) -> int | None:
    """`value` if it is a possible count, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 50 else None


__all__ = ["ModelFacts", "model_facts"]
