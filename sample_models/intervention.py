"""What all interventions share: where they apply, and the checks of their fields."""

import math
import operator
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

Indices = tuple[int, ...] | None
EVERY_PART = ("depth", "gate", "width")
MOST = 2**31
"""No layer, token or expert has so large a number."""
SHOWN = 6
"""Layers or tokens that a sentence names before it says how many more there are."""


class Sizes(NamedTuple):
    """What an intervention must fit."""

    layers: int
    max_loops: int
    experts: int
    parts: frozenset[str]
    """What the model decides: some of "width", "depth" and "gate"."""
    tokens: int | None = None
    """Tokens of the text; None if they are not known, as before a text is generated."""


@dataclass(frozen=True)
class Intervention(ABC):
    """What all kinds share; it is none itself."""

    needs: ClassVar[tuple[str, ...]] = ()
    """What a model must decide for this kind to mean anything."""

    def __post_init__(self) -> None:
        for name in ("layers", "tokens"):
            self._set(name, indices_of(self._named(name), getattr(self, name)))

    def check(self, sizes: Sizes) -> None:
        """Raise ValueError unless this fits a model, and its text if that is known."""
        if lacking := [part for part in self._needed() if part not in sizes.parts]:
            what = {"depth": "chooses no loops", "width": "chooses no experts", "gate": "has no gate (lambda)"}
            raise ValueError(f"{self.kind} cannot be applied to a model that {what[lacking[0]]}")
        for name, count in (("layers", sizes.layers), ("tokens", sizes.tokens)):
            named = getattr(self, name)
            if named is not None and count is not None and named[-1] >= count:
                where = f" in a text of {count} tokens" if name == "tokens" else ""
                raise ValueError(f"{self._named(name)} must be 0..{count - 1}{where}, got {named[-1]}")

    @property
    def kind(self) -> str:
        """Name of the kind."""
        return type(self).__name__

    def words(self, parts: Collection[str] = EVERY_PART) -> str:
        """What it does, in a few words: "4 loops, λ follows; layer 3, all tokens".

        `parts` is what the model decides, so that a model of another family is told nothing of what it does not have.
        """
        what = self._what(two_paths="gate" in parts)
        return f"{what}; {told_indices('layer', self.layers)}, {told_indices('token', self.tokens)}"

    @abstractmethod
    def _what(self, *, two_paths: bool) -> str:
        """The first half of `words`, for a model with two paths and λ between them or for another."""

    def _needed(self) -> tuple[str, ...]:
        return self.needs

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)  # the only way to write to a frozen dataclass, while it is made

    def _named(self, field: str) -> str:
        return f"{self.kind}: {field}"

    def _whole(self, field: str, value: object, least: int) -> int:
        if (number := whole_number(value)) is None or number < least:
            raise ValueError(f"{self._named(field)} must be a whole number from {least}, got {short(value)}")
        return number

    def _share(self, field: str, value: object) -> float:
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
        if not 0 <= number <= 1:
            raise ValueError(f"{self._named(field)} must be a number from 0 to 1, got {short(value)}")
        return float(number)

    def _one_of(self, field: str, choices: Iterable[str]) -> None:
        choices, value = tuple(choices), getattr(self, field)
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{self._named(field)} must be {' or '.join(choices)}, got {short(value)}")

    def _check_experts(self, field: str, experts: Iterable[int], sizes: Sizes) -> None:
        for expert in experts:
            if expert >= sizes.experts:
                raise ValueError(f"{self._named(field)} must be 0..{sizes.experts - 1}, got {expert}")


def indices_of(what: str, value: object) -> Indices:
    """Whole numbers from 0 in ascending order; None stays None."""
    return None if value is None else tuple(sorted(row_of(what, value)))


def row_of(what: str, value: object) -> tuple[int, ...]:
    """Whole numbers from 0, each once, in the order given."""
    several = isinstance(value, Iterable) and not isinstance(value, str | bytes | dict)
    numbers = [whole_number(each) for each in value] if several else [whole_number(value)]
    if not numbers or any(number is None or not 0 <= number < MOST for number in numbers):
        raise ValueError(f"{what} must be one or more whole numbers from 0, got {short(value)}")
    return tuple(dict.fromkeys(numbers))


def whole_number(value: object) -> int | None:
    """The value as a whole number; None if it is none."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def short(value: object) -> str:
    """A value in a sentence: its beginning, in plain characters."""
    text = ascii(reprlib.repr(value))[1:-1] if not isinstance(value, str) else ascii(value)
    return text if len(text) <= 40 else f"{text[:39]}..."


def told_indices(what: str, indices: Indices) -> str:
    """Layers or tokens in words."""
    if indices is None:
        return f"all {what}s"
    more = f" and {len(indices) - SHOWN} more" if len(indices) > SHOWN else ""
    return f"{what}{'s' * (len(indices) > 1)} {', '.join(map(str, indices[:SHOWN]))}{more}"


__all__ = ["EVERY_PART", "Indices", "Intervention", "Sizes", "row_of", "short"]
