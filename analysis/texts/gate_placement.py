"""Does the learned gate spend its loops where they help? Its regret beside that of other gates, over several texts."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.explain.regret import Cells, gates_compared
from analysis.texts.chance import text_interval


def gates_over_texts(texts: Sequence[Cells]) -> pd.DataFrame:
    """`gates_compared` of all cells of several texts together, with the interval of `more` over texts.

    `low` and `high`: 95% interval of a gate's regret minus the learned gate's, from leaving out whole texts; NaN with
    fewer than `FEWEST_TEXTS`. Above zero the learned gate is better. A random gate deals the loops within each layer of
    each text.
    """
    tables = [gates_compared(cells) for cells in texts]
    weights = np.array([table["cells"].iloc[0] for table in tables], float)
    found = tables[0][["gate"]].copy()
    for column in ("loops", "regret", "more"):
        values = np.stack([table[column].to_numpy(float) for table in tables])  # [text gate]
        parts = np.where(weights[:, None] > 0, values, 0) * weights[:, None]
        found[column] = parts.sum(axis=0) / weights.sum() if weights.sum() else np.nan
        if column == "more":
            found["low"], found["high"] = text_interval(parts, np.broadcast_to(weights[:, None], parts.shape))
    return found.assign(cells=int(weights.sum()), texts=int((weights > 0).sum()))


def always_at_equal_cost(table: pd.DataFrame) -> str:
    """Name of the gate that always takes the same loops, as many as the learned gate's mean allows."""
    return f"always {max(int(np.floor(table['loops'].iloc[0] + 1e-9)), 1)}"


__all__ = ["always_at_equal_cost", "gates_over_texts"]
