"""Interventions as data: what to decide otherwise in a pass, in which layers and for which tokens.

They are frozen, equal if their fields are, hashable, and written as JSON by `hooks.interventions`. They hold no torch;
`sample_models.intervening` applies them. A layer's output is, for every token,

    Y = H + (1 - lambda) * sum_{l <= loops} D_l + lambda * sum_{e in S} w_e f_e(H)

with D_l = H(l) - H(l-1) the step of loop l, f_e the slice of the FFN that is expert e, and S, w the chosen experts and
their weights: a softmax over the router's logits z of S. An intervention puts other values into this equation; what it
does not name stays the model's own choice in the pass that it changed. Forces come first, in the order given (the later
one wins where two meet), then dropped experts, then dropped paths.

`layers` and `tokens` are numbers from 0, one or several, and None means all. Tokens are counted in the whole text.
Mistakes raise ValueError with one sentence.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Literal

from sample_models.intervention import Indices, Intervention, Sizes, row_of, short
from sample_models.routing import Routing

Weights = Literal["renormalised", "kept"]
PARTS = ("loops", "gate", "experts")


@dataclass(frozen=True)
class ForceLoops(Intervention):
    """loops := `loops`, 1 to max_loops.

    gate "follows": lambda := (max_loops - loops) / max_loops, as in the model. gate "held": lambda stays what it was
    before, that of the loops which the depth head chose unless another force gave it.
    """

    loops: int
    layers: Indices = None
    tokens: Indices = None
    gate: Literal["follows", "held"] = "follows"

    needs = ("depth",)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("loops", self._whole("loops", self.loops, 1))
        self._one_of("gate", ("follows", "held"))

    def check(self, sizes: Sizes) -> None:
        super().check(sizes)
        if self.loops > sizes.max_loops:
            raise ValueError(f"{self._named('loops')} must be 1..{sizes.max_loops}, got {self.loops}")

    def _needed(self) -> tuple[str, ...]:
        return (*self.needs, "gate") if self.gate == "held" else self.needs

    def _what(self, *, two_paths: bool) -> str:
        return f"{self.loops} loop{'s' * (self.loops > 1)}{f', λ {self.gate}' * two_paths}"


@dataclass(frozen=True)
class ForceGate(Intervention):
    """lambda := `gate`, 0 to 1; the loops stay. At 0 the width path does not run, at 1 the loops write nothing."""

    gate: float
    layers: Indices = None
    tokens: Indices = None

    needs = ("gate",)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("gate", self._share("gate", self.gate))

    def _what(self, *, two_paths: bool) -> str:
        return f"λ = {self.gate:g}"


@dataclass(frozen=True)
class ForceExperts(Intervention):
    """S := `experts`. They write only where lambda > 0.

    weights "renormalised": w := softmax over z of these experts, as the model weighs its own.
    weights "kept": w_e := exp(z_e) / sum of exp(z) over the model's own top k, so that they need not sum to 1.
    A row of numbers from 0 to 1, one for each expert: w := these.
    """

    experts: tuple[int, ...]
    layers: Indices = None
    tokens: Indices = None
    weights: Weights | tuple[float, ...] = "renormalised"

    needs = ("width",)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("experts", row_of(self._named("experts"), self.experts))
        if isinstance(self.weights, str) or not isinstance(self.weights, Iterable):
            self._one_of("weights", ("renormalised", "kept"))
            return
        self._set("weights", tuple(self._share("weights", weight) for weight in self.weights))
        if len(self.weights) != len(self.experts):
            counts = f"got {len(self.weights)} for {len(self.experts)}"
            raise ValueError(f"{self._named('weights')} must be one number for each expert, {counts}")

    def check(self, sizes: Sizes) -> None:
        super().check(sizes)
        self._check_experts("experts", self.experts, sizes)

    def _what(self, *, two_paths: bool) -> str:
        weights = self.weights if isinstance(self.weights, str) else ", ".join(f"{each:g}" for each in self.weights)
        return f"experts {', '.join(map(str, self.experts))}, weights {weights}"


@dataclass(frozen=True)
class ForceTopK(Intervention):
    """S := the `k` experts with the largest z.

    weights "renormalised": w := softmax over z of these k. weights "kept": w_e := exp(z_e) / sum of exp(z) over the
    model's own top k, so that the experts which stay keep their weights.
    """

    k: int
    layers: Indices = None
    tokens: Indices = None
    weights: Weights = "renormalised"

    needs = ("width",)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("k", self._whole("k", self.k, 1))
        self._one_of("weights", ("renormalised", "kept"))

    def check(self, sizes: Sizes) -> None:
        super().check(sizes)
        if self.k > sizes.experts:
            raise ValueError(f"{self._named('k')} must be 1..{sizes.experts}, got {self.k}")

    def _what(self, *, two_paths: bool) -> str:
        return f"the best {f'{self.k} experts' if self.k > 1 else 'expert'}, weights {self.weights}"


@dataclass(frozen=True)
class UseRouting(Intervention):
    """loops, lambda, S and w := those of another trace at the same layer and position, or some of these `parts`.

    Without "gate", lambda follows the loops. In a text read in several windows it changes each token only in the window
    that owns it, since a trace holds no decision about the others. A trace holds lambda and w in float32.
    """

    routing: Routing
    """Given as a `RoutingTrace`; its decisions are kept, and what else it holds is not."""
    layers: Indices = None
    tokens: Indices = None
    parts: tuple[str, ...] = PARTS

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.routing, Routing):
            self._set("routing", Routing.of(self.routing))
        given = (self.parts,) if isinstance(self.parts, str) else self.parts
        if not isinstance(given, Iterable) or not (chosen := list(given)) or not all(part in PARTS for part in chosen):
            raise ValueError(f"{self._named('parts')} must be some of {', '.join(PARTS)}, got {short(self.parts)}")
        self._set("parts", tuple(part for part in PARTS if part in chosen))

    def check(self, sizes: Sizes) -> None:
        super().check(sizes)
        layers, tokens = self.routing.loops.shape
        if layers != sizes.layers or self.routing.most_loops > sizes.max_loops:
            raise ValueError(
                f"{self._named('routing')} must be of a model with {sizes.layers} layers and no more loops"
            )
        self._check_experts("routing", (self.routing.last_expert,), sizes)
        if self.tokens is None and sizes.tokens is not None and tokens != sizes.tokens:
            raise ValueError(
                f"{self._named('routing')} has {tokens} tokens and the text {sizes.tokens}: name the tokens to change"
            )
        if self.tokens is not None and self.tokens[-1] >= tokens:
            raise ValueError(
                f"{self._named('tokens')} must be 0..{tokens - 1}, those of its trace, got {self.tokens[-1]}"
            )

    def _needed(self) -> tuple[str, ...]:
        return tuple({"loops": "depth", "gate": "gate", "experts": "width"}[part] for part in self.parts)

    def _what(self, *, two_paths: bool) -> str:
        return f"{', '.join(self.parts)} of another trace ({self.routing.name})"


@dataclass(frozen=True)
class DropExpert(Intervention):
    """S := S without `expert`, for the tokens that had it; several experts are dropped by as many of these.

    In the width path (`path` "width" or "both"), with e the expert:
    then "repick": the best of the other experts by z joins S, and w := softmax over z of S.
    then "renormalised": w_j := w_j s / (s - w_e) for the others, with s the sum of the weights (1 unless forced).
    then "kept": the other weights stay, so that e leaves a hole.
    then "mean": the mean of the n experts that are not dropped stands in: w_j := w_j + w_e / n for each of them.
    Where no expert is left, the width path writes nothing.

    In the depth path ("depth" or "both"), which runs the same weights: H(l) := H(l-1) + f(H(l-1)) - f_e(H(l-1)) in all
    loops, for all tokens named. With "depth" the width path keeps its expert.
    """

    expert: int
    layers: Indices = None
    tokens: Indices = None
    path: Literal["width", "depth", "both"] = "width"
    then: Literal["repick", "renormalised", "kept", "mean"] = "repick"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("expert", self._whole("expert", self.expert, 0))
        self._one_of("path", ("width", "depth", "both"))
        self._one_of("then", ("repick", "renormalised", "kept", "mean"))

    def check(self, sizes: Sizes) -> None:
        super().check(sizes)
        self._check_experts("expert", (self.expert,), sizes)

    def _needed(self) -> tuple[str, ...]:
        return ("width", "depth") if self.path == "both" else (self.path,)

    def _what(self, *, two_paths: bool) -> str:
        where = {"width": "the width path", "depth": "the loops", "both": "both paths"}[self.path]
        then = "" if self.path == "depth" else f", then {self.then}"
        return f"no expert {self.expert}{f' in {where}' * two_paths}{then}"


@dataclass(frozen=True)
class DropPath(Intervention):
    """One path writes nothing: its Y_path := H, not 0.

    other "kept": "width" gives Y := H + (1 - lambda) * sum D_l, "depth" gives Y := H + lambda * sum w_e f_e(H).
    other "renormalised": the other path gets the whole layer: Y := Y_depth (lambda := 0) or Y := Y_width (lambda := 1).
    With both paths dropped Y := H.

    A trace shows a kept drop as the equation has it: "width" as weights of 0, "depth" as lambda 1 and weights lambda w.
    """

    path: Literal["width", "depth"]
    layers: Indices = None
    tokens: Indices = None
    other: Weights = "kept"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._one_of("path", ("width", "depth"))
        self._one_of("other", ("kept", "renormalised"))

    def _needed(self) -> tuple[str, ...]:
        return ("width",) if (self.path, self.other) == ("width", "kept") else ("gate",)

    def _what(self, *, two_paths: bool) -> str:
        return f"no {self.path} path, the other one {self.other}" if two_paths else "no experts"


KINDS: dict[str, type[Intervention]] = {
    kind.__name__: kind for kind in (ForceLoops, ForceGate, ForceExperts, ForceTopK, UseRouting, DropExpert, DropPath)
}
"""Name of a kind -> the kind."""


def fields_of(kind: type[Intervention]) -> tuple[str, ...]:
    """Names of the fields of a kind."""
    return tuple(field.name for field in fields(kind))


__all__ = [
    "KINDS", "DropExpert", "DropPath", "ForceExperts", "ForceGate", "ForceLoops", "ForceTopK", "Intervention", "Sizes",
    "UseRouting", "fields_of",
]  # fmt: skip
