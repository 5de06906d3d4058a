"""Sampling: how the next token of a generated text is chosen from the model's logits."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

MOST_TEMPERATURE, MOST_SEED = 10.0, 2**32 - 1
ENDED, FULL = "ended", "full"
"""Why a generation goes no further: the model wrote its end-of-text token, or the trained context is full."""


@dataclass(frozen=True)
class Sampling:
    """The likeliest token (greedy), or a draw from the model's distribution after these changes, in this order.

    The draw at a position depends on the seed, the position and the distribution alone. So the same seed gives the same
    text, also after a step back, and two branches differ by what was changed in them and not by other dice.
    """

    temperature: float = 0.0
    """The logits are divided by it; 0 takes the likeliest token, and the rest has no effect."""
    top_k: int | None = None
    """Draw from the `top_k` likeliest tokens; None for all."""
    top_p: float | None = None
    """Draw from the fewest likeliest tokens whose probabilities sum to at least this; None for all."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not _number(self.temperature) or not 0 <= self.temperature <= MOST_TEMPERATURE:
            raise ValueError(f"temperature must be a number from 0 to {MOST_TEMPERATURE:g}, got {self.temperature!r}")
        if self.top_k is not None and (type(self.top_k) is not int or self.top_k < 1):
            raise ValueError(f"top_k must be a whole number from 1, got {self.top_k!r}")
        if self.top_p is not None and (not _number(self.top_p) or not 0 < self.top_p <= 1):
            raise ValueError(f"top_p must be a number above 0 and up to 1, got {self.top_p!r}")
        if type(self.seed) is not int or not 0 <= self.seed <= MOST_SEED:
            raise ValueError(f"seed must be a whole number from 0 to {MOST_SEED:,}, got {self.seed!r}")

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is taken."""
        return self.temperature == 0

    def seed_at(self, position: int) -> int:
        """Seed of the draw of the token at a position of the text, the same in every branch."""
        return int(np.random.SeedSequence((self.seed, position)).generate_state(1)[0])

    def words(self) -> str:
        """What it does, in a few words: "temperature 0.8, top k 40, seed 7"."""
        if self.is_greedy:
            return "greedy"
        told = [f"temperature {self.temperature:g}"]
        told += [f"top k {self.top_k}"] if self.top_k is not None else []
        told += [f"top p {self.top_p:g}"] if self.top_p is not None else []
        return ", ".join([*told, f"seed {self.seed}"])

    def as_json(self) -> dict[str, Any]:
        """Its fields, without those that say nothing."""
        return {"temperature": 0.0} if self.is_greedy else {k: v for k, v in asdict(self).items() if v is not None}


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


__all__ = ["ENDED", "FULL", "MOST_SEED", "MOST_TEMPERATURE", "Sampling"]
