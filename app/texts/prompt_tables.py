"""Tables of prompts (jsonl, csv, parquet): which columns can be read, and each row's name and text.

Every reader gives the columns and an iterator of rows (place, name of the prompt, its text or the PromptError that says
what is wrong with it). Rows are read as they are asked for, so that a limit on them limits the work.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from app.texts.prompts import PromptError, opening

TEXT_FIELDS = ("text", "prompt")
OTHER_TEXT_FIELDS = ("content", "sentence", "passage", "document", "question", "input", "instruction")
ID_FIELDS = ("id", "name", "key", "title")
MAX_COLUMNS = 1_000
"""All of them are sent to the browser, to be chosen from."""
DELIMITERS = ",;\t"

Rows = Iterator[tuple[str, str, str | PromptError]]


@dataclass(frozen=True)
class Columns:
    """Columns that can give the text and the name of a prompt, and those that were taken.

    Without a choice the text is the column called text, prompt or another word for it, else the first that can be;
    the name is the one called id, name, key or title, else the row's number (which an empty choice asks for).
    """

    texts: list[str]
    ids: list[str]
    text: str
    id: str | None

    @classmethod
    def choose(cls, name: str, texts: Iterable[str], ids: Iterable[str], text: str | None, id: str | None) -> "Columns":
        """The columns asked for, or the default ones. Raises PromptError if there is no such column."""
        texts, ids = [each for each in texts if each], [each for each in ids if each]
        if not texts:
            fields = " or ".join(TEXT_FIELDS)
            raise PromptError(f"{name} has no column of text; put the prompts into a column {fields}.")
        for wanted, known, what in ((text, texts, "text"), (id, ids, "id")):
            if wanted and wanted not in known:
                some = ", ".join(opening(each, 20) for each in known[:3]) + (", …" if len(known) > 3 else "")
                remedy = f"choose one of {some}" if known else "leave the choice away"
                raise PromptError(f"{name} has no {what} column {opening(wanted, 20)}; {remedy}.")
        text = (
            text
            or _called((*TEXT_FIELDS, *OTHER_TEXT_FIELDS), texts)
            or next((each for each in texts if each.lower() not in ID_FIELDS), texts[0])
        )
        if id is None:
            id = _called(ID_FIELDS, [each for each in ids if each != text])
        return cls(texts, ids, text, id or None)


def _called(names: Iterable[str], columns: list[str]) -> str | None:
    """The column called by the first of `names` that is there, whatever its case."""
    return next((column for name in names for column in columns if column.lower() == name), None)


def _check_columns(name: str, count: int) -> None:
    if count > MAX_COLUMNS:
        raise PromptError(f"{name} has more than {MAX_COLUMNS:,} columns; keep those of the texts and of their names.")


# jsonl ----------------------------------------------------------------------------------------------------------------


def jsonl_table(
    name: str, text: str, text_column: str | None, id_column: str | None, limit: int | None
) -> tuple[Columns | None, Rows]:
    """Columns and rows of JSON lines: the fields of the objects among the first `limit` lines. A string is a text."""
    texts: dict[str, None] = {}  # as sets that keep their order
    ids: dict[str, None] = {}
    for _, value in islice(_json_lines(text), limit):
        for field, content in value.items() if isinstance(value, dict) else ():
            if isinstance(content, str):
                texts[field] = None
            if isinstance(content, str | int):
                ids[field] = None
                _check_columns(name, len(ids))
    if not texts and text_column is None:
        return None, _json_rows(_json_lines(text), TEXT_FIELDS, None)
    columns = Columns.choose(name, texts, ids, text_column, id_column)
    fields = (columns.text,) if text_column else (columns.text, *TEXT_FIELDS)
    return columns, _json_rows(_json_lines(text), fields, columns.id)


def _json_lines(text: str) -> Iterator[tuple[str, object]]:
    """(place, value or the PromptError that says why there is none) of each line that is not blank."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            yield place, json.loads(line)
        except json.JSONDecodeError as error:
            yield place, PromptError(f"is not JSON ({error.msg} at column {error.colno}); correct or remove it.")
        except (ValueError, RecursionError):  # valid JSON that Python declines: a number or a nesting without measure
            yield place, PromptError("holds a number or a nesting that is too large; simplify it.")


def _json_rows(lines: Iterator[tuple[str, object]], fields: Iterable[str], id_field: str | None) -> Rows:
    for place, value in lines:
        found, called = value, place
        if isinstance(value, dict):
            found = next((value[field] for field in fields if isinstance(value.get(field), str)), None)
            identity = value.get(id_field)
            called = str(identity) if isinstance(identity, str | int) else place
        if not isinstance(found, str | PromptError):
            named = " or ".join(dict.fromkeys(opening(field, 20) for field in fields))
            found = PromptError(f"has no text field {named}; name it so.")
        yield place, called, found


# csv ------------------------------------------------------------------------------------------------------------------


