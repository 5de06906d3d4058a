"""Direct logit attribution: how much every write to the residual stream adds to a logit, or to a difference of two.

With the final norm frozen at its actual value the readout is linear, so the contributions of all writes sum to the
model's own logit. What freezing hides - the norm and the later layers answer to a change - is what removal measures.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.explain.ledger import stream_writes
from hooks.path_trace import PathTrace
from hooks.readout import LogitDirection
from hooks.trace import RoutingTrace

LIKELIEST, SECOND, FOLLOWING = "likeliest next token", "second likeliest", "token that follows"
"""Names of targets that go with the selected token."""
TOP = 12
"""Writes of the whole stream that count as its largest."""
LEAST_ALLOWED = 1e-4
"""Logits by which the contributions may miss the model's own value in any case; the shipped models in float32: 3e-6."""
ROUNDOFF = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-24, "float64": 2.0**-53}
UNITS = 4
"""The gap goes with the size of what is read, |normed stream| * |direction|, for so the rounding of a dot product goes.
So many units of roundoff of it are allowed; the shipped models show up to 1.6 in half precision."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """Contributions of all writes at one token to a logit (difference)."""

    routing: RoutingTrace
    direction: LogitDirection
    table: pd.DataFrame
    """One row per write that ran: layer (-1 = embedding), kind, rank, write, contribution; and `removed`, how far the
    logit falls when this write alone is taken away (NaN where that was not measured)."""
    allowed: float
    """Largest gap between the sum of the contributions and the model's own value."""

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
        """Whether any write was removed."""
        return bool(self.table["removed"].notna().any())

    def of_layer(self, layer: int) -> pd.DataFrame:
        """The writes of one layer, in their order."""
        return self.table[self.table["layer"] == layer]

    def largest(self, count: int = TOP) -> pd.DataFrame:
        """The writes with the largest contributions, by size, of either sign."""
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


def attribution_table(found: Attribution) -> pd.DataFrame:
    """One row per write: what it adds to the logit (difference), what its removal takes, and what answers for the rest.

    `response` = removed - contribution: the share of the final norm and of the later layers.
    """
    direction, table = found.direction, found.table
    known = {
        "token": direction.token,
        "text": found.routing.tokens[direction.token],
        "target": direction.target,
        "distractor": direction.distractor,
        "logit": direction.value,
    }
    return table.assign(response=table["removed"] - table["contribution"], **known)


def named_targets(trace: RoutingTrace, token: int) -> dict[str, int]:
    """Tokens worth explaining after a token, by name: the likeliest, the second, the one that follows in the text."""
    likeliest = [int(each) for each in trace.next_ids[token]]
    names = dict(zip((LIKELIEST, SECOND), likeliest, strict=False))
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
