"""JSON lines of prompts: a string or an object on each line."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from app.texts.prompt_columns import (
    TEXT_FIELDS,
    Columns,
    Kind,
    Rows,
    Table,
    check_count,
    is_code,
    other_columns,
    shown_cell,
)
from app.texts.prompts import PromptError, opening


class Number(str):
    """A number, as the file writes it."""


def jsonl_table(
    name: str, lines: Iterable[str | PromptError], text_column: str | None, id_column: str | None, limit: int | None
) -> Table:
    """Columns and rows of JSON lines, which are gone through more than once. A string is a text."""
    return table_of_values(name, lambda: _json_lines(lines), text_column, id_column, limit)


def table_of_values(
    name: str,
    values: Callable[[], Iterator[tuple[str, object]]],
    text_column: str | None,
    id_column: str | None,
    limit: int | None,
) -> Table:
    """Columns and rows of values, each with its place: the fields of the objects among the first `limit` ones.

    Numbers are a `Number`; a PromptError stands for a value that cannot be read.
    """
    kinds: dict[str, Kind] = {}
    strings = False
    for _, value in islice(values(), limit):
        strings |= _is_text(value)
        for field, content in value.items() if isinstance(value, dict) else ():
            kinds[field] = _either(kinds.get(field, "nothing"), _kind(content))
        check_count(name, len(kinds))
    if not kinds:
        return Table(None, _json_rows(values(), TEXT_FIELDS, None, any_kind=False))
    try:
        columns = Columns.choose(name, kinds, text_column, id_column)
    except PromptError:
        if not strings or text_column:
            raise
        return Table(None, _json_rows(values(), TEXT_FIELDS, None, any_kind=False))
    fields = (columns.text,) if text_column else tuple(dict.fromkeys((columns.text, *TEXT_FIELDS)))
    others = other_columns(columns, kinds)
    rows = _json_rows(values(), fields, columns.id, others, any_kind=bool(text_column))
    return Table(columns, rows, others=others)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not isinstance(value, Number)


def _kind(value: object) -> Kind:
    """What one value makes of its column."""
    if value is None or value == "":
        return "nothing"
    if isinstance(value, Number | bool):
        return "numbers"
    if isinstance(value, str):
        return "codes" if is_code(value) else "text"
    return "nested"


def _either(first: Kind, second: Kind) -> Kind:
    """What a column holds that holds both."""
    strongest: tuple[Kind, ...] = ("text", "codes", "nested", "numbers", "nothing")
    return min(first, second, key=strongest.index)


def _json_lines(lines: Iterable[str | PromptError]) -> Iterator[tuple[str, object]]:
    """(place, value or the PromptError that says why there is none) of each line that is not blank."""
    for number, line in enumerate(lines, start=1):
        place = f"line {number}"
        if isinstance(line, PromptError):
            yield place, line
            continue
        line = line.removesuffix("\n")
        if not line.strip():
            continue
        try:
            yield place, json.loads(line, parse_int=Number, parse_float=Number, parse_constant=Number)
        except json.JSONDecodeError as error:
            yield place, PromptError(f"is not JSON ({error.msg} at column {error.colno}); correct or remove it.")
        except RecursionError:  # valid JSON that Python declines
            yield place, PromptError("is nested too deeply; simplify it.")


def _json_rows(
    lines: Iterator[tuple[str, object]],
    fields: Iterable[str],
    id_field: str | None,
    others: Sequence[str] = (),
    *,
    any_kind: bool,
) -> Rows:
    """The rows; where `any_kind` is wanted, a number is a text too."""
    for place, value in lines:
        if isinstance(value, PromptError):
            yield place, place, value, []
            continue
        found, where, identity, kept = value, "", None, [""] * len(others)
        if isinstance(value, dict):
            identity, kept = value.get(id_field), [shown_cell(_label(value.get(each))) for each in others]
            there = [field for field in fields if field in value]
            if not there:
                named = " or ".join(opening(field, 20) for field in fields)
                yield place, place, PromptError(f"has no field {named}; give its text that name."), []
                continue
            taken = next((field for field in there if _is_text(value[field])), there[0])
            found, where = value[taken], f" in the field {opening(taken, 20)}"
        yield place, _label(identity) or place, _text(found, where, any_kind), kept


def _label(value: object) -> str:
    """A string, number or truth as text; nothing for the rest."""
    return str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, str) else ""


def _text(value: object, where: str, any_kind: bool) -> str | PromptError:
    if _is_text(value) or (any_kind and isinstance(value, Number | bool)):
        return _label(value)
    if value is None:
        return PromptError(f"holds nothing (null){where}; fill or remove it.")
    what = "a number" if isinstance(value, Number | bool) else "a list" if isinstance(value, list) else "an object"
    return PromptError(f"holds {what}{where}; put a text there, in quotes.")


__all__ = ["Number", "jsonl_table", "table_of_values"]
