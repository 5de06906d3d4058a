"""Routing: the decisions of a text without the rest of its trace, as a value that can be compared and hashed."""

import hashlib
from typing import Any

import numpy as np

MAX_CELLS = 2**22
"""Most cells, layer x token, of a routing that comes from JSON."""
_DIGITS = 12
"""Digits of the digest that name a routing."""


class Routing:
    """Loops, lambda, experts and weights of every layer and token. Its arrays cannot be written to.

    Two are equal if all their decisions are.
    """

    def __init__(self, loops: Any, gate: Any, expert_ids: Any, expert_weights: Any):
        """loops (from 1) and gate [layer, token], expert_ids and expert_weights [layer, token, k].

        Raises ValueError if they do not fit each other, or no model could have decided so.
        """
        self.loops, self.expert_ids = (_array(each, "iu", np.int64) for each in (loops, expert_ids))
        self.gate, self.expert_weights = (_array(each, "fiu", np.float64) for each in (gate, expert_weights))
        cells = self.loops.shape
        fits = len(cells) == 2 and self.gate.shape == cells and self.expert_ids.shape == self.expert_weights.shape
        if not fits or self.expert_ids.ndim != 3 or self.expert_ids.shape[:2] != cells or not self.expert_ids.size:
            raise ValueError("a routing must hold loops and gate per layer and token, and experts and weights beside")
        shares = np.concatenate([self.gate.ravel(), self.expert_weights.ravel()])
        if self.loops.min() < 1 or self.expert_ids.min() < 0 or not ((shares >= 0) & (shares <= 1)).all():
            raise ValueError("a routing must hold loops from 1, experts from 0, and gates and weights from 0 to 1")
        if (np.diff(np.sort(self.expert_ids), axis=-1) == 0).any():
            raise ValueError("a routing must name different experts for one token")
        digest = hashlib.sha256(repr(self.expert_ids.shape).encode())
        for array in self._arrays():
            digest.update(array.tobytes())
            array.setflags(write=False)
        self.digest = digest.hexdigest()

    @classmethod
    def of(cls, trace: Any) -> "Routing":
        """The routing of a `RoutingTrace`. Raises ValueError for anything else."""
        try:
            return cls(trace.loops, trace.gate, trace.expert_ids, trace.expert_weights)
        except AttributeError:
            raise ValueError(f"the routing to use must be a RoutingTrace, got {type(trace).__name__}") from None

    @classmethod
    def from_json(cls, data: Any) -> "Routing":
        """The inverse of `as_json`. Raises ValueError for anything else."""
        names = ("loops", "gate", "expert_ids", "expert_weights")
        if not isinstance(data, dict) or data.keys() != set(names) or not all(isinstance(data[n], list) for n in names):
            raise ValueError(f"a routing must hold the lists {', '.join(names)}")
        if sum(len(row) for row in data["loops"] if isinstance(row, list)) > MAX_CELLS:
            raise ValueError(f"a routing must hold at most {MAX_CELLS:,} cells, layer x token")
        return cls(*(data[name] for name in names))

    def as_json(self) -> dict[str, list]:
        """Its arrays as lists."""
        names = ("loops", "gate", "expert_ids", "expert_weights")
        return {name: array.tolist() for name, array in zip(names, self._arrays(), strict=True)}

    @property
    def name(self) -> str:
        """The first digits of its digest."""
        return self.digest[:_DIGITS]

    @property
    def most_loops(self) -> int:
        """Most loops of a token."""
        return int(self.loops.max())

    @property
    def last_expert(self) -> int:
        """The largest number of an expert."""
        return int(self.expert_ids.max())

    def _arrays(self) -> tuple[np.ndarray, ...]:
        return self.loops, self.gate, self.expert_ids, self.expert_weights

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Routing) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        layers, tokens = self.loops.shape
        return f"Routing({self.name}, {layers} layers, {tokens} tokens)"


def _array(values: Any, kinds: str, dtype: type) -> np.ndarray:
    """A copy of the values. Raises ValueError if they are ragged, or not numbers of these kinds."""
    try:
        array = np.array(values)
    except ValueError:
        raise ValueError("the rows of a routing must be equally long") from None
    if array.dtype.kind not in kinds:
        raise ValueError("a routing must hold numbers, and loops and experts whole ones")
    return array.astype(dtype)


__all__ = ["Routing"]
