"""Single tokens of a run that were chosen by hand, on a map for example, as a part of a filter."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

PLACES = 2**32
"""Tokens that a prompt may have: prompt x PLACES + token is one number."""
MOST_CHOSEN = 100_000


class ChosenTokens:
    """A set of (prompt, token) with a name for it. Equal if their tokens are, whatever they are called; hashable."""

    def __init__(self, prompt: Sequence[int] | np.ndarray, token: Sequence[int] | np.ndarray, name: str = ""):
        """Raises ValueError for more than MOST_CHOSEN."""
        keys = np.unique(np.asarray(prompt, np.int64) * PLACES + np.asarray(token, np.int64))
        if len(keys) > MOST_CHOSEN:
            raise ValueError(f"at most {MOST_CHOSEN:,} tokens can be chosen one by one, got {len(keys):,}")
        keys.setflags(write=False)
        self.keys: Int[np.ndarray, " chosen"] = keys
        self.name = name
        self._digest = hashlib.sha256(keys.tobytes()).digest()

    @property
    def prompts(self) -> int:
        """How many prompts they are in."""
        return len(np.unique(self.keys // PLACES))

    def where(self) -> tuple[str, list[Any]]:
        """The condition on a row of `tokens` in SQL, and its parameters."""
        return f"prompt * {PLACES} + token IN (SELECT unnest(?::BIGINT[]))", [self.keys]

    def __len__(self) -> int:
        return len(self.keys)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ChosenTokens) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    def __repr__(self) -> str:
        return f"ChosenTokens({len(self):,} tokens{f' of {self.name}' if self.name else ''})"


__all__ = ["MOST_CHOSEN", "ChosenTokens"]
