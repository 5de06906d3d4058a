"""Branches of a generated text: where two begin to differ, in their words and in their loops."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.aggregate import ordinary
from hooks.trace import RoutingTrace

NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, eq=False)
class BranchOfText:
    """One of the texts that a model wrote after the same prompt."""

    name: str
    """A letter of NAMES."""
    trace: RoutingTrace
    parent: int | None = None
    """Number of the branch that it left; None for the first text."""
    token: int | None = None
    """The token from which on something was changed."""
    changed: str = ""
    """What was changed there, in words."""


@dataclass(frozen=True, eq=False)
class Branches:
    """All that a model wrote after one prompt; nothing at first."""

    branches: tuple[BranchOfText, ...] = ()
    """In the order in which they were begun: a parent before its branches."""
    shown: int = 0
    against: int | None = None
    """The branch with which the shown one is compared."""

    @property
    def routing(self) -> RoutingTrace | None:
        """The trace of the branch that is shown."""
        return self.branches[self.shown].trace if self.branches else None


def first_difference(first: RoutingTrace, second: RoutingTrace) -> int | None:
    """Position of the first token that differs, or at which one text has ended; None for equal texts."""
    shared = min(first.num_tokens, second.num_tokens)
    differs = np.flatnonzero(first.token_ids[:shared] != second.token_ids[:shared])
    if differs.size:
        return int(differs[0])
    return None if first.num_tokens == second.num_tokens else shared


def written_loops(trace: RoutingTrace) -> tuple[float, float]:
    """Mean loops per layer of the prompt's tokens, and of those that the model wrote; NaN where there are none."""
    tokens = np.arange(trace.num_tokens)
    parts = (tokens < trace.first_generated, tokens >= trace.first_generated)
    return tuple(_mean(trace.loops[:, part & ordinary(trace)]) for part in parts)


def shared_tokens_table(first: RoutingTrace, second: RoutingTrace) -> pd.DataFrame:
    """One row per layer x token that both texts share from the beginning: loops and lambda in both.

    These tokens read the same text in both, so that what differs there comes from what was changed, or from rounding
    where a choice was close. Raises ValueError for texts of different models.
    """
    if len(first.loops) != len(second.loops) or first.meta.get("weights_sha256") != second.meta.get("weights_sha256"):
        raise ValueError("both texts must be written by the same model")
    end = first_difference(first, second)
    part = np.s_[:, : first.num_tokens if end is None else end]
    shape = first.loops[part].shape
    layer, token = (axis.ravel() for axis in np.indices(shape))
    return pd.DataFrame(
        {
            "layer": layer,
            "token": token,
            "text": np.array(first.tokens, dtype=object)[token],
            "generated": token >= first.first_generated,
            "loops_first": first.loops[part].ravel(),
            "loops_second": second.loops[part].ravel(),
            "gate_first": first.gate[part].ravel(),
            "gate_second": second.gate[part].ravel(),
        }
    )


def layers_table(first: RoutingTrace, second: RoutingTrace) -> pd.DataFrame:
    """One row per layer: over the shared tokens, how many have other loops; and the mean loops of what each wrote."""
    shared = shared_tokens_table(first, second)
    by_layer = (shared["loops_first"] != shared["loops_second"]).groupby(shared["layer"])
    means = [_means_of_written(trace) for trace in (first, second)]
    return pd.DataFrame(
        {
            "layer": np.arange(len(first.loops)),
            "shared_tokens": by_layer.size().to_numpy(),
            "other_loops": by_layer.sum().to_numpy(),
            "mean_loops_first": means[0],
            "mean_loops_second": means[1],
            "difference": means[1] - means[0],
        }
    )


def _means_of_written(trace: RoutingTrace) -> np.ndarray:
    """Mean loops [layer] over what the model wrote; NaN if it wrote nothing."""
    part = trace.loops[:, trace.first_generated :]
    return part.mean(axis=1) if part.size else np.full(len(trace.loops), np.nan)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


__all__ = [
    "NAMES", "BranchOfText", "Branches", "first_difference", "layers_table", "shared_tokens_table", "written_loops",
]  # fmt: skip
