"""Compares two traces: are the tokens the same, and where do the arrays differ?"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from hooks.trace import RoutingTrace

AXES = {"token_ids": ("token",), "special": ("token",), "logprob": ("token",), "next_entropy": ("token",)}
AXES |= {"next_ids": ("token", "top"), "next_logprobs": ("token", "top")}
AXES |= {"depth_logits": ("layer", "token", "loop"), "expert_logits": ("layer", "token", "expert")}
AXES |= {"expert_ids": ("layer", "token", "k"), "expert_weights": ("layer", "token", "k")}
LONGEST = 10
"""Most lines of a report."""


@dataclass(frozen=True)
class ArrayDifference:
    """One array of two traces."""

    name: str
    changed: int
    """Entries that differ by more than the tolerance. NaN differs from every number, and not from NaN."""
    entries: int
    largest: float
    """Largest absolute difference where both are numbers (inf where one is infinite); 0.0 if there is none."""
    where: str
    """Axes and indices of the largest difference, such as "layer 2, token 17", or of the first NaN if none differs."""

    def __str__(self) -> str:
        return f"{self.name}: {self.changed} of {self.entries} differ, at most by {self.largest:.3g} ({self.where})"


@dataclass(frozen=True)
class TraceDifference:
    """The differences of two traces; an empty tuple means none of that kind."""

    texts: tuple[str, ...]
    """Differences of size or tokens, after which arrays cannot be compared."""
    arrays: tuple[ArrayDifference, ...]
    routing: tuple[str, ...]
    """How many decisions differ, in words: loops, first experts."""
    meta: tuple[str, ...]

    @property
    def same(self) -> bool:
        return not (self.texts or self.arrays or self.routing or self.meta)

    def lines(self) -> list[str]:
        """The report, at most ten lines."""
        every = [*self.texts, *self.routing, *map(str, self.arrays), *self.meta]
        if len(every) <= LONGEST:
            return every
        return [*every[: LONGEST - 1], f"and {len(every) - LONGEST + 1} more differences"]


def trace_difference(
    first: RoutingTrace, second: RoutingTrace, *, tolerance: float = 0.0, meta: bool = False
) -> TraceDifference:
    """Compare two traces of one text: the tokens, then every array, up to `tolerance`.

    Whole numbers and booleans (loops, experts, ids) must be equal whatever the tolerance. With `meta`, model, weights,
    configuration and versions are compared as well. Raises ValueError for a negative tolerance or NaN.
    """
    if not tolerance >= 0:
        raise ValueError(f"the tolerance must be 0 or more, got {tolerance}")
    texts = _texts(first, second)
    arrays = () if texts else tuple(_arrays(first, second, tolerance))
    routing = () if texts else tuple(_routing(first, second))
    return TraceDifference(texts, arrays, routing, tuple(_meta(first, second)) if meta else ())


def _texts(first: RoutingTrace, second: RoutingTrace) -> tuple[str, ...]:
    if first.num_tokens != second.num_tokens:
        return (f"tokens: {first.num_tokens} against {second.num_tokens}; only traces of one text compare",)
    apart = [i for i in range(first.num_tokens) if first.tokens[i] != second.tokens[i]]
    if apart:
        i = apart[0]
        return (
            f"tokens: {len(apart)} of {first.num_tokens} differ, "
            f"the first is token {i}: {first.tokens[i]!r} against {second.tokens[i]!r}",
        )
    sizes = [
        f"{name}: {' x '.join(map(str, a.shape))} against {' x '.join(map(str, b.shape))}"
        for name, a, b in _pairs(first, second)
        if a.shape != b.shape
    ]
    return tuple(sizes)


def _pairs(first: RoutingTrace, second: RoutingTrace):
    for field in dataclasses.fields(RoutingTrace):
        value = getattr(first, field.name)
        if isinstance(value, np.ndarray):
            yield field.name, value, getattr(second, field.name)


def _arrays(first: RoutingTrace, second: RoutingTrace, tolerance: float):
    for name, a, b in _pairs(first, second):
        exact = not (np.issubdtype(a.dtype, np.floating) and np.issubdtype(b.dtype, np.floating))
        a, b = a.astype(np.float64), b.astype(np.float64)
        with np.errstate(invalid="ignore"):  # inf - inf, which equal infinities make
            gap = np.where(a == b, 0.0, np.abs(a - b))
        unlike = np.isnan(a) != np.isnan(b)
        gap[np.isnan(gap)] = 0.0
        changed = (gap > (0 if exact else tolerance)) | unlike
        if changed.any():
            at = np.unravel_index(np.argmax(gap if gap.any() else unlike), a.shape)
            axes = AXES.get(name, ("layer", "token"))
            where = ", ".join(f"{axis} {index}" for axis, index in zip(axes, at, strict=True))
            if unlike.any():
                where += f"; {int(unlike.sum())} are NaN in one only"
            yield ArrayDifference(name, int(changed.sum()), a.size, float(gap.max()), where)


def _routing(first: RoutingTrace, second: RoutingTrace):
    cells = first.loops.size
    if changed := int((first.loops != second.loops).sum()):
        yield f"routing: other loops in {changed} of {cells} pairs of layer and token"
    both = first.width_ran & second.width_ran
    if changed := int((first.expert_ids[..., 0] != second.expert_ids[..., 0])[both].sum()):
        yield f"routing: another first expert in {changed} of {int(both.sum())} pairs that routed in both"


def _meta(first: RoutingTrace, second: RoutingTrace):
    for key in sorted(first.meta.keys() | second.meta.keys()):
        a, b = first.meta.get(key), second.meta.get(key)
        if a != b:
            yield f"meta {key}: {_short(a)} against {_short(b)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


__all__ = ["ArrayDifference", "TraceDifference", "trace_difference"]
