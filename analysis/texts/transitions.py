"""Transitions: what tokens do in one layer, and what the same tokens do in the next.

A token's state in a layer is (loops, first expert), or "did not route" where it took all loops. Experts of two layers
are different weights, so a transition from expert 3 to expert 3 is no stay.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.aggregate import ordinary, ordinary_places
from analysis.experts import routed
from analysis.texts.chance import DRAWS, corrected
from analysis.texts.interaction import shared_information
from analysis.texts.sources import same_model
from hooks.trace import RoutingTrace


def transitions(traces: Sequence[RoutingTrace]) -> pd.DataFrame:
    """One row per layer and pair of states that occurs from it to the next: its tokens and their share.

    Columns: layer, from_loops, from_expert, to_loops, to_expert (missing: did not route), tokens, and share of all
    ordinary tokens in the state it came from. ValueError for no traces, or traces of different models.
    """
    same_model(traces)
    states = ["from_loops", "from_expert", "to_loops", "to_expert"]
    rows = []
    for trace in traces:
        kept, ran = ordinary(trace), routed(trace)
        expert = np.where(ran, trace.expert_ids[..., 0], -1)
        for layer in range(trace.num_layers - 1):
            below, above = (layer, kept), (layer + 1, kept)
            columns = trace.loops[below], expert[below], trace.loops[above], expert[above]
            rows.append(pd.DataFrame(dict(zip(states, columns, strict=True))).assign(layer=layer))
    if not rows:
        return pd.DataFrame(columns=["layer", *states, "tokens", "share"])
    table = pd.concat(rows).groupby(["layer", *states]).size().rename("tokens").reset_index()
    table["share"] = table["tokens"] / table.groupby(["layer", *states[:2]])["tokens"].transform("sum")
    for column in ("from_expert", "to_expert"):
        table[column] = table[column].astype("Int64").mask(table[column] < 0)
    return table


def loop_flows(traces: Sequence[RoutingTrace]) -> pd.DataFrame:
    """One row per layer x loops x loops in the next layer: ordinary tokens that go this way."""
    table = transitions(traces)
    return table.groupby(["layer", "from_loops", "to_loops"], as_index=False)["tokens"].sum()


def layer_to_layer(traces: Sequence[RoutingTrace], *, draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """One row per layer (but the last) x kind: information that its choice shares with the next layer's.

    Kinds: `loops` over ordinary tokens, `expert` (first choices) over those that routed in both layers. p_corrected:
    Benjamini-Hochberg over layers, per kind. Columns as in `Information`.
    """
    same_model(traces)
    rows = []
    for layer in range(traces[0].num_layers - 1):
        for kind in ("loops", "expert"):
            first, second, positions, lengths = [], [], [], []
            for trace in traces:
                kept = ordinary(trace) if kind == "loops" else routed(trace)[layer] & routed(trace)[layer + 1]
                choice = trace.loops - 1 if kind == "loops" else trace.expert_ids[..., 0]
                first.append(choice[layer, kept])
                second.append(choice[layer + 1, kept])
                positions.append(ordinary_places(trace)[kept])
                lengths.append(int(kept.sum()))
            choices = np.concatenate(first), np.concatenate(second)
            found = shared_information(*choices, lengths, np.concatenate(positions), draws=draws, seed=seed)
            rows.append({"layer": layer, "kind": kind, **vars(found)})
    columns = ["layer", "kind", "tokens", "information", "chance", "adjusted", "p", "p_least", "alone"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(p_corrected=table.groupby("kind")["p"].transform(lambda p: corrected(p.to_numpy())))


__all__ = ["layer_to_layer", "loop_flows", "transitions"]
