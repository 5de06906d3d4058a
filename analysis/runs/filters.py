"""What of a run is looked at: a value that every panel, table and export of the run obeys."""

from dataclasses import dataclass
from typing import Any

from analysis.runs.schema import Sizes


@dataclass(frozen=True)
class TokenFilter:
    """Which tokens of a run count. None, or an empty tuple, leaves out no token.

    Without a `layer`, a token counts if the conditions on loops, expert and difficulty hold together in any layer.
    """

    sources: tuple[str, ...] = ()
    """Files or datasets that the prompts came from."""
    others: tuple[tuple[str, str], ...] = ()
    """(column of the reader's file, value), all of which hold for the prompt."""
    text: str = ""
    """What the token's display string has in it, without regard to upper and lower case."""
    token_ids: tuple[int, ...] = ()
    layer: int | None = None
    loops: tuple[int, ...] = ()
    expert: int | None = None
    """One of the experts that ran."""
    difficulty: tuple[float, float] | None = None
    """Soft difficulty, from and to, both included."""
    positions: tuple[int, int] | None = None
    """Positions in the prompt, from 0, from and to, both included."""
    special: bool = False
    """Whether tokens that the tokenizer added count, too."""

    def where(self, sizes: Sizes) -> tuple[str, list[Any]]:
        """The condition on a row of `tokens` in SQL, and its parameters.

        Raises ValueError if it names a layer, expert or number of loops that the model has not.
        """
        self._check(sizes)
        conditions, values = [] if self.special else ["NOT special"], []

        def add(condition: str, *given: Any) -> None:
            conditions.append(condition)
            values.extend(given)

        if self.sources or self.others:
            of_prompt, given = self.where_prompt()
            add(f"prompt IN (SELECT prompt FROM prompts WHERE {of_prompt})", *given)
        if self.text:
            add("contains(lower(text), lower(?))", self.text)
        if self.token_ids:
            add("list_contains(?, token_id)", list(self.token_ids))
        if self.positions is not None:
            add("token BETWEEN ? AND ?", *self.positions)
        layers = range(sizes.num_layers) if self.layer is None else [self.layer]
        each = [found for layer in layers if (found := self._in_layer(layer, sizes))[0]]
        if each:
            add(
                f"({' OR '.join(condition for condition, _ in each)})", *(value for _, given in each for value in given)
            )
        return " AND ".join(conditions) or "true", values

    def where_prompt(self) -> tuple[str, list[Any]]:
        """The condition on a row of `prompts`, and its parameters."""
        conditions, values = ["problem IS NULL"], []
        if self.sources:
            conditions.append("list_contains(?, source)")
            values.append(list(self.sources))
        for column, value in self.others:
            conditions.append(f"{quoted(column)} = ?")
            values.append(value)
        return " AND ".join(conditions), values

    def _in_layer(self, layer: int, sizes: Sizes) -> tuple[str, list[Any]]:
        conditions, values = [], []
        if self.loops:
            conditions.append(f"loops[{layer + 1}] IN ({', '.join('?' * len(self.loops))})")
            values += self.loops
        if self.expert is not None:
            chosen = [f"experts[{layer * sizes.k + rank + 1}] = ?" for rank in range(sizes.k)]
            conditions.append(f"({' OR '.join(chosen)})")
            values += [self.expert] * sizes.k
        if self.difficulty is not None:
            conditions.append(f"difficulty[{layer + 1}] BETWEEN ? AND ?")
            values += self.difficulty
        return (f"({' AND '.join(conditions)})" if conditions else "", values)

    def _check(self, sizes: Sizes) -> None:
        for name, value, count in (("layer", self.layer, sizes.num_layers), ("expert", self.expert, sizes.num_experts)):
            if value is not None and not 0 <= value < count:
                raise ValueError(f"the {name} must be from 0 to {count - 1}, got {value}")
        if wrong := [each for each in self.loops if not 1 <= each <= sizes.max_loops]:
            raise ValueError(f"loops must be from 1 to {sizes.max_loops}, got {wrong[0]}")


ALL_TOKENS = TokenFilter()
"""Every token of the texts themselves."""


def quoted(column: str) -> str:
    """A name as an identifier of SQL, whatever it holds."""
    return '"' + column.replace('"', '""') + '"'


__all__ = ["ALL_TOKENS", "TokenFilter", "quoted"]
