"""Parquet tables of prompts. Damaged files make pyarrow abort: what strangers send is read in a process of its own.

(`app.server.uploads` does that.) What a file says about its own sizes is not believed; what it unpacks to is measured.
"""

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from app.limits import MAX_CHARACTERS
from app.texts.prompt_columns import (
    TEXT_FIELDS,
    Columns,
    Kind,
    Rows,
    Table,
    called,
    check_count,
    is_code,
    other_columns,
    shown_cell,
)
from app.texts.prompts import NAME_CHARACTERS, PromptError, too_long

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet

ROWS_AT_A_TIME = 256
"""A text that takes more in UTF-8 has too many characters, whichever they are."""
NAME_BYTES = 16 * NAME_CHARACTERS
"""The start of a name is all that is shown of it."""


def parquet_table(
    name: str,
    data: bytes | Path,
    text_column: str | None,
    id_column: str | None,
    max_decoded_mb: int | None,
    longest: int = MAX_CHARACTERS,
) -> Table:
    """Columns and rows of a parquet file, of texts of at most `longest` characters.

    Only the columns taken are read, a few rows at a time, and only while they unpack to no more than `max_decoded_mb`
    (None: however much). Repeated values are kept once, as the file has them, and never spread out.

    Raises PromptError, here or at a row, and MemoryError.
    """
    from pyarrow import parquet

    with _damage_told(name):
        schema = parquet.read_schema(_stream(data))
        check_count(name, len(schema))
        times = Counter(schema.names)
        kinds = {field.name: _kind(field.type) for field in schema if times[field.name] == 1}
        texts = [column for column, kind in kinds.items() if kind == "text"]
        file = parquet.ParquetFile(_stream(data), read_dictionary=texts)
        if not file.metadata.num_rows:
            raise PromptError(f"{name} has no rows; add some.")
        if text_column is None:
            kinds |= _kinds_by_values(file, [] if any(called(TEXT_FIELDS, texts)) else texts)
    columns = Columns.choose(name, kinds, text_column, id_column)
    others = other_columns(columns, kinds)
    return Table(columns, _rows(name, file, columns, others, max_decoded_mb, longest), others=others)


def _stream(data: bytes | Path) -> BinaryIO:
    return io.BytesIO(data) if isinstance(data, bytes) else data.open("rb")


@contextmanager
def _damage_told(name: str) -> Iterator[None]:
    """Whatever pyarrow makes of damaged bytes becomes one sentence; that there is no memory left does not."""
    import pyarrow as pa

    try:
        yield
    except (MemoryError, PromptError):
        raise
    except (pa.ArrowException, OSError, LookupError, UnicodeDecodeError, OverflowError) as error:
        raise PromptError(f"{name} is not a complete parquet file; save or download it again.") from error


def _kind(kind: "pa.DataType") -> Kind:
    """What a column of this type can hold."""
    from pyarrow import types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text"
    if types.is_null(kind):
        return "nothing"
    single = types.is_primitive(kind) or types.is_decimal(kind)  # numbers, truths, dates and times
    return "numbers" if single else "nested"


def _kinds_by_values(file: "parquet.ParquetFile", texts: list[str]) -> dict[str, Kind]:
    """What columns of strings hold, by their first rows: to find the text where none is called so."""
    batch = next(_batches(file, texts), None) if texts else None
    found: dict[str, Kind] = {}
    for column in texts if batch is not None and batch.num_rows else ():
        cells = _Cells(batch.column(column))
        shown = [start for place in set(cells.places) if (start := cells.start(place).strip())]
        found[column] = "nothing" if not shown else "codes" if all(map(is_code, shown)) else "text"
    return found


def _batches(file: "parquet.ParquetFile", columns: list[str]) -> Iterator["pa.RecordBatch"]:
    return file.iter_batches(batch_size=ROWS_AT_A_TIME, columns=columns, use_threads=False)


def _rows(
    name: str,
    file: "parquet.ParquetFile",
    columns: Columns,
    others: list[str],
    max_decoded_mb: int | None,
    longest: int,
) -> Rows:
    wanted = [columns.text] + ([columns.id] if columns.id else [])
    most = None if max_decoded_mb is None else max_decoded_mb * 2**20
    too_much = PromptError(f"{name} unpacks to more than the limit of {max_decoded_mb} MB of text. Split it.")
    number = taken = 0
    with _damage_told(name):
        for batch, beside in zip(_batches(file, wanted), _cells_of_others(file, others, most), strict=False):
            if most is not None and batch.nbytes > most:
                raise too_much
            texts = _Cells(batch.column(columns.text))
            names = _Cells(batch.column(columns.id)) if columns.id else None
            known: dict[int | None, str | PromptError] = {}  # texts of this batch, each made once
            for row in range(batch.num_rows):
                number += 1
                value = texts.places[row]
                if value not in known:
                    known[value] = texts.text(value, longest)
                    taken += len(known[value]) if isinstance(known[value], str) else 0
                if most is not None and taken > most:
                    raise too_much
                place = f"row {number}"
                kept = [shown_cell(cells.start(cells.places[row])) if cells else "" for cells in beside]
                yield place, names.start(names.places[row]) if names else place, known[value], kept


def _cells_of_others(
    file: "parquet.ParquetFile", others: list[str], most: int | None
) -> Iterator[list["_Cells | None"]]:
    """The cells of the other columns, batch by batch and without an end; None from where one takes more than `most`."""
    readers: list[Iterator[pa.RecordBatch] | None] = [_batches(file, [each]) for each in others]
    while True:
        cells = []
        for at, (column, reader) in enumerate(zip(others, readers, strict=True)):
            batch = next(reader, None) if reader else None
            if batch is None or (most is not None and batch.nbytes > most):
                readers[at], batch = None, None
            cells.append(_Cells(batch.column(column)) if batch is not None else None)
        yield cells


class _Cells:
    """The cells of a column: places in its values, which are those of its dictionary if it has one."""

    def __init__(self, column: "pa.Array"):
        from pyarrow import types

        coded = types.is_dictionary(column.type)
        self.places: Sequence[int | None] = column.indices.to_pylist() if coded else range(len(column))
        self._values = column.dictionary if coded else column

    def text(self, place: int | None, longest: int) -> str | PromptError:
        """A value, or what is wrong with it; one that is too long is measured, and not made a text."""
        import pyarrow.compute as pc

        value = None if place is None else self._values[place]
        if value is None or not value.is_valid:
            return PromptError("holds no text (null); fill or remove it.")
        if not hasattr(value, "as_buffer"):
            return str(value.as_py())
        if value.as_buffer().size > 4 * longest:
            return PromptError(f"is too long. {too_long(pc.utf8_length(value).as_py(), longest)}")
        try:
            return value.as_py()
        except UnicodeDecodeError:
            return PromptError("is not UTF-8 text; save the file again with UTF-8 text.")

    def start(self, place: int | None) -> str:
        """The beginning of a value, as a name; nothing if there is none."""
        value = None if place is None else self._values[place]
        if value is None or not value.is_valid:
            return ""
        if not hasattr(value, "as_buffer"):
            return str(value.as_py())
        buffer = value.as_buffer()
        return buffer.slice(0, min(NAME_BYTES, buffer.size)).to_pybytes().decode("utf-8", "ignore")


__all__ = ["parquet_table"]
