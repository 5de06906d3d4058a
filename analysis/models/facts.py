"""Facts about the model of a trace, read from the trace alone."""

from dataclasses import dataclass
from typing import Any

from analysis.words.labels import how_many
from hooks.trace import RoutingTrace
from sample_models.adapter_families import LOOPED


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
    family: str | None
    """What kind of model it is, unless it is a VersatileFFN."""
    parts: frozenset[str]
    """What it decides, as in `RoutingTrace.parts`."""
    chosen: int
    """Experts of a token."""
    looped: int | None
    """Layers of a looped model, if they are known: its trace has one for all of them, since one choice does."""
    notes: tuple[str, ...]
    """Sentences on what readers of the trace must know about a model of another family."""

    @property
    def heads(self) -> str:
        """What decides: the parameters of `heads_share`."""
        return "routers" if self.family else "routers and depth heads"

    @property
    def made_of(self) -> str:
        """Its layers, experts and loops, in a sentence."""
        if self.family is None:
            return f"{self.layers} layers, {self.experts} experts, up to {self.max_loops} loops."
        layers = self.looped if self.family == LOOPED else self.layers
        found = [how_many(layers, "layer")] if layers else []
        if "width" in self.parts:
            found.append(f"{how_many(self.experts, 'expert')}, {self.chosen} for each token")
        if "depth" in self.parts:
            found.append(f"up to {how_many(self.max_loops, 'loop')}")
        return f"This model is a {self.family}{': ' * bool(found)}{', '.join(found)}."


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
        family=meta.get("family") or None,
        parts=trace.parts,
        chosen=trace.own_k,
        looped=_count(meta.get("config", {}).get("num_hidden_layers")) if meta.get("family") == LOOPED else None,
        notes=tuple(meta.get("notes", ())),
    )


def _count(value: Any) -> int | None:
    """`value` if it is a possible count, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 50 else None


__all__ = ["ModelFacts", "model_facts"]
