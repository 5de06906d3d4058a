"""KnockOutTrace: what a text's loss becomes when experts are dropped, as numpy arrays."""

from dataclasses import dataclass, fields
from functools import cached_property
from itertools import combinations
from typing import Literal, get_args

import numpy as np
from beartype import beartype
from jaxtyping import Bool, Float, Int, jaxtyped

from hooks.trace import RoutingTrace

Path = Literal["width", "depth", "both"]
Then = Literal["repick", "kept", "renormalised", "mean"]
PATHS: tuple[Path, ...] = get_args(Path)
THENS: tuple[Then, ...] = get_args(Then)
STAGES = (*PATHS, "k", "pairs")
"""What is measured, in this order: the experts in one path or in both, numbers of experts, and pairs of experts."""
MOST_K = 16
"""Most experts of a layer whose pairs are measured, and the largest k."""


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, eq=False)
class KnockOutTrace:
    """Changes of the loss, in nats, at every token of a text: -log p under an intervention minus the model's own.

    Above 0 the model predicts the token worse. Each intervention holds for all tokens of the text in the layers named,
    so a number at a token includes what the tokens before it lost. NaN: not measured (yet), or a token without a loss.
    """

    routing: RoutingTrace
    then: Then
    """What follows a drop in the width path: see `DropExpert`."""
    draws: int
    """Random controls of each expert in each path and layer."""
    change: Float[np.ndarray, "path layer expert token"]
    """One expert of one layer dropped, by path: `PATHS`."""
    control: Float[np.ndarray, "path layer expert token"]
    """Beside it, as many experts dropped at the same tokens, drawn at random: of each token's own experts in the width
    path, of all in the depth path. Mean over the draws."""
    whole: Float[np.ndarray, "path layer token"]
    """All experts of a layer dropped: the path writes nothing there."""
    top_k: Float[np.ndarray, "setting k token"]
    """The best k = 1, 2, .. experts chosen, in one layer (`setting` is the layer) or in all (the last setting)."""
    pairs: Float[np.ndarray, "layer pair token"]
    """Two experts of a layer dropped from the width path, in the order of `pair_experts`."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if isinstance(getattr(self, field.name), np.ndarray):
                getattr(self, field.name).setflags(write=False)

    @cached_property
    def had(self) -> Int[np.ndarray, "layer expert"]:
        """Tokens whose width path had the expert: only these lose anything by a drop in the width path."""
        return experts_had(self.routing).sum(axis=-1)

    @cached_property
    def counted(self) -> Bool[np.ndarray, " token"]:
        """Tokens whose loss counts: those of the text itself that some token stands before."""
        return np.isfinite(self.routing.logprob) & ~self.routing.special

    @cached_property
    def finished(self) -> frozenset[str]:
        """The stages that are measured to their end."""
        at = self.counted
        if not at.any():
            return frozenset(STAGES)
        of_path = zip(PATHS, self.change[..., at], self.control[..., at], self.whole[..., at], strict=True)
        done = set()
        for path, *arrays in of_path:
            lost = (self.had > 0) if path == "width" else np.ones_like(self.had, bool)
            if all(np.isfinite(each[lost] if each.ndim == 3 else each).all() for each in arrays):
                done.add(path)
        done |= {"k"} if np.isfinite(self.top_k[..., at]).all() else set()
        return frozenset(done | ({"pairs"} if np.isfinite(self.pairs[..., at]).all() else set()))


def experts_had(trace: RoutingTrace) -> Bool[np.ndarray, "layer expert token"]:
    """Whether the width path of a token ran the expert."""
    found = np.zeros((trace.num_layers, trace.num_tokens, trace.num_experts), bool)
    np.put_along_axis(found, trace.expert_ids, trace.expert_ran, axis=-1)
    return found.transpose(0, 2, 1)


def pair_experts(experts: int) -> list[tuple[int, int]]:
    """The pairs of experts that are measured: all of a layer, or none of a layer with more than MOST_K."""
    return list(combinations(range(experts), 2)) if experts <= MOST_K else []


__all__ = [
    "MOST_K", "PATHS", "STAGES", "THENS", "KnockOutTrace", "Path", "Then", "experts_had", "pair_experts",
]  # fmt: skip
