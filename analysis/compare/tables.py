"""Tables of two traces: every cell of both, every token, and the flips beside those in paraphrases."""

import numpy as np
import pandas as pd

from analysis.compare.alignment import NOT_ALIGNED
from analysis.compare.pair import TracePair, flips, logprob_difference
from analysis.what_if.comparison import experts_ran
from hooks.trace import RoutingTrace


def places(pair: TracePair) -> pd.DataFrame:
    """One row per token of A, and then per token of B that is not aligned: token and text in both, and `aligned`.

    `aligned` is "same", "replaced", "pieces" (several tokens say what others say; token_b is the first of them) or "not
    aligned".
    """
    at = pair.alignment
    single = (at.sizes_a == 1) & (at.sizes_b == 1)
    how = np.where(~at.same, "replaced", np.where(single, "same", "pieces")).astype(object)
    rows = []
    for token in range(pair.a.num_tokens):
        group = int(at.group_a[token])
        told = "not aligned" if group == NOT_ALIGNED else how[group]
        rows.append((token, at.token_of_b(token), told))
    rows += [(None, int(token), "not aligned") for token in np.flatnonzero(at.group_b == NOT_ALIGNED)]
    frame = pd.DataFrame(rows, columns=["token_a", "token_b", "aligned"])
    for side, trace in (("a", pair.a), ("b", pair.b)):
        frame[f"token_{side}"] = frame[f"token_{side}"].astype("Int64")
        frame[f"text_{side}"] = [None if pd.isna(token) else trace.tokens[token] for token in frame[f"token_{side}"]]
    return frame


def pair_table(pair: TracePair) -> pd.DataFrame:
    """One row per layer x place: loops, lambda, soft difficulty and experts of both, missing where there is no token.

    If the numbers of layers differ, layers of B that A lacks are left out, and B is missing: no layer of one belongs to
    a layer of the other. Experts are missing where the token did not route.
    """
    at = places(pair)
    layers = pair.a.num_layers
    table = pd.concat([at.assign(layer=layer) for layer in range(layers)], ignore_index=True)
    for side, trace in (("a", pair.a), ("b", pair.b)):
        tokens = at[f"token_{side}"] if side == "a" or pair.layers_match else pd.Series([pd.NA] * len(at))
        known = tokens.notna().to_numpy()
        places_of = tokens[known].to_numpy(dtype=int)
        for name, values in _values(trace).items():
            column = np.full((layers, len(at)), None, dtype=object)
            if known.any():
                column[:, known] = values[:layers, places_of]
            numeric = {"loops": "Int64", "gate": "Float64", "difficulty": "Float64"}.get(name)
            table[f"{name}_{side}"] = pd.array(column.ravel(), dtype=numeric) if numeric else column.ravel()
    return table[["layer", *table.columns.drop("layer")]]


def token_pair_table(pair: TracePair) -> pd.DataFrame:
    """One row per place: log p of the token in both, and B minus A where both say the same (the sum of several)."""
    at = places(pair)
    change = np.append(logprob_difference(pair), np.full(len(at) - pair.a.num_tokens, np.nan))
    for side, trace in (("a", pair.a), ("b", pair.b)):
        tokens = at[f"token_{side}"]
        at[f"logprob_{side}"] = [np.nan if pd.isna(token) else float(trace.logprob[token]) for token in tokens]
        at[f"next_{side}"] = [None if pd.isna(token) else trace.next_tokens[token][0] for token in tokens]
    return at.assign(difference=change)


def flips_table(pair: TracePair) -> pd.DataFrame:
    """One row for this pair and one for each pair of paraphrases: cells compared, and how many decided otherwise."""
    rows = [("this pair", flips(pair)), *((f"paraphrase {i}", found) for i, found in enumerate(pair.null, start=1))]
    return pd.DataFrame(
        [
            {
                "pair": name,
                "cells": found.cells,
                "other_loops": found.loops,
                "share_of_loops": found.loop_share,
                "routed_in_both": found.routed,
                "other_experts": found.experts,
                "share_of_experts": found.expert_share,
            }
            for name, found in rows
        ]
    )


def replaced_experts(pair: TracePair) -> np.ndarray:
    """Experts of B that A did not run, [layer, token of A]; NaN where not aligned one to one or not routed in both.

    ValueError if the experts do not match.
    """
    if why_not := pair.why_no_experts:
        raise ValueError(why_not)
    found = np.full(pair.a.loops.shape, np.nan)
    tokens_a, tokens_b = one_to_one(pair)
    new = (experts_ran(pair.b)[:, tokens_b] & ~experts_ran(pair.a)[:, tokens_a]).sum(axis=-1)
    both = pair.a.width_ran[:, tokens_a] & pair.b.width_ran[:, tokens_b]
    found[:, tokens_a] = np.where(both, new, np.nan)
    return found


def one_to_one(pair: TracePair) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of A and of B that are aligned one to one, whether they say the same or replace each other."""
    at = pair.alignment
    single = np.append((at.sizes_a == 1) & (at.sizes_b == 1), False)  # the last stands for NOT_ALIGNED
    tokens_a = np.flatnonzero(single[at.group_a])
    tokens_b = np.array([at.token_of_b(int(token)) for token in tokens_a], dtype=int)
    return tokens_a, tokens_b


def _values(trace: RoutingTrace) -> dict[str, np.ndarray]:
    """Column -> values [layer, token]."""
    ran = experts_ran(trace)
    experts = np.full(trace.loops.shape, None, dtype=object)
    for layer, token in zip(*np.nonzero(trace.width_ran), strict=True):
        experts[layer, token] = np.flatnonzero(ran[layer, token]).tolist()
    return {
        "loops": trace.loops,
        "gate": trace.gate,
        "difficulty": trace.difficulty_soft,
        "experts": experts,
    }


__all__ = [
    "flips_table", "one_to_one", "pair_table", "places", "replaced_experts", "token_pair_table",
]  # fmt: skip
