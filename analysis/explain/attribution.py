"""Direct logit attribution: how much every write to the residual stream adds to a logit, or to a difference of two.

With the scale of the final norm frozen, the readout is linear: the contributions of all writes sum to the model's own
logit. Removing a write would also change the norm and the later layers; that effect has to be measured.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.explain.ledger import ROUNDOFF, stream_writes
from hooks.path_trace import PathTrace
from hooks.readout import LogitDirection
from hooks.trace import RoutingTrace

LIKELIEST, SECOND, FOLLOWING = "likeliest next token", "second likeliest", "token that follows"
"""Names of the targets that follow from the selected token."""
TOP = 12
"""Default number of largest writes."""
LEAST_ALLOWED = 1e-4
"""Gap in logits that is always allowed; the shipped models in float32 have 3e-6."""
UNITS = 4
"""Allowed gap, in units of ROUNDOFF * |normed stream| * |direction|, with which the rounding error of a dot product
grows; the shipped models have up to 1.6 in half precision."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """Contributions of all writes at one token to a logit (difference)."""

    routing: RoutingTrace
    direction: LogitDirection
    table: pd.DataFrame
    """One row per write that ran: layer (-1 = embedding), kind, rank, write, contribution, and `removed`: how far the
    logit falls when this write alone is removed (NaN if that was not measured)."""
    allowed: float
    """Largest allowed gap between the sum of the contributions and the model's own value."""

    @property
    def total(self) -> float:
        """Sum of all contributions."""
        return float(self.table["contribution"].sum())

    @property
    def gap(self) -> float:
        """|sum of the contributions - the model's own value|."""
        return abs(self.total - self.direction.value)

    @property
    def measured(self) -> bool:
        """Whether the effect of removing writes was measured."""
        return bool(self.table["removed"].notna().any())

    def of_layer(self, layer: int) -> pd.DataFrame:
        """The writes of one layer, in their order."""
        return self.table[self.table["layer"] == layer]

    def largest(self, count: int = TOP) -> pd.DataFrame:
        """The writes with the largest contributions of either sign, largest first."""
        return self.table.loc[self.table["contribution"].abs().sort_values(ascending=False).index[:count]]


def attribution(paths: PathTrace, direction: LogitDirection, removed: np.ndarray | None = None) -> Attribution:
    """Contributions of all writes at `direction.token`; `removed` gives the measured effect of each write."""
    vectors, table = stream_writes(paths, direction.token)
    scale = float(paths.norm_scale[paths.index(direction.token)])
    contribution = scale * (vectors @ direction.vector)
    read = scale * float(np.linalg.norm(paths.resid_final[paths.index(direction.token)].astype(np.float64)))
    size = read * float(np.linalg.norm(direction.vector))
    roundoff = ROUNDOFF[paths.routing.meta.get("dtype", "float32")]
    return Attribution(
        routing=paths.routing,
        direction=direction,
        table=table.assign(contribution=contribution, removed=np.nan if removed is None else removed),
        allowed=max(LEAST_ALLOWED, UNITS * roundoff * size),
    )


def attribution_table(result: Attribution) -> pd.DataFrame:
    """One row per write: its contribution to the logit (difference), and the effect of removing it.

    `response` = removed - contribution: the effect through the final norm and the later layers.
    """
    direction, table = result.direction, result.table
    known = {
        "token": direction.token,
        "text": result.routing.tokens[direction.token],
        "target": direction.target,
        "distractor": direction.distractor,
        "logit": direction.value,
    }
    return table.assign(response=table["removed"] - table["contribution"], **known)


def named_targets(trace: RoutingTrace, token: int) -> dict[str, int]:
    """Tokens worth explaining after a token, by name: the likeliest, the second, the one that follows in the text."""
    names = dict(zip((LIKELIEST, SECOND), trace.next_ids[token].tolist(), strict=False))
    if token + 1 < trace.num_tokens:
        names[FOLLOWING] = int(trace.token_ids[token + 1])
    return names


__all__ = [
    "FOLLOWING",
    "LIKELIEST",
    "SECOND",
    "TOP",
    "Attribution",
    "attribution",
    "attribution_table",
    "named_targets",
]
