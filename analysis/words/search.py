"""Token search: by text, or by what was decided about the tokens."""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from analysis.aggregate import ordinary
from analysis.difficulty import surprisal
from analysis.recursion import depth_margin
from analysis.words.words import spells_its_text
from hooks.token_text import token_bytes
from hooks.trace import RoutingTrace

Quantity = Literal[
    "loops", "first expert", "any chosen expert", "did not route", "difficulty", "margin of the loops", "surprisal"
]
Comparison = Literal["is", "at least", "at most"]
SIGNS: dict[Comparison, str] = {"is": "=", "at least": "≥", "at most": "≤"}
Where = int | Literal["any", "mean"]
"""One layer, "any" layer, or the "mean" over layers."""


@dataclass(frozen=True)
class Measure:
    """The conditions that a quantity can have."""

    comparisons: tuple[Comparison, ...] = ()
    """Empty for a quantity that is true or false."""
    where: tuple[str, ...] = ("any",)
    """What is possible beside a single layer; empty for a quantity without layers."""
    one_layer: bool = False
    """Whether its values in different layers are unrelated, so that a search begins in the selected layer."""


MEASURES: dict[Quantity, Measure] = {
    "loops": Measure(("is", "at least", "at most")),
    "first expert": Measure(("is",), one_layer=True),
    "any chosen expert": Measure(("is",), one_layer=True),
    "did not route": Measure(),
    "difficulty": Measure(("at least", "at most"), ("mean", "any")),
    "margin of the loops": Measure(("at most", "at least")),
    "surprisal": Measure(("at least", "at most"), ()),
}


_PART = {"surprisal": None, "first expert": "width", "any chosen expert": "width", "did not route": "width"}


def measures_of(trace: RoutingTrace) -> list[Quantity]:
    """The quantities that a condition can be on: those that the model of a trace decides, and surprisal."""
    return [each for each in MEASURES if _PART.get(each, "depth") in (None, *trace.parts)]


@dataclass(frozen=True)
class Query:
    """What is searched: a text, a condition, or both together."""

    text: str = ""
    """As typed, or with the signs of display strings (␣ ↵ ⇥ ⟨F0 9F⟩); case is ignored."""
    quantity: Quantity | None = None
    comparison: Comparison = "is"
    value: float = 0
    """Loops, number of an expert, difficulty (soft, 0..1), margin (logits) or surprisal (of the token read, nats)."""
    where: Where = "any"

    def __bool__(self) -> bool:
        return bool(self.text or self.quantity)


def matching_tokens(trace: RoutingTrace, query: Query) -> Bool[np.ndarray, " token"]:
    """True for the tokens that hold the text and meet the condition of `query`; none for an empty query.

    A text that spans several tokens matches all of them. Tokens that the tokenizer added and undefined values meet no
    condition, and a token that did not route has no expert.

    Raises ValueError for a layer that the model does not have, or a comparison that the quantity does not allow.
    """
    matches = np.full(trace.num_tokens, bool(query))
    if query.text:
        matches &= _holding(trace, query.text)
    if query.quantity:
        matches &= _meeting(trace, query) & ordinary(trace)
    return matches


def described(query: Query) -> str:
    """The query in words, such as: “light”, loops ≥ 3 in layer 2."""
    parts = [f"“{query.text}”"] if query.text else []
    if query.quantity:
        asked = query.quantity
        if MEASURES[query.quantity].comparisons:
            asked += f" {SIGNS[query.comparison]} {query.value:g}"
        if MEASURES[query.quantity].where:
            names = {"any": "in any layer", "mean": "as the mean over layers"}
            asked += f" {names.get(query.where, f'in layer {query.where}')}"
        parts.append(asked)
    return ", ".join(parts)


# Conditions -----------------------------------------------------------------------------------------------------------


def _meeting(trace: RoutingTrace, query: Query) -> Bool[np.ndarray, " token"]:
    measure = MEASURES[query.quantity]
    if measure.comparisons and query.comparison not in measure.comparisons:
        raise ValueError(f"{query.quantity} can be {' or '.join(measure.comparisons)} a value, not {query.comparison}")
    if query.quantity == "surprisal":
        return _compared(surprisal(trace), query)
    if query.quantity == "difficulty" and query.where == "mean":
        return _compared(trace.difficulty_soft.mean(axis=0), query)
    cells = _cells(trace, query)
    if query.where == "any":
        return cells.any(axis=0)
    if not isinstance(query.where, int) or not 0 <= query.where < trace.num_layers:
        raise ValueError(f"layer must be any or 0..{trace.num_layers - 1} for {query.quantity}, got {query.where}")
    return cells[query.where]


def _cells(trace: RoutingTrace, query: Query) -> Bool[np.ndarray, "layer token"]:
    """True where the condition is met. Experts count only where the width path ran."""
    match query.quantity:
        case "loops":
            return _compared(trace.loops, query)
        case "first expert":
            return trace.expert_ran[..., 0] & (trace.expert_ids[..., 0] == query.value)
        case "any chosen expert":
            return (trace.expert_ran & (trace.expert_ids == query.value)).any(axis=-1)
        case "did not route":
            return ~trace.width_ran
        case "margin of the loops":
            return _compared(depth_margin(trace), query)
        case _:
            return _compared(trace.difficulty_soft, query)


def _compared(values: Float[np.ndarray, "..."], query: Query) -> Bool[np.ndarray, "..."]:
    """Whether the values meet the comparison; NaN never does."""
    if query.comparison == "is":
        return values == query.value
    return values >= query.value if query.comparison == "at least" else values <= query.value


# Text -----------------------------------------------------------------------------------------------------------------


def _holding(trace: RoutingTrace, text: str) -> Bool[np.ndarray, " token"]:
    """Tokens that hold a part of some occurrence of `text`.

    The tokens are searched as one text if they spell the text that was traced. If they do not (token ids, tokenizers
    that drop spaces), each token is searched on its own.
    """
    pieces = [token_bytes(token) for token in trace.tokens]
    needle = _folded(token_bytes(text).decode("utf-8", "surrogateescape"))
    matches = np.zeros(trace.num_tokens, dtype=bool)
    if not spells_its_text(trace):
        matches[:] = [needle in _folded(piece.decode("utf-8", "surrogateescape")) for piece in pieces]
        return matches
    whole = b"".join(pieces).decode("utf-8", "surrogateescape")
    byte_at = np.cumsum([0, *(len(char.encode("utf-8", "surrogateescape")) for char in whole)])
    starts = np.cumsum([0, *map(len, pieces)]).tolist()
    hay, at = _folded(whole), -1
    while (at := hay.find(needle, at + 1)) >= 0:
        first, end = byte_at[at], byte_at[at + len(needle)]
        matches[bisect_right(starts, first) - 1 : bisect_right(starts, end - 1)] = True
    return matches


def _folded(text: str) -> str:
    """Lower case without a change of length: the few letters whose lower case has two letters stay as they are."""
    return "".join(low if len(low := char.lower()) == 1 else char for char in text)


__all__ = [
    "MEASURES",
    "Comparison",
    "Measure",
    "Quantity",
    "Query",
    "Where",
    "described",
    "matching_tokens",
    "measures_of",
]
