"""What other gates cost and what a text then loses: `Frontier` of many gates, `GateSweep` of one lambda for all."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from beartype import beartype
from jaxtyping import Float, jaxtyped

from hooks.trace import RoutingTrace

Rule = Literal["learned", "random", "always", "threshold", "change", "entropy", "oracle"]
RULES: tuple[Rule, ...] = ("learned", "random", "always", "threshold", "change", "entropy", "oracle")


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, eq=False)
class Frontier:
    """Passes over one text under other gates, one point per pass. Lambda follows the loops.

    learned    the model's own choices
    random     the model's loops dealt anew among the tokens of each layer; `setting` is the seed
    always     `setting` loops for every token in every layer
    threshold  E[L] + `setting`, rounded, within 1..max_loops: the depth head with its thresholds moved
    change     leave after the first loop whose step is shorter than `setting` times the state before it
    entropy    leave after the first loop whose state has a logit lens with an entropy below `setting` nats
    oracle     in every cell the loops whose own effect on the text's log p, forced alone, minus `setting` nats per loop
               is largest: greedy per cell, and it has read the text that follows
    """

    routing: RoutingTrace
    rule: list[str]
    setting: Float[np.ndarray, " point"]
    loops: Float[np.ndarray, " point"]
    """Mean FFN passes of a token in a layer, over the text's own tokens."""
    loss: Float[np.ndarray, " point"]
    """Mean surprisal of the text's tokens, nats; the first has none."""


SCOPES = ("cell", "layer", "model")
Scope = Literal["cell", "layer", "model"]


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, eq=False)
class GateSweep:
    """A text's predictions with lambda forced from 0 to 1, as by `ForceGate`; the loops of the forced cells stay.

    cell: of one token in one layer; layer: of all tokens in this layer; model: of all tokens in all layers.
    """

    routing: RoutingTrace
    layer: int
    token: int
    gate: Float[np.ndarray, " step"]
    """The forced lambda."""
    loss: Float[np.ndarray, "scope step"]
    """Mean change of the surprisal of all predictions that the scope can change, nats; above 0 is worse. For the cell
    these are the token's own next prediction and all later ones; NaN for the last token of a text."""
    own: Float[np.ndarray, " step"]
    """Change of the surprisal of the cell's own next prediction alone; NaN for the last token."""


__all__ = ["RULES", "SCOPES", "Frontier", "GateSweep", "Rule", "Scope"]
