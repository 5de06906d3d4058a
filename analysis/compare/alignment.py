"""Alignment: which tokens of two traces stand at the same place, of two texts or of one text in two tokenizations.

Tokens are put into groups: a group holds tokens of both traces that say the same, or of which one replaces the other.
In two texts a group is one token of each. If two tokenizers cut one text differently, a group is what lies between two
places where both of them cut, and may hold several tokens of each. A token in no group is not aligned.
"""

from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
from beartype import beartype
from jaxtyping import Bool, Int, jaxtyped

from analysis.words.words import spells_its_text, token_ends
from hooks.trace import RoutingTrace

MOST_CELLS = 2**22
"""Pairs of tokens of which the largest alignment is searched exactly; beyond, difflib finds a good one."""
NOT_ALIGNED = -1


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, eq=False)
class Alignment:
    """Group of every token of two traces, ascending in both; NOT_ALIGNED for a token that has no partner."""

    group_a: Int[np.ndarray, " token_a"]
    group_b: Int[np.ndarray, " token_b"]
    same: Bool[np.ndarray, " group"]
    """Whether the tokens of a group say the same in both; if not, they replace each other."""
    by: str
    """How it was found: "equal tokens", "edit" or "characters"."""

    def __post_init__(self) -> None:
        for array in (self.group_a, self.group_b, self.same):
            array.setflags(write=False)

    @property
    def sizes_a(self) -> Int[np.ndarray, " group"]:
        """Tokens of A in every group."""
        return _sizes(self.group_a, len(self.same))

    @property
    def sizes_b(self) -> Int[np.ndarray, " group"]:
        """Tokens of B in every group."""
        return _sizes(self.group_b, len(self.same))

    @property
    def pairs(self) -> Int[np.ndarray, "pair 2"]:
        """Tokens (of A, of B) of the groups that hold one of each and say the same."""
        single = np.flatnonzero(self.same & (self.sizes_a == 1) & (self.sizes_b == 1))
        return np.stack([_first(self.group_a, single), _first(self.group_b, single)], axis=1)

    @property
    def first_difference(self) -> int:
        """First token of A that is not the same as the token of B at its place; their number if all are."""
        shared = min(len(self.group_a), len(self.group_b))
        pairs = {(int(a), int(b)) for a, b in self.pairs}
        return next((token for token in range(shared) if (token, token) not in pairs), shared)

    def token_of_b(self, token: int) -> int | None:
        """The first token of B in the group of a token of A; None if it is not aligned."""
        return _partner(self.group_a, self.group_b, token)

    def token_of_a(self, token: int) -> int | None:
        """The first token of A in the group of a token of B; None if it is not aligned."""
        return _partner(self.group_b, self.group_a, token)


def aligned(a: RoutingTrace, b: RoutingTrace) -> Alignment:
    """The alignment of two traces: by characters where two tokenizers cut one text, else by edit."""
    if _keys(a) == _keys(b):
        every = np.arange(a.num_tokens)
        return Alignment(every, every.copy(), np.ones(a.num_tokens, dtype=bool), "equal tokens")
    one_text = a.meta.get("text") == b.meta.get("text")
    if one_text and spells_its_text(a) and spells_its_text(b):
        return _by_characters(a, b)
    return aligned_by_edit(_keys(a), _keys(b))


def aligned_by_edit(a: list, b: list) -> Alignment:
    """As many equal tokens as possible in the order of both; between two of them, as many tokens in one as in the
    other replace each other one by one, and unequal numbers are not aligned."""
    group_a, group_b = np.full(len(a), NOT_ALIGNED), np.full(len(b), NOT_ALIGNED)
    same: list[bool] = []
    before = (-1, -1)
    for pair in [*_longest_common(a, b), (len(a), len(b))]:
        gap_a, gap_b = (range(start + 1, end) for start, end in zip(before, pair, strict=True))
        if len(gap_a) == len(gap_b):
            for one, other in zip(gap_a, gap_b, strict=True):
                group_a[one] = group_b[other] = len(same)
                same.append(False)
        if pair != (len(a), len(b)):
            group_a[pair[0]] = group_b[pair[1]] = len(same)
            same.append(True)
        before = pair
    return Alignment(group_a, group_b, np.array(same, dtype=bool), "edit")


