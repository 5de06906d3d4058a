"""Do two layers route alike? Whether tokens that share a first expert in one layer share one in another.

Experts of different layers are unrelated, so their numbers cannot be compared; which tokens go together can.
"""

from functools import lru_cache

import numpy as np
import pandas as pd

from analysis.aggregate import ordinary_places
from analysis.experts import routed
from analysis.texts.interaction import shared_information
from hooks.trace import RoutingTrace

FEWEST_TOKENS = 20
"""Two layers in which fewer tokens of the text routed are not compared."""
DRAWS = 40


@lru_cache(maxsize=2)
def layers_alike(trace: RoutingTrace) -> pd.DataFrame:
    """One row per pair of layers (layer < other): tokens that routed in both, and how far their first experts agree.

    `adjusted` is the information that the two choices share, less what remains when the text is rotated, relative to
    the most that they could share: 0 at chance, 1 where one choice settles the other. NaN with fewer than
    FEWEST_TOKENS tokens.
    """
    rows = []
    positions = np.full(trace.num_tokens, -1)
    positions[~trace.special] = ordinary_places(trace)
    for layer, other in zip(*np.triu_indices(trace.num_layers, k=1), strict=True):
        both = routed(trace)[layer] & routed(trace)[other]
        count, adjusted = int(both.sum()), float("nan")
        if count >= FEWEST_TOKENS:
            first, second = (trace.expert_ids[each, both, 0] for each in (layer, other))
            adjusted = shared_information(first, second, [count], positions[both], draws=DRAWS).adjusted
        rows.append({"layer": int(layer), "other": int(other), "tokens": count, "adjusted": adjusted})
    return pd.DataFrame(rows, columns=["layer", "other", "tokens", "adjusted"])


__all__ = ["FEWEST_TOKENS", "layers_alike"]
