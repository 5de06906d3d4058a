"""Overview: what the loops and experts that ran cost, in passes through one dense FFN."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis.aggregate import mean_over_tokens, ordinary, percentiles_over_tokens
from hooks.trace import RoutingTrace

FEWEST_HALVED = 40
"""A text with fewer tokens is too short to compare its halves."""
FEWEST_READ = 5
"""Fewer surprisals say nothing about how well a text is predicted."""


@dataclass(frozen=True)
class OverviewNumbers:
    """Means over all (ordinary token, layer) pairs."""

    mean_loops: float
    """Loops that ran, 1..max_loops."""
    mean_gate: float
    """lambda, 0..1."""
    did_not_route: float
    """Share of pairs whose width path did not run, 0..1."""
    ffn_equivalents: float
    """Nominal cost in dense FFN passes (paper: loops, plus k/N where lambda > 0)."""


def width_cost(trace: RoutingTrace) -> float:
    """Cost of the width path where it runs: num_experts_per_tok / num_experts of one dense FFN pass."""
    return trace.expert_ids.shape[2] / trace.num_experts


def ffn_equivalents(trace: RoutingTrace) -> Float[np.ndarray, "layer token"]:
    """Dense FFN passes that each token cost in each layer: loops + k/N where the width path ran."""
    return trace.loops + width_passes(trace)


def width_passes(trace: RoutingTrace) -> Float[np.ndarray, "layer token"]:
    """Dense FFN passes of the width path: experts that ran / num_experts; 0 where it did not run."""
    return trace.expert_ran.sum(axis=-1) / trace.num_experts


def overview_numbers(trace: RoutingTrace) -> OverviewNumbers:
    """The four numbers of a text; NaN when it holds only special tokens."""
    per_layer = (trace.loops, trace.gate, ~trace.width_ran, ffn_equivalents(trace))
    return OverviewNumbers(*(float(mean_over_tokens(trace, values).mean()) for values in per_layer))


def compute_table(trace: RoutingTrace) -> pd.DataFrame:
    """One row per token: cost of both paths in dense FFN passes, mean over layers; `total` = `depth` + `width`."""
    depth = trace.loops.mean(axis=0)
    width = width_passes(trace).mean(axis=0)
    return pd.DataFrame(
        {
            "token": np.arange(trace.num_tokens),
            "text": trace.tokens,
            "special": trace.special,
            "depth": depth,
            "width": width,
            "total": depth + width,
        }
    )


def loops_by_layer(trace: RoutingTrace) -> pd.DataFrame:
    """One row per layer: mean loops that ran, their 10th and 90th percentile over tokens, and the mean of E[L]."""
    low, high = percentiles_over_tokens(trace, trace.loops)
    return pd.DataFrame(
        {
            "layer": np.arange(trace.num_layers),
            "tokens": int(ordinary(trace).sum()),
            "mean_loops": mean_over_tokens(trace, trace.loops),
            "loops_p10": low,
            "loops_p90": high,
            "expected_loops": mean_over_tokens(trace, trace.expected_loops),
        }
    )


@dataclass(frozen=True)
class Halves:
    """Mean loops of the first and the second half of a text, over its ordinary tokens and all layers."""

    first: float
    second: float
    start: int
    """Token with which the second half begins."""
    by_chance: float
    """Differences up to this one are chance: at least one in twenty of all ways to cut the text in two differs more."""

    @property
    def differ(self) -> bool:
        """Whether the halves differ beyond chance."""
        return abs(self.second - self.first) > self.by_chance


def halves(trace: RoutingTrace) -> Halves | None:
    """The halves of a text; None for fewer than FEWEST_HALVED tokens.

    Chance is what other cuts show: the text is taken as a ring and cut in two at every place, so neighbours stay
    together. The cut that was asked about is one of them.
    """
    tokens = np.flatnonzero(ordinary(trace))
    count, half = len(tokens), len(tokens) // 2
    if count < FEWEST_HALVED:
        return None
    loops = trace.loops[:, tokens].mean(axis=0)
    ahead = np.concatenate([[0.0], np.cumsum(np.concatenate([loops, loops]))])
    sums = ahead[half : half + count] - ahead[:count]  # of the half that begins at each token
    differ = (loops.sum() - sums) / (count - half) - sums / half
    first, second = float(sums[0] / half), float((loops.sum() - sums[0]) / (count - half))
    far = np.sort(np.abs(differ))[-(count // 20) - 1]
    return Halves(first, second, int(tokens[half]), float(far) + 1e-9)


def worse_than_guessing(trace: RoutingTrace) -> str | None:
    """The sentence for a text that is predicted worse than if all tokens of the vocabulary were equally likely.

    None for every other text, for one of few tokens, where the trace does not state the size of the vocabulary, and of
    a model that may not be trained at all.
    """
    read = trace.logprob[ordinary(trace)]
    read, vocabulary = read[np.isfinite(read)], trace.meta.get("config", {}).get("vocab_size")
    untrained = trace.meta.get("gates_trained") is False
    if len(read) < FEWEST_READ or not vocabulary or untrained or -read.mean() <= np.log(vocabulary):
        return None
    return (
        f"The model predicts this text worse than if all its {vocabulary:,} tokens were equally likely "
        f"({-read.mean():.1f} against {np.log(vocabulary):.1f} nats per token). The text is unlike those "
        "that the model was trained on, and its routing may mean little."
    )


__all__ = [
    "Halves", "OverviewNumbers", "compute_table", "ffn_equivalents", "halves", "loops_by_layer", "overview_numbers",
    "width_cost", "width_passes", "worse_than_guessing",
]  # fmt: skip
