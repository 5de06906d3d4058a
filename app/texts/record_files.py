"""Files of records for a run, of any size: what is in them is read as it is asked for, a bounded part at a time.

The columns are found as `app.texts.prompt_files` finds those of an upload, in the first rows; its sentences say what is
wrong with a row.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from app.limits import MAX_PROMPTS, MAX_RECORD_CHARACTERS
from app.texts.hub_datasets import dataset_table, is_dataset
from app.texts.prompt_columns import Rows, Table
from app.texts.prompt_csv import csv_table
from app.texts.prompt_files import FILE_TYPES, TEXT_TYPES, Per
from app.texts.prompt_jsonl import jsonl_table
from app.texts.prompt_parquet import parquet_table
from app.texts.prompts import PromptError, check_text, opening
from app.texts.text_lines import PACKED, TextLines

SAMPLE = MAX_PROMPTS
"""First rows that show what the columns of a table hold."""
NAME_CHARACTERS = 200
_ENDINGS = re.compile(rf"\.({'|'.join(FILE_TYPES)})(?:\.({'|'.join(PACKED)}))?$", re.IGNORECASE)


@dataclass(frozen=True)
class Choices:
    """How files are read: what of a text file is one prompt, and which columns of a table give text and name."""

    per: Per | None = None
    text_column: str | None = None
    id_column: str | None = None
    max_decoded_mb: int | None = None
    """That Parquet may unpack to; None for the files of whoever runs this program."""


@dataclass(frozen=True)
class OpenFile:
    """A file whose columns are known."""

    table: Table
    share: Callable[[], float]
    """How much of it is read, 0..1."""


def can_be_read(path: Path) -> bool:
    """Whether the name of a file says that it holds records."""
    return _ENDINGS.search(path.name) is not None


def open_records(name: str, where: str, choices: Choices) -> OpenFile:
    """The records of a file, or of a dataset (`hf:...`, or a folder that `datasets` saved).

    Raises PromptError if nothing of it can be used, ColumnNeeded if a column has to be chosen.
    """
    if is_dataset(where):
        table, share = dataset_table(name, where, choices.text_column, choices.id_column, SAMPLE)
        return OpenFile(table, share)
    path = Path(where)
    found = _ENDINGS.search(path.name)
    if not found:
        known = f"{', '.join(FILE_TYPES[:-1])} or {FILE_TYPES[-1]}"
        raise PromptError(f"{name} is not a {known} file; save it as one of these.")
    kind, packed = found.group(1).lower(), found.group(2)
    if kind == "parquet":
        if packed:
            raise PromptError(f"{name} is a packed parquet file, which cannot be read in parts; unpack it.")
        return _parquet(name, path, choices)
    lines, size = TextLines(name, path), max(path.stat().st_size, 1)
    if kind in TEXT_TYPES:
        per = choices.per or ("line" if kind == "txt" else "paragraph")
        table = Table(None, _PARTS[per](lines))
    else:
        read = {"jsonl": jsonl_table, "csv": csv_table}[kind]
        table = read(name, lines, choices.text_column, choices.id_column, SAMPLE)
    return OpenFile(table, lambda: min(lines.bytes_read / size, 1.0))


def _parquet(name: str, path: Path, choices: Choices) -> OpenFile:
    read = choices.text_column, choices.id_column, choices.max_decoded_mb
    table = parquet_table(name, path, *read, MAX_RECORD_CHARACTERS)
    taken, total = 0, max(_rows_of_parquet(path), 1)

    def rows() -> Rows:
        nonlocal taken
        for row in table.rows:
            taken += 1
            yield row

    counted = Table(table.columns, rows(), table.notes, table.others)
    return OpenFile(counted, lambda: min(taken / total, 1.0))


def _rows_of_parquet(path: Path) -> int:
    from pyarrow import parquet

    return parquet.read_metadata(path).num_rows


def _by_line(lines: Iterable[str | PromptError]) -> Rows:
    for number, line in enumerate(lines, start=1):
        if isinstance(line, PromptError) or line.strip():
            yield f"line {number}", "", line if isinstance(line, PromptError) else line.removesuffix("\n"), []


def _by_paragraph(lines: Iterable[str | PromptError]) -> Rows:
    """Blocks of lines between blank lines."""
    for number, block in enumerate(_blocks(lines), start=1):
        yield f"paragraph {number}", "", _as_one(block), []


def _blocks(lines: Iterable[str | PromptError]) -> Iterator[list[str | PromptError]]:
    block: list[str | PromptError] = []
    for line in lines:
        if isinstance(line, PromptError) or line.strip():
            block.append(line)
            _keep_small(block)
        elif block:
            yield block
            block = []
    if block:
        yield block


def _whole(lines: Iterable[str | PromptError]) -> Rows:
    block: list[str | PromptError] = []
    for line in lines:
        block.append(line)
        _keep_small(block)
    if any(isinstance(line, PromptError) or line.strip() for line in block):
        yield "the whole text", "", _as_one(block), []


def _keep_small(block: list[str | PromptError]) -> None:
    """Of what is too long for a text, or cannot be read, no more is kept than says so."""
    if isinstance(block[0], PromptError):
        del block[1:]
    elif isinstance(block[-1], PromptError):
        del block[:-1]
    elif len(block) % 1024 == 0:
        joined = "".join(block)
        block[:] = [joined if len(joined) <= MAX_RECORD_CHARACTERS else joined[: MAX_RECORD_CHARACTERS + 1]]


def _as_one(block: list[str | PromptError]) -> str | PromptError:
    bad = block[0] if isinstance(block[0], PromptError) else None
    return bad or "".join(block).strip("\n")


_PARTS = {"line": _by_line, "paragraph": _by_paragraph, "file": _whole}


def checked(text: str) -> str:
    """The text of a record, unchanged. Raises PromptError, with the remedy for a file, if it cannot be traced."""
    if not text.strip():
        raise PromptError("holds an empty text; fill or remove it.")
    if len(text) > MAX_RECORD_CHARACTERS:
        raise PromptError(f"has {len(text):,} characters, and the limit is {MAX_RECORD_CHARACTERS:,}; divide it.")
    return check_text(text, MAX_RECORD_CHARACTERS)


def shown(name: str) -> str:
    """The name of a prompt as a run keeps it."""
    return opening(name, NAME_CHARACTERS)


__all__ = ["Choices", "OpenFile", "can_be_read", "checked", "open_records", "shown"]
