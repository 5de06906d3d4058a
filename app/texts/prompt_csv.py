"""Tables of prompts as text: cells divided by a comma, semicolon, tab or upright stroke, which nobody has to name."""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from app.limits import MAX_RECORD_CHARACTERS
from app.texts.prompt_columns import (
    Columns,
    Kind,
    Rows,
    Table,
    check_count,
    is_code,
    names_known,
    other_columns,
    shown_cell,
    some,
)
from app.texts.prompts import PromptError

DELIMITERS = ",;\t|"
NO_DELIMITER = "\x1f"
"""For a table of one column: stands in no text."""
csv.field_size_limit(MAX_RECORD_CHARACTERS)  # of a cell, in all of this program; the csv module's own is 131,072
SAMPLE_ROWS = 200
"""Rows that show how a file is divided."""
MOST_WORDS = 3
"""Words in the name of a column; a first line with longer cells is a row like the others."""
_EXCEL = re.compile(r'"?sep=([^\w\s"]|\t)"?\r?(?:\n|$)', re.IGNORECASE)

Lines = Iterable[str | PromptError]
"""With their ends; one that cannot be read is a PromptError."""
Record = tuple[str, list[str] | PromptError]
"""(line where a row begins, its cells or what is wrong)."""


def _why_not_csv(error: csv.Error) -> str:
    """What is wrong with a row, and the remedy: of quotes the library names the delimiter, which may be invisible."""
    if "field limit" in str(error):
        return f"{error}); shorten it"
    wrong = "text after a closing quote" if "expected after" in str(error) else str(error)
    return f"{wrong}); close its quotes, and double the quotes inside cells"


@dataclass(frozen=True)
class Layout:
    """How cells are divided."""

    delimiter: str
    spaces: bool = False
    """Spaces that follow a delimiter are no part of a cell; where a quote comes after them."""
    lines_before: int = 0
    """Lines before the first row: the one in which Excel names the delimiter."""

    def records(self, lines: Lines) -> Iterator[Record]:
        """All rows that are not blank, after the lines before the first one."""
        source = _Source(islice(lines, self.lines_before, None))
        reader = csv.reader(source, delimiter=self.delimiter, skipinitialspace=self.spaces, strict=True)
        while True:
            place = f"line {source.number + 1 + self.lines_before}"
            try:
                cells = next(reader, None)
            except PromptError as error:
                yield f"line {source.number + self.lines_before}", error
                continue
            except csv.Error as error:
                yield place, PromptError(f"is not csv ({_why_not_csv(error)}.")
                continue
            if cells is None:
                return
            if any(cell.strip() for cell in cells):
                yield place, cells


class _Source:
    """Lines as csv.reader takes them: one that cannot be read is raised, and the next one can be asked for after it."""

    def __init__(self, lines: Iterator[str | PromptError]):
        self._lines, self.number = lines, 0

    def __iter__(self) -> "_Source":
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        if isinstance(line, PromptError):
            raise line
        return line


def csv_table(name: str, lines: Lines, text_column: str | None, id_column: str | None, limit: int | None) -> Table:
    """Columns and rows of a csv file, whose lines are gone through more than once.

    What divides its cells is what gives its rows one length, outside quotes. The first line names the columns; a first
    line of sentences or numbers, without a name that is known, is a row. A column holds text if one of the first
    `limit` rows holds something else than a number or an id in it. A row that does not fit is named with its line, and
    the others stay.
    """
    lines_before, delimiters = 0, DELIMITERS
    head = next(iter(lines), "")
    if isinstance(head, str) and (named := _EXCEL.match(head)):
        lines_before, delimiters = 1, named.group(1)
    layout = _layout(lines, delimiters, lines_before)
    place, first = next(layout.records(lines), (None, None))
    if isinstance(first, PromptError):
        raise PromptError(f"{name}, {place} {first}")
    if first is None:
        raise PromptError(f"{name} is empty: it needs a line with column names and rows below it.")
    check_count(name, len(first))
    headed = text_column in first or _names_columns(first)
    names = _names(first if headed else [""] * len(first))

    def rows() -> Iterator[Record]:
        records = islice(layout.records(lines), 1 if headed else 0, None)
        return ((place, _fitting(cells, len(names))) for place, cells in records)

    kinds, problem = _kinds(names, islice(rows(), limit))
    if kinds is None:
        sentence = f"{name}, {problem}" if problem else f"{name} has no rows below its column names; add some."
        raise PromptError(sentence)
    columns = Columns.choose(name, kinds, text_column, id_column)
    notes = []
    if not headed:
        notes = [f"The first line of {name} does not look like column names, so it is read as a prompt."]
    elif text_column is None and not names_known(names):
        notes = [f"The first line of {name} is read as column names ({some(names)}), not as a prompt."]
    others = other_columns(columns, kinds)
    return Table(columns, _prompts(rows(), names, columns, others), notes, others)


