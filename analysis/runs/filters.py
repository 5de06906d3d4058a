"""What of a run is looked at: a value that every panel, table and export of the run obeys."""

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from analysis.runs.chosen import ChosenTokens
from analysis.runs.schema import Sizes, expert_at


@dataclass(frozen=True)
class TokenFilter:
    """Which tokens of a run count. None, or an empty tuple, leaves out no token.

    Without a `layer`, a token counts if the conditions on loops, expert and difficulty hold together in any layer.
    """

    sources: tuple[str, ...] = ()
    """Files or datasets that the prompts came from."""
    others: tuple[tuple[str, str], ...] = ()
    """(column of the reader's file, value), all of which hold for the prompt."""
    in_prompt: str = ""
    """What the prompt's text has in it, without regard to upper and lower case."""
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
    among: ChosenTokens | None = None
    """Tokens that were chosen one by one, on a map for example: no others count."""

    def as_json(self) -> dict[str, Any]:
        """What is not at its default, as JSON has it; without `among`, which may be of 100,000 tokens."""
        given = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "among"}
        return {name: value for name, value in given.items() if value != getattr(TokenFilter, name)}

    def as_code(self) -> str:
        """The filter as Python, without the fields that are at their default."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        told = [f"{name}={value!r}" for name, value in given.items() if value != getattr(TokenFilter, name)]
        return f"TokenFilter({', '.join(told)})"

    @classmethod
    def from_json(cls, data: Any) -> "TokenFilter":
        """The filter that `as_json` gave; anybody may have written it. Raises ValueError if it is none."""
        if not isinstance(data, dict) or data.keys() - _READ.keys():
            raise ValueError("this is no filter of a run's tokens")
        try:
            return cls(**{name: _READ[name](value) for name, value in data.items()})
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError("this is no filter of a run's tokens") from error

    def fitting(self, sizes: Sizes, others: tuple[str, ...]) -> "TokenFilter":
        """The filter as far as `where` takes it for a run: without layers, experts and loops that its model does not
        have, and without columns that are not among its `others`."""
        return replace(
            self,
            others=tuple(each for each in self.others if each[0] in others),
            layer=self.layer if self.layer in range(sizes.num_layers) else None,
            loops=tuple(each for each in self.loops if 1 <= each <= sizes.max_loops),
            expert=self.expert if self.expert in range(sizes.num_experts) else None,
        )

    def where(self, sizes: Sizes) -> tuple[str, list[Any]]:
        """The condition on a row of `tokens` in SQL, and its parameters.

        Raises ValueError if it names a layer, expert or number of loops that the model does not have.
        """
        self._check(sizes)
        conditions, values = [] if self.special else ["NOT special"], []

        def add(condition: str, *given: Any) -> None:
            conditions.append(condition)
            values.extend(given)

        if self.sources or self.others or self.in_prompt:
            of_prompt, given = self.where_prompt()
            add(f"prompt IN (SELECT prompt FROM prompts WHERE {of_prompt})", *given)
        if self.text:
            add("contains(lower(text), lower(?))", self.text)
        if self.token_ids:
            add("list_contains(?, token_id)", list(self.token_ids))
        if self.among is not None:
            condition, given = self.among.where()
            add(condition, *given)
        if self.positions is not None:
            add("token BETWEEN ? AND ?", *self.positions)
        layers = range(sizes.num_layers) if self.layer is None else [self.layer]
        each = [found for layer in layers if (found := self._in_layer(layer, sizes))[0]]
        if each:
            add(
                f"({' OR '.join(condition for condition, _ in each)})", *(value for _, given in each for value in given)
            )
        return " AND ".join(conditions) or "true", values

    def of_prompts(self) -> "TokenFilter":
        """Its conditions on sources and columns alone."""
        return TokenFilter(sources=self.sources, others=self.others)

    def where_prompt(self) -> tuple[str, list[Any]]:
        """The condition on a row of `prompts`, and its parameters."""
        conditions, values = ["problem IS NULL"], []
        if self.sources:
            conditions.append("list_contains(?, source)")
            values.append(list(self.sources))
        if self.in_prompt:
            conditions.append("contains(lower(text), lower(?))")
            values.append(self.in_prompt)
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
            chosen = [f"{expert_at(layer, rank, sizes)} = ?" for rank in range(sizes.k)]
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


MOST_VALUES, LONGEST = 200, 1_000
"""Most values of a field of a filter that is given as JSON, and most characters of one."""


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**31:
        raise TypeError
    return value


def _words(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST:
        raise TypeError
    value.encode()  # half characters can neither be shown nor asked for
    return value


def _some(of: Any) -> Any:
    def read(value: Any) -> tuple:
        if not isinstance(value, list | tuple) or len(value) > MOST_VALUES:
            raise TypeError
        return tuple(map(of, value))

    return read


def _two(of: Any) -> Any:
    def read(value: Any) -> tuple:
        first, second = _some(of)(value)
        return first, second

    return read


def _share(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise TypeError
    return float(value)


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError
    return value


_READ = {
    "sources": _some(_words),
    "others": _some(_two(_words)),
    "in_prompt": _words,
    "text": _words,
    "token_ids": _some(_whole),
    "layer": _whole,
    "loops": _some(_whole),
    "expert": _whole,
    "difficulty": _two(_share),
    "positions": _two(_whole),
    "special": _flag,
}
"""Field of a filter -> what reads its value in JSON; TypeError or ValueError if it is none."""


def quoted(column: str) -> str:
    """A name as an identifier of SQL, whatever it holds."""
    return '"' + column.replace('"', '""') + '"'


__all__ = ["ALL_TOKENS", "TokenFilter", "quoted"]
