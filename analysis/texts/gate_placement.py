"""Does the learned gate spend its loops where they help? Its loss beside that of other gates, over several texts."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.aggregate import ordinary
from analysis.explain.frontier import at_learned_cost
from analysis.explain.regret import Cells, gate_means
from analysis.texts.chance import FEWEST_TEXTS, text_interval
from analysis.words.numbers import NOTHING, number
from hooks.frontier_record import Frontier


def gates_over_texts(texts: Sequence[Cells]) -> pd.DataFrame:
    """`gates_compared` of all cells of several texts together, with the interval of `more` over texts.

    `low` and `high`: 95% interval of a gate's regret minus the learned gate's, from leaving out whole texts; NaN with
    fewer than `FEWEST_TEXTS`. Above zero the learned gate is better. A random gate deals the loops within each layer of
    each text.
    """
    means = [gate_means(cells) for cells in texts]
    weights = np.array([cells.counted.sum() * cells.chosen.shape[0] for cells in texts], float)
    loops, lost = np.moveaxis(np.array([[row[1:] for row in of_text] for of_text in means]), 2, 0)  # [text gate]
    found = pd.DataFrame({"gate": [row[0] for row in means[0]]})
    for column, values in (("loops", loops), ("regret", lost), ("more", lost - lost[:, :1])):
        parts = np.where(weights[:, None] > 0, values, 0) * weights[:, None]
        found[column] = parts.sum(axis=0) / weights.sum() if weights.sum() else np.nan
    found["low"], found["high"] = text_interval(parts, np.broadcast_to(weights[:, None], parts.shape))
    return found.assign(cells=int(weights.sum()), texts=int((weights > 0).sum()))


def frontier_over_texts(texts: Sequence[Frontier]) -> pd.DataFrame:
    """`at_learned_cost` over several texts, weighted by their predictions, with its 95% interval over texts.

    A text whose rule does not reach the learned gate's cost is left out of that rule; `texts` counts the others.
    """
    tables = [at_learned_cost(each) for each in texts]
    more = np.stack([table["more"].to_numpy(float) for table in tables])  # [text rule]
    tokens = np.array([np.sum(ordinary(each.routing) & np.isfinite(each.routing.logprob)) for each in texts], float)
    weights = np.where(np.isfinite(more), tokens[:, None], 0.0)
    parts = np.nan_to_num(more) * weights
    low, high = text_interval(parts, weights)
    total = weights.sum(axis=0)
    mean = np.divide(parts.sum(axis=0), total, out=np.full(len(total), np.nan), where=total > 0)
    return tables[0][["rule"]].assign(more=mean, low=low, high=high, texts=(weights > 0).sum(axis=0))


MOST_TOKENS = 40
"""Of each text: the cost of a sweep grows with the square of its tokens."""


@dataclass(frozen=True)
class Difference:
    """A gate's loss or regret minus the learned gate's, nats, and its 95% interval over texts; NaN of too few texts."""

    more: float
    low: float
    high: float


@dataclass(frozen=True)
class GatePlacement:
    """How far the learned gate of a model is from other gates in some texts, small enough to be kept and shown."""

    name: str
    """What the set of texts is called."""
    texts: int
    tokens: int
    loops: float
    """Mean FFN passes of a token in a layer under the learned gate."""
    cells: dict[str, Difference]
    """Gate -> regret per cell, own next prediction, one cell at a time."""
    together: dict[str, Difference]
    """Rule -> loss per token with all its loops together, at the learned gate's cost."""

    def to_json(self) -> dict[str, Any]:
        """As plain numbers and words; `from_json` reads it."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "GatePlacement":
        """What `to_json` wrote."""
        parts = ("cells", "together")
        return cls(**kept | {part: {name: Difference(**each) for name, each in kept[part].items()} for part in parts})


def gate_placement(name: str, cells: Sequence[Cells], frontiers: Sequence[Frontier]) -> GatePlacement:
    """The differences of several texts; `told` and `placement_table` say them."""
    alone, joint = gates_over_texts(cells).iloc[1:], frontier_over_texts(frontiers)
    tokens = sum(int(ordinary(each.routing).sum()) for each in frontiers)
    loops = [each.routing.loops[:, ordinary(each.routing)] for each in frontiers]
    mean = float(np.concatenate([part.ravel() for part in loops]).mean())
    return GatePlacement(name, len(frontiers), tokens, mean, _differences(alone, "gate"), _differences(joint, "rule"))


NAMED = {
    "random": ("its loops, shuffled within each layer", "random"),
    "always": ("the same loops for every token (a mixture of two numbers)", None),
    "threshold": ("the depth head with its thresholds moved", None),
    "change": ("leave after the first loop whose step is short beside the state", None),
    "entropy": ("leave after the first loop whose logit lens is sure (low entropy)", None),
    "oracle": ("the loops that predict best, by an oracle that has read the text that follows", "best"),
}
"""Rule -> its words in a table, and the name of the same gate one cell at a time, if it has any."""


def told(found: GatePlacement) -> str:
    """What was measured, in two sentences."""
    enough = found.texts >= FEWEST_TEXTS
    intervals = ", with 95% intervals over texts" if enough else f"; fewer than {FEWEST_TEXTS} texts allow no interval"
    return (
        f"In {found.texts:,} {found.name} ({found.tokens:,} tokens), the learned gate takes {number(found.loops)} "
        "loops per token and layer. The table gives what other gates add to its loss at the same cost, in "
        f"nats{intervals}: above zero, the learned gate is better."
    )


def placement_table(found: GatePlacement) -> pd.DataFrame:
    """One row per other gate, in words: what it adds to the loss of a token, and to the regret of a cell by itself.

    The loss is that of a text with all loops of the gate together, the regret that of one cell forced at a time, for
    its own next prediction. A difference without an interval is a dash.
    """
    rows = [
        {
            "other gate": words,
            "loss per token": _interval(found.together.get(rule), 3),
            "regret per cell": _interval(found.cells.get(alone), 4),
        }
        for rule, (words, alone) in NAMED.items()
    ]
    return pd.DataFrame(rows)


def _differences(table: pd.DataFrame, key: str) -> dict[str, Difference]:
    rows = (
        (row[key], Difference(*(float(row[each]) for each in ("more", "low", "high")))) for _, row in table.iterrows()
    )
    return {name: each for name, each in rows if np.isfinite(each.more)}


def _interval(each: Difference | None, digits: int) -> str:
    if each is None:
        return NOTHING
    more, low, high = (number(value, digits, signed=True) for value in (each.more, each.low, each.high))
    return f"{more} ({low} to {high})" if np.isfinite([each.low, each.high]).all() else more


__all__ = [
    "MOST_TOKENS", "Difference", "GatePlacement", "frontier_over_texts", "gate_placement", "gates_over_texts",
    "placement_table", "told",
]  # fmt: skip
