"""Near-duplicates in a list of texts: copies with small changes, and rows that a template made.

Statistics over texts take every text for a new one. Texts that repeat each other make them too sure.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from analysis.aggregate import ordinary
from hooks.trace import RoutingTrace

RUN = 4
"""Tokens of a run. Texts that have nothing to do with each other share few runs so long."""
ALIKE = 0.4
"""Share of its runs that a near-duplicate has in common. Of the sample texts, no two share more than 0.18."""
AT_ONCE = 256


def near_duplicates(traces: Sequence[RoutingTrace]) -> pd.DataFrame:
    """One row per text that nearly repeats an earlier one: text, like (their numbers, from 0) and shared, 0..1.

    `shared` is exact: of the different runs of RUN tokens in the shorter text, the share that the other one has too;
    two texts are alike from ALIKE on. `like` is the earlier text with which it shares most. Texts of fewer than RUN
    tokens have no run and are like none.
    """
    number: dict[tuple[int, ...], int] = {}
    text, run = [], []
    for i, trace in enumerate(traces):
        ids = trace.token_ids[ordinary(trace)].tolist()
        own = {number.setdefault(tuple(ids[at : at + RUN]), len(number)) for at in range(len(ids) - RUN + 1)}
        text.extend([i] * len(own))
        run.extend(own)
    holds = csr_array((np.ones(len(run), np.int32), (text, run)), shape=(len(traces), len(number)))
    runs, rows = np.bincount(text, minlength=len(traces)), []
    for first in range(0, len(traces), AT_ONCE):
        block = np.arange(first, min(first + AT_ONCE, len(traces)))
        both = (holds[block] @ holds.T).toarray()
        shared = both / np.maximum(np.minimum(runs[block, None], runs), 1)
        shared[np.arange(len(traces)) >= block[:, None]] = 0  # earlier texts alone
        most = shared.argmax(axis=1)
        found = pd.DataFrame({"text": block, "like": most, "shared": shared[np.arange(len(block)), most]})
        rows.append(found[found["shared"] >= ALIKE])
    return pd.concat(rows, ignore_index=True)


__all__ = ["ALIKE", "RUN", "near_duplicates"]