def _layout(lines: Lines, delimiters: str, lines_before: int) -> Layout:
    """The layout that gives most rows the length of the first one; one column if none gives a second."""
    best, most = None, (False, 0, 0)
    for delimiter in delimiters:
        layout = Layout(delimiter, False, lines_before)
        sample = list(islice(layout.records(lines), SAMPLE_ROWS))
        if not sample:
            return layout  # nothing but delimiters
        cells = [cell for _, row in sample if not isinstance(row, PromptError) for cell in row]
        tried = [(layout, sample)]
        if any(cell.startswith(" ") and cell.lstrip(" ").startswith('"') for cell in cells):
            layout = Layout(delimiter, True, lines_before)
            tried.insert(0, (layout, list(islice(layout.records(lines), SAMPLE_ROWS))))
        for layout, sample in tried:
            if isinstance(sample[0][1], PromptError) or (width := len(sample[0][1])) < 2:
                continue
            like_first = sum(not isinstance(row, PromptError) and len(row) == width for _, row in sample[1:])
            known = names_known(sample[0][1])
            if (like_first or known or len(sample) == 1) and (like_first > 0, like_first, width) > most:
                best, most = layout, (like_first > 0, like_first, width)
    return best or Layout(NO_DELIMITER, False, lines_before)


def _names_columns(cells: list[str]) -> bool:
    """Whether a first line names columns, rather than being a row."""
    if names_known(cells):
        return True
    return not any(
        cell.strip() and (is_number(cell) or len(cell.split()) > MOST_WORDS or cell.rstrip()[-1] in ".?!…。？！")
        for cell in cells
    )


def _names(header: list[str]) -> list[str]:
    """A name of its own for every column."""
    unlike: dict[str, None] = {}  # a set that keeps its order
    for number, each in enumerate(header, start=1):
        each = each.strip() or f"column {number}"
        while each in unlike:
            each = f"{each} ({number})"
        unlike[each] = None
    return list(unlike)


def _kinds(names: list[str], rows: Iterator[Record]) -> tuple[dict[str, Kind] | None, str | None]:
    """What each column holds, None if no row fits; and what is wrong with the first row that does not."""
    kinds: dict[str, Kind] = {}
    problem = None
    for place, cells in rows:
        if isinstance(cells, PromptError):
            problem = problem or f"{place} {cells}"
            continue
        kinds = kinds or dict.fromkeys(names, "nothing")
        for column, cell in zip(names, cells, strict=True):
            if kinds[column] != "text" and cell.strip():
                if not is_number(cell):
                    kinds[column] = "codes" if is_code(cell) else "text"
                elif kinds[column] == "nothing":
                    kinds[column] = "numbers"
    return kinds or None, problem


def _fitting(cells: list[str] | PromptError, width: int) -> list[str] | PromptError:
    if isinstance(cells, PromptError) or len(cells) == width:
        return cells
    if len(cells) < width:
        return PromptError(
            f"has {len(cells)} cell{'s' * (len(cells) != 1)}, but the first line has {width}; add the missing ones."
        )
    return PromptError(f"has {len(cells)} cells, but the first line has {width}; quote its cells.")


def _prompts(rows: Iterator[Record], names: list[str], columns: Columns, others: list[str]) -> Rows:
    at, at_id = names.index(columns.text), names.index(columns.id) if columns.id else None
    at_others = [names.index(each) for each in others]
    for place, cells in rows:
        if isinstance(cells, PromptError):
            yield place, place, cells, []
        else:
            kept = [shown_cell(cells[each]) for each in at_others]
            yield place, cells[at_id] if at_id is not None else place, cells[at], kept


def is_number(cell: str) -> bool:
    """Whether a cell holds a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


__all__ = ["csv_table"]
