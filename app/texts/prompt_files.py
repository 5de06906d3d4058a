"""Files and pasted lists of prompts: what is in them, and one sentence for each part that cannot be used."""

import io
import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from app.limits import MAX_DECODED_MB, MAX_FILE_MB, MAX_PROMPTS
from app.texts.prompt_columns import Columns, Rows, Table
from app.texts.prompt_csv import csv_table
from app.texts.prompt_jsonl import jsonl_table
from app.texts.prompt_parquet import parquet_table
from app.texts.prompts import Prompt, PromptError, check_text, opening

TEXT_TYPES = ("txt", "md")
TABLE_TYPES = ("jsonl", "csv", "parquet")
FILE_TYPES = (*TEXT_TYPES, *TABLE_TYPES)
Per = Literal["line", "paragraph", "file"]
"""What of a text file is one prompt."""

_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")


@dataclass(frozen=True)
class PromptList:
    """The prompts of a file or a pasted list."""

    name: str
    prompts: list[Prompt]
    problems: list[str]
    """One sentence for each row that had to be left out."""
    notes: list[str]
    """What else the reader should know: rows beyond the limit, ids that occur twice."""
    columns: Columns | None = None
    """For tables: which columns could be read, and which were."""
    others: dict[str, list[str]] = field(default_factory=dict)
    """For tables: name of another column, such as a category -> its cell beside every prompt."""


def read_prompt_file(
    name: str,
    data: bytes,
    *,
    per: Per | None = None,
    text_column: str | None = None,
    id_column: str | None = None,
    max_prompts: int | None = MAX_PROMPTS,
    max_mb: int | None = MAX_FILE_MB,
) -> PromptList:
    """Prompts of an uploaded file.

    txt and md: one prompt `per` line (default of txt), paragraph (blocks between blank lines; default of md) or file.
    jsonl: one per line, a JSON string or an object; csv: one per row below the line with the names of the columns, if
    there is such a line; parquet: one per row. Text and name of a prompt come from `text_column` and `id_column`;
    without them from the column that is called so (see `Columns`); an empty `id_column` names them by their place.

    `max_prompts` are read; a file of more than `max_mb` MB, or parquet that unpacks to more than MAX_DECODED_MB, is
    refused. None is no limit, of what parquet unpacks to neither: for the files of whoever runs this program.

    Tables from strangers are read by `app.server.uploads`, which calls this in a process of its own: a damaged file
    can abort the process that reads it.

    Raises PromptError if the file as a whole cannot be used (ColumnNeeded if the reader has to choose a column); a row
    that cannot is left out and named in `problems`.
    """
    kind, shown = name.rpartition(".")[2].lower(), opening(name, 40)
    if kind not in FILE_TYPES:
        known = f"{', '.join(FILE_TYPES[:-1])} or {FILE_TYPES[-1]}"
        raise PromptError(f"{shown} is not a {known} file; save it as one of these.")
    if max_mb is not None and len(data) > max_mb * 2**20:
        raise PromptError(f"{shown} has {len(data) / 2**20:.1f} MB; the limit is {max_mb} MB. Split it.")
    if kind in TEXT_TYPES:
        return read_prompt_text(
            shown, _decode(shown, data), per=per or ("line" if kind == "txt" else "paragraph"), max_prompts=max_prompts
        )
    if kind == "parquet":
        table = parquet_table(shown, data, text_column, id_column, None if max_mb is None else MAX_DECODED_MB)
    else:
        read = {"jsonl": jsonl_table, "csv": csv_table}[kind]
        lines = io.StringIO(_decode(shown, data)).readlines()
        table = read(shown, lines, text_column, id_column, max_prompts)
    return _prompt_list(shown, table.rows, max_prompts, table)


def read_prompt_text(name: str, text: str, *, per: Per, max_prompts: int | None = MAX_PROMPTS) -> PromptList:
    """Prompts of a text that was read or pasted, one per line, paragraph or file; `name` stands in its messages."""
    return _prompt_list(name, _parts(text.replace("\r\n", "\n"), per), max_prompts)


def _prompt_list(name: str, rows: Rows, limit: int | None, table: Table | None = None) -> PromptList:
    """The list of the first `limit` rows; what is told of a table stands before what is told of the list."""
    beside: list[list[str]] = []
    prompts: list[Prompt] = []
    problems: list[str] = []
    taken: Counter[str] = Counter()
    for place, called, content, cells in islice(rows, limit):
        if isinstance(content, PromptError):
            problems.append(f"{name}, {place} {content}")
            continue
        try:
            text = check_text(content)
        except PromptError as error:
            problems.append(f"{name}, {place}: {error}")
            continue
        called = opening(called) or place
        taken[called] += 1
        prompts.append(Prompt(f"{called} ({taken[called]})" if taken[called] > 1 else called, text))
        beside.append(cells)
    if not prompts:
        raise PromptError(problems[0] if problems else f"{name} is empty: it needs at least one line of text.")
    notes = [*table.notes] if table else []
    if limit and next(rows, None):
        notes.append(f"{name} has more than {limit:,} rows, and only the first {limit:,} are read. Split it.")
    if twice := sum(count > 1 for count in taken.values()):
        notes.append(f"{name} uses {twice} name{'s' * (twice > 1)} more than once; the later rows have a number added.")
    if table is None:
        return PromptList(name, prompts, problems, notes)
    others = {column: [cells[at] for cells in beside] for at, column in enumerate(table.others)}
    return PromptList(name, prompts, problems, notes, table.columns, others)


def _decode(name: str, data: bytes) -> str:
    binary = PromptError(f"{name} is a binary file (it holds NUL bytes), not text; save its text as UTF-8.")
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    if b"\0" in data and not utf16:
        raise binary
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        bad = data[error.start]
        raise PromptError(
            f"{name} is not {'UTF-16' if utf16 else 'UTF-8'} text (byte 0x{bad:02X} at position {error.start:,}); save "
            "it as UTF-8."
        ) from error
    if "\0" in text:
        raise binary
    return text if "\n" in text else text.replace("\r", "\n")  # the line ends of old Macs, and of Excel on new ones


def _parts(text: str, per: Per) -> Rows:
    """Each line or paragraph that is not blank, named by its place."""
    whole = {"line": text.split("\n"), "paragraph": _BLANK_LINES.split(text.strip()), "file": [text]}
    for number, part in enumerate(whole[per], start=1):
        if part.strip():
            place = "the whole text" if per == "file" else f"{per} {number}"
            yield place, place, part.strip("\n"), []