def csv_table(
    name: str, text: str, text_column: str | None, id_column: str | None, limit: int | None
) -> tuple[Columns, Rows]:
    """Columns and rows of a csv file whose first line names the columns, divided by comma, semicolon or tab.

    A column can give the text if one of the first `limit` rows holds something else than a number in it. Read with
    Python's own csv module: a row that does not fit is named with its line, and the others stay.
    """
    header_line = text.lstrip("\n").partition("\n")[0]
    delimiter = max(DELIMITERS, key=header_line.count)
    try:
        header = next(csv.reader(io.StringIO(text), delimiter=delimiter, strict=True), None)
    except csv.Error as error:
        raise PromptError(f"{name} does not begin with the names of its columns ({error}); add such a line.") from error
    if not header:
        raise PromptError(f"{name} is empty: it needs a line with the names of its columns, and rows below it.")
    _check_columns(name, len(header))
    unlike: dict[str, None] = {}  # a set that keeps its order
    for number, each in enumerate(header, start=1):
        each = each.strip() or f"column {number}"
        while each in unlike:
            each = f"{each} ({number})"
        unlike[each] = None
    names = list(unlike)
    texts: dict[str, None] = {}
    rows, problem = 0, None
    for place, cells in islice(_csv_records(text, delimiter, len(names)), limit):
        rows += 1
        if isinstance(cells, PromptError):
            problem = problem or f"{name}, {place} {cells}"
        else:
            texts |= {column: None for column, cell in zip(names, cells, strict=True) if not _is_number(cell)}
    if not rows:
        raise PromptError(f"{name} has no rows below the names of its columns; add one row per prompt.")
    if problem and not texts:
        raise PromptError(problem)
    texts_in_order = [column for column in names if column in texts]
    columns = Columns.choose(name, texts_in_order, names, text_column, id_column)
    at, at_id = names.index(columns.text), names.index(columns.id) if columns.id else None
    return columns, _csv_rows(_csv_records(text, delimiter, len(names)), at, at_id)


def _csv_records(text: str, delimiter: str, width: int) -> Iterator[tuple[str, list[str] | PromptError]]:
    """(line where it begins, cells or what is wrong) of each row below the header that is not blank."""
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    next(reader)
    while True:
        place = f"line {reader.line_num + 1}"
        try:
            cells = next(reader, None)
        except csv.Error as error:
            remedy = "shorten it" if "field limit" in str(error) else "close its quotes, and double those inside cells"
            yield place, PromptError(f"is not csv ({error}); {remedy}.")
            continue
        if cells is None:
            return
        if 0 < len(cells) < width:
            yield (
                place,
                PromptError(f"has {len(cells)} of the {width} cells that the first line names; add the others."),
            )
        elif len(cells) > width:
            yield place, PromptError(f"has {len(cells)} cells where the first line names {width}; quote its cells.")
        elif cells:
            yield place, cells


def _csv_rows(records: Iterator[tuple[str, list[str] | PromptError]], at: int, at_id: int | None) -> Rows:
    for place, cells in records:
        if isinstance(cells, PromptError):
            yield place, place, cells
        else:
            yield place, cells[at_id] if at_id is not None else place, cells[at]


def _is_number(cell: str) -> bool:
    """Whether a cell can be no text: a number, or nothing."""
    if not cell.strip():
        return True
    try:
        float(cell)
    except ValueError:
        return False
    return True


# parquet --------------------------------------------------------------------------------------------------------------


def parquet_table(
    name: str, data: bytes, text_column: str | None, id_column: str | None, max_decoded_mb: int | None
) -> tuple[Columns, Rows]:
    """Columns and rows of a parquet file: its string columns can give the text, these and its integers the name.

    Only the columns taken are read, a few rows at a time, and only if the file says that they hold no more than
    `max_decoded_mb` (None: however much). Repeated values are kept once, as the file has them, and never spread out.
    """
    import pyarrow as pa
    from pyarrow import parquet
    from pyarrow import types as kinds

    damaged = PromptError(f"{name} is no whole parquet file; write or download it again.")
    try:
        schema = parquet.read_schema(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise damaged from error

    def is_text(kind: pa.DataType) -> bool:
        kind = kind.value_type if kinds.is_dictionary(kind) else kind
        return kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind)

    _check_columns(name, len(schema))
    times = Counter(schema.names)
    single = [field for field in schema if times[field.name] == 1]
    texts = [field.name for field in single if is_text(field.type)]
    ids = [field.name for field in single if is_text(field.type) or kinds.is_integer(field.type)]
    columns = Columns.choose(name, texts, ids, text_column, id_column)
    wanted = [columns.text] + ([columns.id] if columns.id else [])
    try:
        file = parquet.ParquetFile(io.BytesIO(data), read_dictionary=wanted)
    except (pa.ArrowException, OSError) as error:
        raise damaged from error
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    chunks = [group.column(i) for group in groups for i in range(group.num_columns)]
    decoded = sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema in wanted)
    if max_decoded_mb and decoded > max_decoded_mb * 2**20:
        raise PromptError(
            f"{name} unpacks to {decoded / 2**20:,.0f} MB of text; the limit is {max_decoded_mb} MB. Split it."
        )
    return columns, _parquet_rows(file, wanted, damaged)


def _parquet_rows(file, wanted: list[str], damaged: PromptError) -> Rows:
    import pyarrow as pa

    number = 0
    batches = file.iter_batches(batch_size=256, columns=wanted)
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError) as error:
            raise damaged from error
        if batch is None:
            return
        for row in range(batch.num_rows):
            number += 1
            place = f"row {number}"
            try:
                text, *identity = (batch.column(column)[row].as_py() for column in wanted)
            except UnicodeDecodeError:
                yield place, place, PromptError("is not UTF-8 text; write the file again with text as UTF-8.")
                continue
            called = str(identity[0]) if identity and identity[0] is not None else place
            yield place, called, PromptError("holds no text (null); fill or remove it.") if text is None else text


__all__ = ["Columns", "csv_table", "jsonl_table", "parquet_table"]