def _longest_common(a: list, b: list) -> list[tuple[int, int]]:
    """Positions of equal entries, ascending in both, as many as there can be (beyond MOST_CELLS: many)."""
    start, shortest = 0, min(len(a), len(b))
    while start < shortest and a[start] == b[start]:
        start += 1
    end = 0
    while end < shortest - start and a[len(a) - 1 - end] == b[len(b) - 1 - end]:
        end += 1
    inner_a, inner_b = a[start : len(a) - end], b[start : len(b) - end]
    exact = len(inner_a) * len(inner_b) <= MOST_CELLS
    inner = _common_exactly(inner_a, inner_b) if exact else _common_by_difflib(inner_a, inner_b)
    return [
        *((i, i) for i in range(start)),
        *((start + i, start + j) for i, j in inner),
        *((len(a) - i, len(b) - i) for i in range(end, 0, -1)),
    ]


def _common_exactly(a: list, b: list) -> list[tuple[int, int]]:
    """A longest common subsequence; of several, one that keeps to the left."""
    number = {key: i for i, key in enumerate(dict.fromkeys([*a, *b]))}
    first, second = (np.array([number[key] for key in keys], dtype=np.int64) for keys in (a, b))
    longest = np.zeros((len(a) + 1, len(b) + 1), dtype=np.int16 if len(b) < 2**15 else np.int32)  # of a[i:], b[j:]
    for i in range(len(a) - 1, -1, -1):
        met = np.where(first[i] == second, longest[i + 1, 1:] + 1, longest[i + 1, :-1])
        longest[i, :-1] = np.maximum.accumulate(met[::-1])[::-1]
    found, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        if a[i] == b[j] and longest[i, j] == longest[i + 1, j + 1] + 1:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif longest[i + 1, j] == longest[i, j]:
            i += 1
        else:
            j += 1
    return found


def _common_by_difflib(a: list, b: list) -> list[tuple[int, int]]:
    blocks = SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
    return [(block.a + i, block.b + i) for block in blocks for i in range(block.size)]


def _by_characters(a: RoutingTrace, b: RoutingTrace) -> Alignment:
    """Groups between the places where the tokens of both end. Tokens that a tokenizer added are not aligned."""
    ends = [token_ends(trace) for trace in (a, b)]
    cuts = np.intersect1d(*(end[~trace.special] for end, trace in zip(ends, (a, b), strict=True)))
    groups = []
    for trace, end in zip((a, b), ends, strict=True):
        group = np.searchsorted(cuts, end)
        groups.append(np.where(trace.special | (group == len(cuts)), NOT_ALIGNED, group))
    return Alignment(*groups, np.ones(len(cuts), dtype=bool), "characters")


def _keys(trace: RoutingTrace) -> list[tuple[str, bool]]:
    """What tells tokens apart: their lossless display, and whether the tokenizer added them."""
    return list(zip(trace.tokens, trace.special.tolist(), strict=True))


def _sizes(group: np.ndarray, groups: int) -> np.ndarray:
    return np.bincount(group[group != NOT_ALIGNED], minlength=groups)


def _first(group: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """First token of every wanted group. Groups ascend, but for the tokens that are in none."""
    tokens = np.flatnonzero(group != NOT_ALIGNED)
    return tokens[np.searchsorted(group[tokens], wanted)]


def _partner(group: np.ndarray, other: np.ndarray, token: int) -> int | None:
    if group[token] == NOT_ALIGNED:
        return None
    return int(np.flatnonzero(other == group[token])[0])


__all__ = ["NOT_ALIGNED", "Alignment", "aligned", "aligned_by_edit"]
