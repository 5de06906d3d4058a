"""Columns of a table of prompts: what each holds, and which of them give the text and the name of a prompt.

A column that holds names, ids or numbers is never taken as the text unless the reader asks for it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from app.limits import MAX_CELL, MAX_COLUMNS, MAX_OTHER_COLUMNS
from app.texts.prompts import PromptError, opening

TEXT_FIELDS = ("text", "prompt")
OTHER_TEXT_FIELDS = ("content", "sentence", "passage", "document", "question", "input", "instruction")
ID_FIELDS = ("id", "name", "key", "title")
CHAT_FIELDS = ("messages", "conversations", "conversation", "chat")
CODE_CHARACTERS = 100
"""The longest id that is known as one."""
# Last words of names of columns that tell rows apart or sort them, rather than hold what they say.
_NAMING = frozenset(
    (
        *("id", "ids", "uuid", "guid", "key", "name", "title", "index", "idx", "hash", "sha", "sha1", "sha256", "md5"),
        *("url", "uri", "path", "file", "filename", "label", "split", "language", "lang", "role", "date", "time"),
        *("timestamp", "at", "model", "source", "category", "tag", "type", "author", "user", "domain", "status"),
    )
)
_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])|[^\W_]+")
_CODE = re.compile(r"[\w.:/@#-]*\d[\w.:/@#-]*|\d{4}-\d\d-\d\d \d\d?:\d\d[\w.:+ -]*")

Kind = Literal["text", "codes", "numbers", "nothing", "nested"]
"""What a column holds: text; words with a digit or times, as ids are; numbers; nothing; lists, objects or bytes."""
Rows = Iterator[tuple[str, str, str | PromptError, list[str]]]
"""(place, name of the prompt, its text or the PromptError that says what is wrong with it, its cells in the other
columns) of each row."""


class ColumnNeeded(PromptError):
    """No column is surely the text: the reader has to choose one of `names`."""

    def __init__(self, sentence: str, names: list[str]):
        super().__init__(sentence)
        self.names = names


@dataclass(frozen=True)
class Columns:
    """Columns that can give the text or the name of a prompt, and those that were taken.

    Without a choice the text is the column called text, prompt or another word for it, else the first that holds text
    and is not called as ids and names are; the name is the one called id, name, key or title, else the row's number
    (which an empty choice asks for).
    """

    names: list[str]
    text: str
    id: str | None

    @classmethod
    def choose(cls, name: str, kinds: Mapping[str, Kind], text: str | None, id: str | None) -> "Columns":
        """The columns asked for, or the default ones.

        Raises PromptError if there is no such column, and ColumnNeeded if none is surely the text.
        """
        names = [each for each, kind in kinds.items() if each and kind != "nested"]
        for wanted in (text, id):
            if wanted and wanted not in names:
                raise PromptError(_why_not(name, wanted, kinds, names))
        text = text or _default_text(name, kinds, names)
        if id is None:
            id = next(called(ID_FIELDS, [each for each in names if each != text]), None)
        return cls(names, text, id or None)


@dataclass(frozen=True)
class Table:
    """A table of prompts. Rows are read as they are asked for, so that a limit on them limits the work."""

    columns: Columns | None
    """None for JSON lines that are strings."""
    rows: Rows
    notes: list[str] = field(default_factory=list)
    """What the reader should know about how it was read."""
    others: list[str] = field(default_factory=list)
    """Columns beside text and name that are kept (`other_columns`), in the order of the cells of a row."""


def called(fields: Iterable[str], columns: Iterable[str]) -> Iterator[str]:
    """The columns called by one of `fields`, whatever their case; by the first field first."""
    return (column for field in fields for column in columns if column.strip().lower() == field)


def names_known(columns: Iterable[str]) -> bool:
    """Whether one of the columns is called as those of texts and of their names are."""
    return not {*TEXT_FIELDS, *OTHER_TEXT_FIELDS, *ID_FIELDS}.isdisjoint(each.strip().lower() for each in columns)


def check_count(name: str, count: int) -> None:
    """PromptError if a table has more columns than anybody can choose from."""
    if count > MAX_COLUMNS:
        raise PromptError(
            f"{name} has more than {MAX_COLUMNS:,} columns; keep only the columns with the texts and their names."
        )


def other_columns(columns: Columns, kinds: Mapping[str, Kind]) -> list[str]:
    """The first few columns beside text and name that hold anything: a category, a score, a language."""
    taken = (columns.text, columns.id)
    return [each for each in columns.names if each not in taken and kinds[each] != "nothing"][:MAX_OTHER_COLUMNS]


def shown_cell(value: str) -> str:
    """A cell of another column as it is kept: on one line, and not long."""
    return opening(value, MAX_CELL)


def is_code(value: str) -> bool:
    """Whether a value is one word with a digit in it, as ids, hashes, paths and dates are; or a date with a time."""
    return len(value) <= CODE_CHARACTERS and _CODE.fullmatch(value.strip()) is not None


def names_rows(column: str) -> bool:
    """Whether a column is called as those are that tell rows apart: id, custom_id, chatId, file name, url."""
    words = [word.lower() for word in _WORDS.findall(column)]
    return bool(words) and words[-1] in _NAMING


def some(names: list[str]) -> str:
    """The first few names, in a sentence."""
    return ", ".join(opening(each, 20) for each in names[:3]) + (", …" if len(names) > 3 else "")


def _default_text(name: str, kinds: Mapping[str, Kind], names: list[str]) -> str:
    for column in called(TEXT_FIELDS, names):
        if kinds[column] in ("text", "codes"):
            return column
    for column in called(OTHER_TEXT_FIELDS, names):
        if kinds[column] == "text":
            return column
    if meant := next(called(TEXT_FIELDS, kinds), None):  # it is there, and is not what it is called
        if kinds[meant] == "nested":
            raise ColumnNeeded(_why_not(name, meant, kinds, names), names)
        holds = "only numbers; choose it if you mean these" if kinds[meant] == "numbers" else "nothing; fill it"
        sentence = f"The column {opening(meant, 20)} of {name} holds {holds}, or choose another one."
        raise ColumnNeeded(sentence, names)
    if chat := next((each for each in called(CHAT_FIELDS, kinds) if kinds[each] == "nested"), None):
        raise ColumnNeeded(_why_not(name, chat, kinds, names), names)
    for column in names:
        if kinds[column] == "text" and not names_rows(column):
            return column
    fields = " or ".join(TEXT_FIELDS)
    if not names:
        raise PromptError(f"{name} has no column with text; put the prompts into a column named {fields}.")
    sentence = (
        f"It is not clear which column of {name} holds the text ({some(names)}); choose one, or name it {fields}."
    )
    raise ColumnNeeded(sentence, names)


def _why_not(name: str, wanted: str, kinds: Mapping[str, Kind], names: list[str]) -> str:
    """Why a column cannot be read."""
    shown = opening(wanted, 20)
    if wanted not in kinds:
        remedy = f"choose one of {some(names)}" if names else "leave out the choice"
        return f"{name} has no column {shown}; {remedy}."
    if wanted.lower() in CHAT_FIELDS:
        return f"{name} holds chats ({shown}), not texts; write each chat as one text into a column named text."
    return f"The column {shown} of {name} holds lists, objects or bytes; write its texts into a column of plain text."


__all__ = [
    "TEXT_FIELDS", "ColumnNeeded", "Columns", "Kind", "Rows", "Table", "called", "check_count", "is_code",
    "names_known", "names_rows", "other_columns", "shown_cell", "some",
]  # fmt: skip
