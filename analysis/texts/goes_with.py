"""What difficulty goes with in one model: a few numbers of a study, small enough to be kept and shown beside a text."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.texts.study import Study
from analysis.words.numbers import number

MEASURES_TOLD = {
    "frequency": "the token's frequency in these texts",
    "surprisal_read": "its surprisal",
    "surprisal_read_given_frequency": "its surprisal among equally frequent tokens",
    "surprisal_next": "the surprisal of the next token",
    "surprisal_next_given_frequency": "that among equally frequent tokens",
}
"""Measure of `analysis.texts.validity` -> its words, in the order in which they are told."""


@dataclass(frozen=True)
class Correlation:
    """Spearman's rho of soft difficulty (mean over layers) with a measure within texts, and its 95% interval."""

    rho: float
    low: float
    high: float


@dataclass(frozen=True)
class GoesWith:
    """The correlations of a study that says what difficulty goes with."""

    name: str
    """What the set of texts is called."""
    texts: int
    tokens: int
    measures: dict[str, Correlation]
    """By the names of MEASURES_TOLD; only those that the texts have, with an interval."""

    def to_json(self) -> dict[str, Any]:
        """As plain numbers and words; `from_json` reads it."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "GoesWith":
        """What `to_json` wrote."""
        return cls(**kept | {"measures": {name: Correlation(**each) for name, each in kept["measures"].items()}})


def goes_with(study: Study) -> GoesWith:
    """The correlations of soft difficulty, mean over layers, in a study."""
    return GoesWith(study.name, study.texts, study.tokens, correlations(study.difficulty_validity["soft"]))


def correlations(table: pd.DataFrame) -> dict[str, Correlation]:
    """The rows of MEASURES_TOLD in a table of `difficulty_validity`, means over layers, where they have an interval."""
    means = table[table["layer"].isna()].set_index("measure")[["rho", "low", "high"]]
    told = {name: Correlation(*map(float, means.loc[name])) for name in MEASURES_TOLD}
    return {name: each for name, each in told.items() if np.isfinite([each.rho, each.low, each.high]).all()}


def told(found: GoesWith) -> str:
    """The correlations in one sentence."""
    parts = [
        f"{words}: {_signed(each.rho)} ({_signed(each.low)} to {_signed(each.high)})"
        for name, words in MEASURES_TOLD.items()
        if (each := found.measures.get(name))
    ]
    listed = "; ".join(parts)
    return (
        f"How far soft difficulty goes up (above 0) or down (below 0) with other measures in {found.texts} "
        f"{found.name}, as Spearman's ρ within texts with 95% intervals. {listed[:1].upper()}{listed[1:]}."
    )


def _signed(value: float) -> str:
    return number(value, signed=True)


__all__ = ["MEASURES_TOLD", "Correlation", "GoesWith", "correlations", "goes_with", "told"]
