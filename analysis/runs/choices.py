"""Choice: one expert of a layer, or one number of loops in a layer, of which a card is made."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from analysis.runs.schema import Sizes, expert_at

Kind = Literal["expert", "loops"]
DID_NOT_ROUTE = -1
"""In place of an expert: none ran."""


@dataclass(frozen=True)
class Choice:
    """What a token may have chosen in a layer: an expert, or a number of loops. Exactly one of the two is given."""

    layer: int
    expert: int | None = None
    loops: int | None = None

    def __post_init__(self):
        if (self.expert is None) == (self.loops is None):
            raise ValueError(f"a choice is an expert or a number of loops, got {self.expert} and {self.loops}")

    def check(self, sizes: Sizes) -> None:
        """Raises ValueError if the model has no such layer, expert or number of loops, or does not decide it."""
        if not 0 <= self.layer < sizes.num_layers:
            raise ValueError(f"the layer must be from 0 to {sizes.num_layers - 1}, got {self.layer}")
        if self.expert is not None and not 0 <= self.expert < sizes.num_experts:
            raise ValueError(f"the expert must be from 0 to {sizes.num_experts - 1}, got {self.expert}")
        if self.loops is not None and not 1 <= self.loops <= sizes.max_loops:
            raise ValueError(f"loops must be from 1 to {sizes.max_loops}, got {self.loops}")
        part = "width" if self.loops is None else "depth"
        if part not in sizes.parts:
            raise ValueError(f"this model chooses no {'experts' if part == 'width' else 'loops'}")

    def made(self, sizes: Sizes) -> str:
        """The condition in SQL that a row of `tokens` made this choice; never null."""
        if self.loops is not None:
            return f"(loops[{self.layer + 1}] = {self.loops})"
        ranks = (f"{expert_at(self.layer, rank, sizes)} = {self.expert}" for rank in range(sizes.k))
        return f"coalesce({' OR '.join(ranks)}, false)"

    def had(self, sizes: Sizes) -> str:
        """The condition in SQL that a row of `tokens` had to choose: for experts, that it routed in the layer."""
        return "true" if self.loops is not None else f"{expert_at(self.layer, 0, sizes)} IS NOT NULL"

    @property
    def kind(self) -> Kind:
        """What is chosen."""
        return "loops" if self.expert is None else "expert"

    @property
    def value(self) -> int:
        """The number of the expert, or of loops."""
        return self.loops if self.expert is None else self.expert

    @property
    def words(self) -> str:
        """Such as "expert 3 of layer 2" and "4 loops in layer 2"."""
        if self.loops is None:
            return f"expert {self.expert} of layer {self.layer}"
        return f"{self.loops} loop{'' if self.loops == 1 else 's'} in layer {self.layer}"


def choices_of(sizes: Sizes, layers: Iterable[int] | None = None) -> list[Choice]:
    """All choices that a model has in some layers, or in all: its experts first, then its numbers of loops."""
    found = []
    for layer in range(sizes.num_layers) if layers is None else layers:
        found += [Choice(layer, expert=each) for each in range(sizes.num_experts) if "width" in sizes.parts]
        found += [Choice(layer, loops=each) for each in range(1, sizes.max_loops + 1) if "depth" in sizes.parts]
    return found


def weight_of(choice: Choice, sizes: Sizes) -> str:
    """The weight of the expert of a choice, from a row of `tokens` in SQL; null where it did not run, or for loops."""
    if choice.loops is not None:
        return "NULL::FLOAT"
    ranks = range(choice.layer * sizes.k, (choice.layer + 1) * sizes.k)
    cases = (f"WHEN experts[{place + 1}] = {choice.expert} THEN weights[{place + 1}]" for place in ranks)
    return f"CASE {' '.join(cases)} END"


__all__ = ["DID_NOT_ROUTE", "Choice", "Kind", "choices_of", "weight_of"]
