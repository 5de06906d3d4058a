"""Near misses: how small a change of the logits would have changed a choice of the depth head or of the router.

A margin is the difference of two logits. The smallest change (in L2) that makes them equal moves both by half the
margin: its length is margin / sqrt(2).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from analysis.aggregate import ordinary, share
from analysis.recursion import NEAR_MISS, depth_margin
from hooks.trace import RoutingTrace
from sample_models.lambda_gate import width_share


def expert_margin(trace: RoutingTrace) -> Float[np.ndarray, "layer token"]:
    """Router logit of the last chosen expert minus that of the best one not chosen (k-th minus k+1-th), >= 0.

    NaN where the token did not route, and if every expert is chosen.
    """
    k = trace.own_k
    if k == trace.num_experts:
        return np.full(trace.loops.shape, np.nan, np.float32)
    ascending = np.partition(trace.expert_logits, (-k - 1, -k), axis=-1)
    return np.where(trace.width_ran, ascending[..., -k] - ascending[..., -k - 1], np.float32(np.nan))


def smallest_flip(margin: np.ndarray) -> np.ndarray:
    """L2 norm of the smallest change of the logits that would flip a choice of this margin: margin / sqrt(2)."""
    return margin / np.sqrt(2)


def soft_gate(trace: RoutingTrace) -> Float[np.ndarray, "layer token"]:
    """Lambda for E[L] loops instead of the likeliest number of loops."""
    return width_share(trace.expected_loops, trace.max_loops)


def gate_gap(trace: RoutingTrace) -> Float[np.ndarray, "layer token"]:
    """Soft lambda minus the lambda that ran: above 0, the depth head expected more width than it chose."""
    return soft_gate(trace) - trace.gate


def near_miss_table(trace: RoutingTrace) -> pd.DataFrame:
    """One row per layer x token: both margins and smallest flips (logits), the soft lambda and its gap.

    `expert_margin` and `expert_flip` are missing where the token did not route, `*_near_miss` is then false.
    """
    table = trace.to_frame()[["layer", "token", "text", "special", "loops", "gate", "width_ran"]]
    loops, experts = depth_margin(trace).ravel(), expert_margin(trace).ravel()
    return table.assign(
        loops_margin=loops,
        loops_flip=smallest_flip(loops),
        loops_near_miss=loops < NEAR_MISS,
        expert_margin=experts,
        expert_flip=smallest_flip(experts),
        expert_near_miss=experts < NEAR_MISS,
        soft_gate=soft_gate(trace).ravel(),
        gate_gap=gate_gap(trace).ravel(),
    )


def flipped_by(trace: RoutingTrace, change: np.ndarray) -> Float[np.ndarray, "layer step"]:
    """Share of each layer's ordinary tokens whose loops the worst change of this L2 size would flip.

    `change` [step] is in logits of the depth head, ascending. NaN if there are no ordinary tokens.
    """
    flips = np.sort(smallest_flip(depth_margin(trace)[:, ordinary(trace)]), axis=1)
    reached = [np.searchsorted(row, change, side="right") for row in flips]
    return share(np.stack(reached), np.full((len(flips), len(change)), flips.shape[1]))


def flip_table(trace: RoutingTrace) -> pd.DataFrame:
    """One row per layer x ordinary token: margin of the depth choice and the smallest change that flips it."""
    table = near_miss_table(trace)
    columns = ["layer", "token", "text", "loops", "loops_margin", "loops_flip"]
    return table.loc[~table["special"], columns].reset_index(drop=True)


# Two precisions -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class TwoPrecisions:
    """One text traced twice by one model: with its own weights, and with weights rounded to another precision.

    ValueError if the traces are not of the same tokens, layers and experts.
    """

    routing: RoutingTrace
    rounded: RoutingTrace

    def __post_init__(self) -> None:
        _same_text(self.routing, self.rounded)


@dataclass(frozen=True)
class PrecisionNumbers:
    """Decisions of two traces of one text, counted over (ordinary token, layer) pairs."""

    pairs: int
    loops_differ: int
    routed_in_both: int
    """Pairs whose width path ran in both traces: only these can differ in their experts."""
    experts_differ: int
    """Those of `routed_in_both` with another set of experts (order does not matter)."""
    widest_margin: float
    """Largest margin in the first trace of a depth choice that differs in the second; NaN if none differs."""


def precision_flips(traces: TwoPrecisions) -> pd.DataFrame:
    """One row per layer x token of one text traced in two precisions: which decisions differ.

    `experts_differ` compares the sets of chosen experts and is missing unless the token routed in both traces.
    `margin` is that of the first trace's depth choice. A difference in one layer changes the input of those above, so
    only in layer 0 is rounding the sole cause.
    """
    first, second = traces.routing, traces.rounded
    both = first.width_ran & second.width_ran
    differ = np.where(both, _other_experts(first, second), np.nan).ravel()
    table = first.to_frame()[["layer", "token", "text", "special"]]
    return table.assign(
        loops=first.loops.ravel(),
        other_loops=second.loops.ravel(),
        loops_differ=(first.loops != second.loops).ravel(),
        experts_differ=pd.array(np.where(np.isnan(differ), None, differ == 1), dtype="boolean"),
        margin=depth_margin(first).ravel(),
    )


def precision_numbers(traces: TwoPrecisions) -> PrecisionNumbers:
    """How often two traces of one text decide differently."""
    first, second = traces.routing, traces.rounded
    counted = ordinary(first)
    loops = (first.loops != second.loops)[:, counted]
    both = (first.width_ran & second.width_ran)[:, counted]
    margins = depth_margin(first)[:, counted][loops]
    return PrecisionNumbers(
        pairs=loops.size,
        loops_differ=int(loops.sum()),
        routed_in_both=int(both.sum()),
        experts_differ=int((both & _other_experts(first, second)[:, counted]).sum()),
        widest_margin=float(margins.max()) if margins.size else float("nan"),
    )


def _other_experts(first: RoutingTrace, second: RoutingTrace) -> Bool[np.ndarray, "layer token"]:
    return (np.sort(first.expert_ids, axis=-1) != np.sort(second.expert_ids, axis=-1)).any(axis=-1)


def _same_text(first: RoutingTrace, second: RoutingTrace) -> None:
    if first.expert_logits.shape != second.expert_logits.shape or not np.array_equal(first.token_ids, second.token_ids):
        raise ValueError(
            "the two traces must be of the same text in the same model, "
            f"got {first.num_layers} layers x {first.num_tokens} tokens and "
            f"{second.num_layers} x {second.num_tokens}: trace one text twice"
        )


__all__ = [
    "PrecisionNumbers", "TwoPrecisions", "expert_margin", "flip_table", "flipped_by", "gate_gap", "near_miss_table",
    "precision_flips", "precision_numbers", "smallest_flip", "soft_gate",
]  # fmt: skip
