"""Tables as CSV, Parquet and JSON, and the routing table of whole traces.

A token such as `=1+1` must not run as a formula when a spreadsheet opens a CSV file. Therefore an apostrophe is put
before every =, +, - or @ at the start of a cell, and after a semicolon or a tab, where some spreadsheets begin a new
cell. `read_csv` removes exactly these apostrophes; Parquet and JSON have none.
"""

import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from csv import QUOTE_NONNUMERIC
from pathlib import Path
from typing import BinaryIO

import pandas as pd
import pyarrow as pa
from pyarrow.parquet import ParquetWriter

from hooks.interventions import in_words
from hooks.trace import RoutingTrace

TABLE_FORMATS = ("csv", "parquet", "json")
ROUTING_SCHEMA = pa.schema(
    {
        **dict.fromkeys(("prompt", "layer", "token"), pa.int64()),
        "text": pa.large_string(),
        "loops": pa.int64(),
        "gate": pa.float32(),
        "width_ran": pa.bool_(),
        "expert_ids": pa.list_(pa.int64()),
        "expert_weights": pa.list_(pa.float64()),
        "difficulty_hard": pa.float64(),
        "difficulty_soft": pa.float32(),
        "logprob": pa.float32(),
    }
)
"""Columns of the routing table, which are the same even for a trace in which no token routed."""
ROWS_PER_GROUP = 2**16
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


def trace_table(trace: RoutingTrace, prompt: int = 0) -> pd.DataFrame:
    """The rows of one trace in the routing table: layer x token. Experts are null where the token did not route."""
    return trace.to_frame().assign(prompt=prompt)[ROUTING_SCHEMA.names]


def write_routing(sink: BinaryIO, traces: Iterable[RoutingTrace]) -> None:
    """The routing table as Parquet, one row per prompt x layer x token: the `trace_table` of every trace.

    Traces are consumed one by one and written in row groups of at least ROWS_PER_GROUP rows: memory does not grow with
    their number. The file's metadata has the prompts with interventions under "interventions", in words, and under
    "generated" the first token that the model wrote, for the texts that it wrote in part.
    """
    with ParquetWriter(sink, ROUTING_SCHEMA) as writer:
        group: list[pd.DataFrame] = []
        changed: dict[int, str] = {}
        written: dict[int, int] = {}
        for index, trace in enumerate(traces):
            if trace.interventions:
                changed[index] = in_words(trace.interventions)
            if trace.first_generated < trace.num_tokens:
                written[index] = trace.first_generated
            group.append(trace_table(trace, index))
            if sum(map(len, group)) >= ROWS_PER_GROUP:
                writer.write_table(_routing_rows(group))
                group.clear()
        if group:
            writer.write_table(_routing_rows(group))
        if changed:
            writer.add_key_value_metadata({"interventions": json.dumps(changed, ensure_ascii=False)})
        if written:
            writer.add_key_value_metadata({"generated": json.dumps(written)})


def trace_parquet(traces: Iterable[RoutingTrace]) -> bytes:
    """The table of `write_routing` as bytes."""
    buffer = io.BytesIO()
    write_routing(buffer, traces)
    return buffer.getvalue()


def _routing_rows(group: list[pd.DataFrame]) -> pa.Table:
    return pa.Table.from_pandas(pd.concat(group), ROUTING_SCHEMA, preserve_index=False)


def _map_text(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """The table with `change` applied to every string, and lists as JSON."""
    plain = table.copy()
    for column in plain.columns:
        if pd.api.types.is_object_dtype(plain[column]) or pd.api.types.is_string_dtype(plain[column]):
            plain[column] = [
                json.dumps(v) if isinstance(v, list) else change(v) if isinstance(v, str) else v for v in plain[column]
            ]
    return plain


__all__ = [
    "ROUTING_SCHEMA", "TABLE_FORMATS", "read_csv", "table_csv", "table_parquet", "table_records", "trace_parquet",
    "trace_table", "write_routing",
]  # fmt: skip
