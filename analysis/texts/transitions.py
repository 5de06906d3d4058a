"""Transitions: what tokens do in one layer, and what the same tokens do in the next.

A token's state in a layer is (loops, first expert), or "did not route" where it took all loops. Experts of two layers
are different weights, so a transition from expert 3 to expert 3 is no stay.
"""

import numpy as np
import pandas as pd

from analysis.texts.chance import corrected
from analysis.texts.interaction import shared_by
from analysis.texts.orders import DRAWS
from analysis.texts.tokens import Studied, texts_of


def transitions(studied: Studied) -> pd.DataFrame:
    """One row per layer and pair of states that occurs from it to the next: its tokens and their share.

    Columns: layer, from_loops, from_expert, to_loops, to_expert (missing: did not route), tokens, and share of all
    ordinary tokens in the state it came from. ValueError for no text, or traces of different models.
    """
    texts = texts_of(studied)
    states = ["from_loops", "from_expert", "to_loops", "to_expert"]
    room = (texts.max_loops + 1, texts.num_experts + 1) * 2
    rows = []
    for layer in range(texts.num_layers - 1):
        below, above = texts.layer(layer), texts.layer(layer + 1)
        state = below.loops, below.expert + 1, above.loops, above.expert + 1
        codes, tokens = np.unique(np.ravel_multi_index(state, room), return_counts=True)
        found = dict(zip(states, np.unravel_index(codes, room), strict=True))
        rows.append(pd.DataFrame(found | {"tokens": tokens}).assign(layer=layer))
    if not rows:
        return pd.DataFrame(columns=["layer", *states, "tokens", "share"])
    table = pd.concat(rows, ignore_index=True)[["layer", *states, "tokens"]]
    table["share"] = table["tokens"] / table.groupby(["layer", *states[:2]])["tokens"].transform("sum")
    for column in ("from_expert", "to_expert"):
        table[column] = (table[column] - 1).astype("Int64").mask(table[column] == 0)
    return table


def loop_flows(studied: Studied) -> pd.DataFrame:
    """One row per layer x loops x loops in the next layer: ordinary tokens that go this way."""
    return flows_of(transitions(studied))


def flows_of(table: pd.DataFrame) -> pd.DataFrame:
    """`loop_flows` from the table of `transitions`."""
    return table.groupby(["layer", "from_loops", "to_loops"], as_index=False)["tokens"].sum()


def layer_to_layer(studied: Studied, *, draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """One row per layer (but the last) x kind: information that its choice shares with the next layer's.

    Kinds: `loops` over ordinary tokens, `expert` (first choices) over those that routed in both layers. p_corrected:
    Benjamini-Hochberg over layers, per kind. Columns as in `Information`.
    """
    texts = texts_of(studied)
    rows = []
    for layer in range(texts.num_layers - 1):
        below, above = texts.layer(layer), texts.layer(layer + 1)
        routed = (below.expert >= 0) & (above.expert >= 0)
        for kind, *choices in (
            ("loops", below.loops - 1, above.loops - 1, np.ones(len(routed), bool)),
            ("expert", below.expert, above.expert, routed),
        ):
            found = shared_by(texts.tokens, *choices, draws=draws, seed=seed)
            rows.append({"layer": layer, "kind": kind, **vars(found)})
    columns = ["layer", "kind", "tokens", "information", "chance", "adjusted", "p", "p_least", "alone"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(p_corrected=table.groupby("kind")["p"].transform(lambda p: corrected(p.to_numpy())))


__all__ = ["flows_of", "layer_to_layer", "loop_flows", "transitions"]
