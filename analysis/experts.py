"""Experts: what the router of the width path chose.

A token whose width path did not run has not routed, and enters no count and no denominator here; `did_not_route` gives
the share of such tokens. An expert is a slice of one layer's weights, so its number means nothing in another layer.
"""

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.special import softmax

from analysis.aggregate import ordinary, share
from hooks.trace import RoutingTrace

FEWEST_EXPECTED = 5
"""A pair with a smaller expected count is not compared with chance (the rule of thumb of the chi-square test)."""


def routed(trace: RoutingTrace) -> Bool[np.ndarray, "layer token"]:
    """True where an ordinary token's width path ran."""
    return trace.width_ran & ordinary(trace)


def router_probs(trace: RoutingTrace) -> Float[np.ndarray, "layer token expert"]:
    """Softmax of the router logits over all experts, even where the width path did not run; rows sum to 1."""
    return softmax(trace.expert_logits, axis=-1)


def choice_counts(trace: RoutingTrace) -> np.ndarray:
    """How often each expert was chosen at each rank, int [layer, k, expert]; sums to k x routed tokens per layer.

    Under interventions a token may have fewer experts than k.
    """
    counts = trace.expert_ids[..., None] == np.arange(trace.num_experts)  # [layer, token, k, expert]
    return (counts & (trace.expert_ran & ordinary(trace)[:, None])[..., None]).sum(axis=1)


def expert_load(trace: RoutingTrace) -> pd.DataFrame:
    """One row per layer x expert: its share of the layer's routed choices as first choice, as a later one, and in all.

    `share` sums to 1 over the experts of a layer; all three are NaN where nobody routed.
    """
    counts = choice_counts(trace)
    first, later = counts[:, 0], counts[:, 1:].sum(axis=1)
    choices = np.broadcast_to(counts.sum(axis=(1, 2))[:, None], first.shape)
    layer, expert = np.indices(first.shape)
    return pd.DataFrame(
        {
            "layer": layer.ravel(),
            "expert": expert.ravel(),
            "first_choices": first.ravel(),
            "later_choices": later.ravel(),
            "routed_tokens": np.broadcast_to(routed(trace).sum(axis=1)[:, None], first.shape).ravel(),
            "first_share": share(first, choices).ravel(),
            "later_share": share(later, choices).ravel(),
            "share": share(first + later, choices).ravel(),
        }
    )


def did_not_route(trace: RoutingTrace) -> pd.DataFrame:
    """One row per layer: ordinary tokens whose width path did not run, and their share of all ordinary tokens."""
    idle = ~trace.width_ran[:, ordinary(trace)]
    count, tokens = idle.sum(axis=1), np.full(trace.num_layers, idle.shape[1])
    return pd.DataFrame(
        {
            "layer": np.arange(trace.num_layers),
            "tokens": tokens,
            "did_not_route": count,
            "share": share(count, tokens),
        }
    )


def expert_pairs(trace: RoutingTrace, layer: int) -> pd.DataFrame:
    """One row per pair of experts (first < second) of one layer: how often one token chose both, against chance.

    `expected` has every expert's load and pairs no expert with itself (quasi-independence); the plain product of the
    loads would make every pair look too rare. `lift_log2` = log2((together + 1/2) / (expected + 1/2)), NaN where
    `expected` is below `FEWEST_EXPECTED`.
    """
    here = routed(trace)[layer]
    ids = np.where(trace.expert_ran[layer], trace.expert_ids[layer], -1)[here]
    chosen = (ids[..., None] == np.arange(trace.num_experts)).any(axis=1)
    together = (chosen.T.astype(float) @ chosen).astype(int)
    np.fill_diagonal(together, 0)
    expected = expected_pairs(together.sum(axis=1))
    first, second = np.triu_indices(trace.num_experts, k=1)
    seen, chance = together[first, second], expected[first, second]
    lift = np.where(chance >= FEWEST_EXPECTED, np.log2((seen + 0.5) / (chance + 0.5)), np.nan)
    return pd.DataFrame(
        {"layer": layer, "first": first, "second": second, "together": seen, "expected": chance, "lift_log2": lift}
    )


def all_expert_paths(trace: RoutingTrace) -> pd.DataFrame:
    """One row per token x layer x expert, tokens outermost: router's probability, rank (0 = first choice) and weight.

    `rank` and `weight` are missing for experts that were not chosen, and in layers in which the token did not route.
    """
    probability = router_probs(trace)
    rank, weight = np.full((2, *probability.shape), np.nan)
    layer, token, place = np.nonzero(trace.expert_ran)
    chosen = layer, token, trace.expert_ids[trace.expert_ran]
    rank[chosen] = place
    weight[chosen] = trace.expert_weights[trace.expert_ran]
    ran = np.broadcast_to(trace.width_ran[:, :, None], rank.shape)
    token, layer, expert = (axis.ravel() for axis in np.indices((trace.num_tokens, trace.num_layers, rank.shape[2])))

    def rows(values: np.ndarray) -> np.ndarray:
        """[layer, token, expert] as one column, tokens outermost."""
        return values.swapaxes(0, 1).ravel()

    return pd.DataFrame(
        {
            "layer": layer,
            "token": token,
            "text": np.array(trace.tokens, dtype=object)[token],
            "width_ran": rows(ran),
            "expert": expert,
            "probability": rows(probability),
            "rank": pd.array(rows(rank), dtype="Float64").astype("Int64"),
            "weight": rows(weight),
        }
    )


def served_tokens(trace: RoutingTrace, layer: int | None = None) -> pd.DataFrame:
    """One row per choice that ran, in one layer or in all: layer, expert, token, rank (0 = first choice) and weight.

    By layer and expert, the largest weight first: the rows of an expert are the tokens that it serves.
    """
    ran = trace.expert_ran
    at, token, rank = np.nonzero(ran if layer is None else ran & (np.arange(trace.num_layers) == layer)[:, None, None])
    table = pd.DataFrame(
        {
            "layer": at,
            "expert": trace.expert_ids[at, token, rank],
            "token": token,
            "text": np.array(trace.tokens, dtype=object)[token],
            "special": trace.special[token],
            "rank": rank,
            "weight": trace.expert_weights[at, token, rank],
        }
    )
    order = ["layer", "expert", "weight", "token"]
    return table.sort_values(order, ascending=[True, True, False, True], ignore_index=True)


def expert_table(trace: RoutingTrace) -> pd.DataFrame:
    """One row per layer x token: chosen experts and weights, best first; missing where the token did not route."""
    return trace.to_frame()[["layer", "token", "text", "special", "width_ran", "expert_ids", "expert_weights"]]


def expected_pairs(degree: np.ndarray, rounds: int = 400) -> np.ndarray:
    """Symmetric table w_a w_b with a zero diagonal and the row sums `degree`, by iterative scaling."""
    factor = np.sqrt(np.maximum(degree, 0) / max(np.sqrt(degree.sum()), 1))
    for _ in range(rounds):
        sums = factor * (factor.sum() - factor)
        step = np.sqrt(share(degree, sums))
        factor = factor * np.where(np.isfinite(step), step, 0)
        if np.allclose(sums, degree, rtol=1e-6):
            break
    table = np.outer(factor, factor)
    np.fill_diagonal(table, 0)
    return table


__all__ = [
    "FEWEST_EXPECTED", "all_expert_paths", "choice_counts", "did_not_route", "expert_load",
    "expert_pairs", "expert_table", "routed", "router_probs", "served_tokens",
]  # fmt: skip
