"""Tables as CSV, Parquet and JSON.

A token such as `=1+1` must not run as a formula when a spreadsheet opens a CSV file. Therefore an apostrophe is put
before every =, +, - or @ at the start of a cell, and after a semicolon or a tab, where some spreadsheets begin a new
cell. `read_csv` removes exactly these apostrophes; Parquet and JSON have none.
"""

import io
import json
import re
from collections.abc import Callable, Sequence
from csv import QUOTE_NONNUMERIC
from pathlib import Path

import pandas as pd

TABLE_FORMATS = ("csv", "parquet", "json")
_FORMULA = r"(?=[=+\-@＝＋－＠])"
# Some spreadsheets skip spaces and quotes before a sign, so these patterns skip them, and apostrophes of the text.
_RISKY = re.compile(rf"""(^|[;\t\r\n])([ "']*){_FORMULA}""")
_GUARDED = re.compile(rf"""(^|[;\t\r\n])'([ "']*){_FORMULA}""")


def table_csv(table: pd.DataFrame) -> bytes:
    """CSV in UTF-8 with a byte order mark; lists as JSON, missing values empty, formulas disarmed (see above).

    Without the mark, Excel assumes another encoding; pandas, R and polars skip it.
    """
    plain = _map_text(table, lambda text: _RISKY.sub(r"\1'\2", text))
    return plain.to_csv(index=False, quoting=QUOTE_NONNUMERIC).encode("utf-8-sig")


def read_csv(source: str | Path | io.BytesIO, *, text: Sequence[str] = ("text",)) -> pd.DataFrame:
    """A table as `table_csv` wrote it; the columns named in `text` are exactly the strings that were written.

    Other columns become numbers or booleans if all of their values are; lists stay JSON.
    """
    written = pd.read_csv(source, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    table = _map_text(written, lambda value: _GUARDED.sub(r"\1\2", value))
    for column in table.columns.difference(text):
        values = table[column]
        if values.isin(["True", "False"]).all():
            table[column] = values == "True"
        elif (numbers := pd.to_numeric(values.where(values != ""), errors="coerce")).notna().sum() == (
            values != ""
        ).sum():
            table[column] = numbers
    return table


def table_parquet(table: pd.DataFrame) -> bytes:
    """Parquet with the table's own types; lists stay lists."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def table_records(table: pd.DataFrame) -> list[dict]:
    """The rows as plain Python values for JSON; missing values and NaN become None."""
    plain = table.astype(object)
    return plain.where(plain.notna(), None).to_dict("records")


def _map_text(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """The table with `change` applied to every string, and lists as JSON."""
    plain = table.copy()
    for column in plain.columns:
        if pd.api.types.is_object_dtype(plain[column]) or pd.api.types.is_string_dtype(plain[column]):
            plain[column] = [
                json.dumps(v) if isinstance(v, list) else change(v) if isinstance(v, str) else v for v in plain[column]
            ]
    return plain


__all__ = ["TABLE_FORMATS", "read_csv", "table_csv", "table_parquet", "table_records"]
