"""Do two layers route alike? Whether tokens that share a first expert in one layer share one in another.

Experts of different layers are unrelated, so their numbers cannot be compared; which tokens go together can.
"""

from functools import lru_cache

import numpy as np
import pandas as pd

from analysis.texts.interaction import shared_by
from analysis.texts.tokens import HoldsTexts, texts_of
from hooks.trace import RoutingTrace

FEWEST_TOKENS = 20
"""Two layers in which fewer tokens routed are not compared."""
DRAWS = 40
MOST_LAYERS = 64
"""Of more layers so many are compared, evenly spread: pairs are many, and each takes a while."""


@lru_cache(maxsize=2)
def layers_alike(read: RoutingTrace | HoldsTexts) -> pd.DataFrame:
    """One row per pair of layers (layer < other): tokens that routed in both, and how far their first experts agree.

    `adjusted` is the information that the two choices share, less what remains when each text is rotated or texts
    exchange it, relative to the most that they could share: 0 at chance, 1 where one choice settles the other. NaN
    with fewer than FEWEST_TOKENS tokens. `read` is a trace, or a run of many texts.
    """
    texts = texts_of([read] if isinstance(read, RoutingTrace) else read)
    rows = []
    compared = np.unique(np.linspace(0, texts.num_layers - 1, min(texts.num_layers, MOST_LAYERS)).round().astype(int))
    for layer, other in zip(*compared[np.array(np.triu_indices(len(compared), k=1))], strict=True):
        first, second = texts.layer(int(layer)).expert, texts.layer(int(other)).expert
        both = (first >= 0) & (second >= 0)
        count, adjusted = int(both.sum()), float("nan")
        if count >= FEWEST_TOKENS:
            adjusted = shared_by(texts.tokens, first, second, both, draws=DRAWS).adjusted
        rows.append({"layer": int(layer), "other": int(other), "tokens": count, "adjusted": adjusted})
    return pd.DataFrame(rows, columns=["layer", "other", "tokens", "adjusted"])


__all__ = ["FEWEST_TOKENS", "MOST_LAYERS", "layers_alike"]
