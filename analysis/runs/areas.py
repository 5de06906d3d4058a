"""A part of a map that a reader drew around tokens: a box, or a line drawn by hand."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

MOST_CORNERS = 5_000
"""Of a line drawn by hand."""


@dataclass(frozen=True)
class Area:
    """A polygon in the units of the map, closed from its last corner to its first."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    @classmethod
    def box(cls, x0: float, x1: float, y0: float, y1: float) -> "Area":
        """A box between two places on each axis, in any order."""
        return cls((x0, x1, x1, x0), (y0, y0, y1, y1))

    @classmethod
    def from_json(cls, data: Any) -> "Area":
        """The area of {"x": [...], "y": [...]}. Raises ValueError if this is none."""
        try:
            x, y = (tuple(map(float, data[axis])) for axis in ("x", "y"))
        except (TypeError, KeyError, ValueError, OverflowError) as error:
            raise ValueError("this is no part of a map") from error
        if len(x) != len(y) or not 3 <= len(x) <= MOST_CORNERS or not all(map(math.isfinite, (*x, *y))):
            raise ValueError("this is no part of a map")
        return cls(x, y)

    @property
    def is_box(self) -> bool:
        """Whether its sides are along the axes, and four."""
        return len(self.x) == 4 and self == Area.box(self.x[0], self.x[1], self.y[0], self.y[2])

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Smallest and largest x, smallest and largest y."""
        return min(self.x), max(self.x), min(self.y), max(self.y)

    def inside(self, points: Float[np.ndarray, "point 2"]) -> Bool[np.ndarray, " point"]:
        """Which points are in it. Those on the edge of a box are; of a line that crosses itself, those that it goes
        round an odd number of times."""
        low_x, high_x, low_y, high_y = self.bounds
        x, y = points[:, 0].astype(float), points[:, 1].astype(float)
        within = (x >= low_x) & (x <= high_x) & (y >= low_y) & (y <= high_y)
        if self.is_box:
            return within
        near = np.flatnonzero(within)
        within[near] = _odd(x[near], y[near], np.array(self.x), np.array(self.y))
        return within


def _odd(x: np.ndarray, y: np.ndarray, corner_x: np.ndarray, corner_y: np.ndarray) -> np.ndarray:
    """Whether a ray to the right of each point crosses the polygon's sides an odd number of times."""
    odd = np.zeros(len(x), bool)
    for x0, y0, x1, y1 in zip(corner_x, corner_y, np.roll(corner_x, -1), np.roll(corner_y, -1), strict=True):
        if y0 != y1:
            crossed = (y0 > y) != (y1 > y)
            odd ^= crossed & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return odd


__all__ = ["MOST_CORNERS", "Area"]
