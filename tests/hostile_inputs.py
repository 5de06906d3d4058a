"""Invalid or malicious inputs: how each is given to the app, and the beginning of the error message."""

import gzip
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from safetensors.numpy import save

from app.texts.text_link import text_to_link
from tests.traces import make_trace


@dataclass(frozen=True)
class Case:
    """An invalid input and the beginning of its error message."""

    way: str
    """How it is given. file: an uploaded file; typed: one text; list: a pasted list; link: the query of the address."""
    given: str | tuple[str, bytes | Callable[[], bytes]]
    answer: str


def csv(text: str) -> tuple[str, bytes]:
    return "p.csv", text.encode()


def lines(*texts: str) -> tuple[str, bytes]:
    return "p.jsonl", "\n".join(texts).encode()


def table(**columns) -> Callable[[], bytes]:
    def written() -> bytes:
        buffer = io.BytesIO()
        parquet.write_table(pa.table(columns), buffer, compression="zstd")
        return buffer.getvalue()

    return written


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("text.txt", "one\n")
    return buffer.getvalue()


def trace(**changes) -> tuple[str, Callable[[], bytes]]:
    return "t.trace.safetensors", lambda: make_trace(**changes).to_bytes()


def trace_header(**entries: str) -> tuple[str, Callable[[], bytes]]:
    """A trace file with changed entries in its header."""

    def written() -> bytes:
        raw = make_trace().to_bytes()
        end = 8 + int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8:end])
        header["__metadata__"] |= entries
        changed = json.dumps(header).encode()
        return len(changed).to_bytes(8, "little") + changed + raw[end:]

    return "t.trace.safetensors", written


def without_words() -> tuple[str, Callable[[], bytes]]:
    """A trace file in whose header null stands for all strings."""

    def written() -> bytes:
        raw = make_trace().to_bytes()
        end = 8 + int.from_bytes(raw[:8], "little")
        changed = json.dumps(json.loads(raw[8:end]) | {"__metadata__": None}).encode()
        return len(changed).to_bytes(8, "little") + changed + raw[end:]

    return "t.trace.safetensors", written


def floats(*rows) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


ONE = np.ones((2, 2, 4), dtype=np.float32)
NO_TEXT = "It is not clear which column of p.csv holds the text (a, b); choose one, or name it text or prompt."

CASES = {
    # Texts and pasted lists
    "empty text": Case("typed", "", "The text is empty: type at least one word"),
    "only spaces": Case("typed", " \n\t \u2003 ", "The text is empty: type at least one word"),
    "text beyond the limit": Case("typed", "x" * 20_001, "The text has 20,001 characters; the limit is 20,000."),
    "text of too many tokens": Case(
        "typed", "🙂" * 5_000, "The text has 20,000 tokens; the limit is 4,096. Shorten it."
    ),
    "NUL in a text": Case("typed", "a\0b", "The text contains NUL characters"),
    "list of blank lines": Case("list", " \n \n", "The pasted list is empty"),
    "list with a line beyond the limit": Case(
        "list", "ok\n" + "x" * 20_001, "The pasted list, line 2: The text has 20,001"
    ),
    # Links
    "link to a path": Case("link", "model=../../etc", "This server has no model ../../etc; versatile-6l-4m is shown."),
    "link to markup": Case("link", "model=<b>x</b>%0A", "This server has no model <b>x</b>; versatile-6l-4m is shown."),
    "link to no example": Case(
        "link", "example=nowhere", "There is no example nowhere; The fox and the lamp is shown."
    ),
    "link with a damaged text": Case("link", "text=%%%", "The text in this link is damaged"),
    "link with a text cut short": Case("link", f"text={text_to_link('A fox ran.')[:-4]}", "The text in this link is"),
    # Text files
    "empty file": Case("file", ("p.txt", b""), "p.txt is empty: it needs at least one line of text."),
    "file of spaces": Case("file", ("p.txt", b" \n\r\n\t"), "p.txt is empty"),
    "file of only a byte order mark": Case("file", ("p.txt", b"\xef\xbb\xbf"), "p.txt is empty"),
    "utf-16 cut inside a character": Case("file", ("p.txt", b"\xff\xfex"), "p.txt is not UTF-16 text (byte 0x78 at"),
    "utf-16 without mark": Case("file", ("p.txt", "one\n".encode("utf-16-le")), "p.txt is a binary file (it holds NUL"),
    "latin-1": Case("file", ("p.txt", "naïve".encode("latin-1")), "p.txt is not UTF-8 text (byte 0xEF at position 2)"),
    "windows-1252": Case("file", ("p.csv", "text\n“x”\n".encode("cp1252")), "p.csv is not UTF-8 text (byte 0x93"),
    "UTF-8 surrogates": Case("file", ("p.txt", b"\xed\xa0\x80"), "p.txt is not UTF-8 text (byte 0xED at position 0)"),
    "NUL bytes": Case("file", ("p.md", b"one\0two"), "p.md is a binary file"),
    "line of a megabyte": Case("file", ("p.txt", b"x" * 2**20), "p.txt, line 1: The text has 1,048,576 characters"),
    "file beyond the limit": Case(
        "file", ("p.txt", lambda: b"x\n" * (3 * 2**20)), "p.txt has 6.0 MB; the limit is 5 MB."
    ),
    "picture called txt": Case("file", ("p.txt", b"\x89PNG\r\n\x1a\n\0\0"), "p.txt is a binary file"),
    "name of markup and a turned direction": Case("file", ("<b>\u202egpj.txt", b""), "<b> gpj.txt is empty"),
    "file cut inside a character": Case("file", ("p.txt", "é".encode()[:1]), "p.txt is not UTF-8 text (byte 0xC3"),
    "archive called csv": Case("file", ("p.csv", gzip.compress(b"text\none\n")), "p.csv is a binary file"),
    "more prompts than the limit": Case("file", ("p.txt", b"x\n" * 2_001), "p.txt has more than 2,000 rows"),
    "name without end": Case("file", ("x" * 300 + ".txt", b""), "x" * 39 + "… is empty"),
    # jsonl
    "jsonl that is no JSON": Case(
        "file", lines("one", "two"), "p.jsonl, line 1 is not JSON (Expecting value at column 1)"
    ),
    "jsonl cut in the middle": Case(
        "file", lines('"one"', '{"text": "tw'), "p.jsonl, line 2 is not JSON (Unterminated"
    ),
    "jsonl without a text": Case(
        "file",
        lines('{"n": 1}', '{"n": 2}'),
        "It is not clear which column of p.jsonl holds the text (n); choose one, or name it",
    ),
    "jsonl of null": Case("file", lines('"one"', '{"text": null}'), "p.jsonl, line 2 holds nothing (null) in the"),
    "jsonl nested without end": Case("file", lines("[" * 100_000), "p.jsonl, line 1 is nested too deeply"),
    "jsonl with a huge number": Case("file", lines("9" * 5_000), "p.jsonl, line 1 holds a number; put a text there"),
    "jsonl with half a character": Case("file", lines('"\\ud800"'), "p.jsonl, line 1: The text contains incomplete"),
    "jsonl that is one array": Case(
        "file", lines('["one", "two"]'), "p.jsonl, line 1 holds a list; put a text there, in quotes."
    ),
    "jsonl without a text in one line": Case(
        "file", lines('{"text": "a"}', '{"other": "b"}'), "p.jsonl, line 2 has no field text or prompt; give"
    ),
    "jsonl of a chat": Case(
        "file", lines('{"messages": [{"content": "Hi."}]}'), "p.jsonl holds chats (messages), not texts; write each"
    ),
    "json over several lines": Case(
        "file", lines("{", '"text": "a"', "}"), "p.jsonl, line 1 is not JSON (Expecting property name"
    ),
    "jsonl of fields without end": Case(
        "file",
        lines(json.dumps(dict.fromkeys(map(str, range(200_000)), ""))),
        "p.jsonl has more than 1,000 columns; keep only the columns with the texts",
    ),
    # csv
    "empty csv": Case("file", csv(""), "p.csv is empty: it needs a line with column names"),
    "csv of only a header": Case("file", csv("id,text\n"), "p.csv has no rows below its column names"),
    "csv of numbers": Case("file", csv("a,b\n1,2\n3,4e5\n"), NO_TEXT),
    "csv of empty cells": Case("file", csv("a,b\n,\n,\n"), "p.csv has no rows below its column names"),
    "csv of ids": Case(
        "file", csv("id,chat_id\na,x y\n"), "It is not clear which column of p.csv holds the text (id, chat_id)"
    ),
    "csv row with more cells": Case(
        "file", csv("id,text\n1,one,two\n2,b\n"), "p.csv, line 2 has 3 cells, but the first"
    ),
    "csv row with fewer cells": Case("file", csv("id,text\n1\n2,b\n"), "p.csv, line 2 has 1 cell, but the first line"),
    "csv with an open quote": Case(
        "file", csv('id,text\n1,"one\n'), "p.csv, line 2 is not csv (unexpected end of data)"
    ),
    "csv with a cell beyond measure": Case(
        "file", csv("text\nok\n" + "x" * 140_000), "p.csv, line 3: The text has 140,000 characters"
    ),
    "csv with an empty text": Case("file", csv("id,text\n1,\n2,two\n"), "p.csv, line 2: The text is empty"),
    "csv with an id twice": Case("file", csv("id,text\n1,a\n1,b\n"), "p.csv uses 1 name more than once"),
    "csv of commas": Case("file", csv("," * 200_000 + "\n"), "p.csv is empty: it needs a line with column names"),
    "csv with a name many times": Case(
        "file", csv("text," * 200_000 + "\n"), "p.csv has more than 1,000 columns; keep only the columns with the texts"
    ),
    "csv with NUL": Case("file", csv("id,text\n1,a\0b\n"), "p.csv is a binary file"),
    # parquet
    "zip called parquet": Case(
        "file", ("p.parquet", zipped), "p.parquet is not a complete parquet file; save or download"
    ),
    "empty parquet": Case("file", ("p.parquet", b""), "p.parquet is not a complete parquet file"),
    "cut parquet": Case(
        "file", ("p.parquet", lambda: table(text=["a"])()[:-20]), "p.parquet is not a complete parquet file"
    ),
    "parquet with damaged pages": Case(
        "file",
        ("p.parquet", lambda: b"PAR1" + b"\xff" * 40 + table(text=["a" * 50])()[44:]),
        "p.parquet is not a complete",
    ),
    "parquet without text": Case(
        "file", ("p.parquet", table(n=[1], v=[[1.0]])), "It is not clear which column of p.parquet"
    ),
    "parquet of nulls": Case(
        "file", ("p.parquet", table(text=pa.array([None], pa.string()))), "p.parquet, row 1 holds no text"
    ),
    "parquet of lists and bytes": Case(
        "file", ("p.parquet", table(text=[["a"]], b=[b"a"])), "The column text of p.parquet holds lists, objects or"
    ),
    "parquet with NUL": Case(
        "file", ("p.parquet", table(text=["a\0", "b"])), "p.parquet, row 1: The text contains NUL"
    ),
    "parquet with an id twice": Case(
        "file", ("p.parquet", table(id=[7, 7], text=["a", "b"])), "p.parquet uses 1 name more than once"
    ),
    "parquet without rows": Case("file", ("p.parquet", table(text=pa.array([], pa.string()))), "p.parquet has no rows"),
    "parquet that unpacks without end": Case(
        "file",
        ("p.parquet", table(text=[str(i) + "x" * 2**20 for i in range(60)])),
        "p.parquet unpacks to more than the limit of 50 MB of text",
    ),
    "parquet of columns without end": Case(
        "file",
        ("p.parquet", table(**{f"c{i}": ["a"] for i in range(10_000)})),
        "p.parquet has more than 1,000 columns; keep only the columns with the texts",
    ),
    # Trace files
    "noise called a trace": Case(
        "file", ("t.trace.safetensors", b"\0\1noise"), "t.trace.safetensors is not a readable"
    ),
    "trace cut short": Case(
        "file",
        ("t.trace.safetensors", lambda: make_trace().to_bytes()[:-9]),
        "t.trace.safetensors is not a readable trace",
    ),
    "pickle called a trace": Case(
        "file", ("t.safetensors", lambda: pickle.dumps({"loops": [1]})), "t.safetensors is not a readable trace"
    ),
    "trace whose header ends beyond the file": Case(
        "file", ("t.safetensors", b"\xff" * 8 + b"{}"), "t.safetensors is not a readable trace"
    ),
    "trace without words": Case("file", without_words(), "t.trace.safetensors has no trace header, this program reads"),
    "weights instead of a trace": Case(
        "file",
        ("t.safetensors", lambda: save({"w": np.ones(3)})),
        "t.safetensors has no trace header, this program reads",
    ),
    "trace of another version": Case(
        "file", trace_header(format_version="99"), "t.trace.safetensors has format version 99"
    ),
    "trace with NaN": Case(
        "file", trace(depth_logits=ONE * np.nan), "t.trace.safetensors is not a valid trace (depth_logits"
    ),
    "trace with infinite numbers": Case(
        "file", trace(next_entropy=floats(1, np.inf)), "t.trace.safetensors is not a valid trace (next_entropy"
    ),
    "trace with loops beyond its own": Case(
        "file",
        trace(depth_logits=ONE[..., :2]),
        "t.trace.safetensors is not a valid trace (loops must be 1 to 2, it runs",
    ),
    "trace with a gate beyond one": Case(
        "file", trace(gate=ONE[..., 0] * 7), "t.trace.safetensors is not a valid trace (gate"
    ),
    "trace with an expert that is none": Case(
        "file",
        trace(expert_ids=np.full((2, 2, 2), 99)),
        "t.trace.safetensors is not a valid trace (expert_ids must be 0 to 3",
    ),
    "trace with an expert twice": Case(
        "file",
        trace(expert_ids=np.zeros((2, 2, 2), int)),
        "t.trace.safetensors is not a valid trace (expert_ids must name",
    ),
    "trace with weights that sum to two": Case(
        "file",
        trace(expert_weights=ONE[..., :2]),
        "t.trace.safetensors is not a valid trace (expert_weights must sum to 1",
    ),
    "trace with probabilities above one": Case(
        "file", trace(logprob=floats(np.nan, 3)), "t.trace.safetensors is not a valid trace (logprob must be at most 0"
    ),
    "trace with a negative id": Case(
        "file", trace(token_ids=np.array([-1, 0])), "t.trace.safetensors is not a valid trace"
    ),
    "trace with a loop axis without end": Case(
        "file",
        trace(depth_logits=np.zeros((2, 2, 999), np.float32)),
        "t.trace.safetensors is not a valid trace (the axis loop",
    ),
    "trace with tokens that are no strings": Case(
        "file",
        trace_header(tokens="[1, 2]"),
        "t.trace.safetensors is not a valid trace (tokens and next_tokens must hold",
    ),
    "trace with fewer strings": Case(
        "file", trace_header(tokens='["a"]'), "t.trace.safetensors is not a valid trace (tokens"
    ),
    "trace with a turned direction": Case(
        "file", trace_header(tokens='["a", "\\u202eb"]'), "t.trace.safetensors is not a valid trace (a token is longer"
    ),
    "trace with half a character": Case(
        "file",
        trace_header(meta='{"text": "\\ud800"}'),
        "t.trace.safetensors is not a valid trace (its text holds halves",
    ),
    "trace nested without end": Case(
        "file", trace_header(meta="[" * 100_000), "t.trace.safetensors is not a valid trace (maximum recursion depth"
    ),
    "trace with a model that is no text": Case(
        "file", trace_header(meta='{"model": {"a": 1}}'), "t.trace.safetensors is not a valid trace (model must be text"
    ),
    "trace with a size that is no number": Case(
        "file",
        trace_header(meta='{"config": {"hidden_size": "8"}}'),
        "t.trace.safetensors is not a valid trace (hidden_size must be a number",
    ),
    "trace with a size beyond measure": Case(
        "file",
        trace_header(meta='{"config": {"hidden_size": 2147483647, "intermediate_size": 2147483647}}'),
        "t.trace.safetensors is not a valid trace (hidden_size must be a number, whole and from 1 to 1,048,576",
    ),
    "trace with half a character in what nobody reads": Case(
        "file",
        trace_header(meta='{"note": {"\\ud800": ["\\udfff"]}}'),
        "t.trace.safetensors is not a valid trace (its text holds halves",
    ),
    "trace with logits beyond measure": Case(
        "file",
        trace(depth_logits=ONE * np.float32(3e38)),
        "t.trace.safetensors is not a valid trace (depth_logits holds numbers beyond 1e+15",
    ),
    "trace with surprise beyond measure": Case(
        "file", trace(logprob=floats(np.nan, -3e38)), "t.trace.safetensors is not a valid trace (logprob must be"
    ),
    "trace without the sizes of its model": Case(
        "file", trace_header(meta="{}"), "This trace does not name the model's hidden_size"
    ),
    "trace of too many tokens": Case(
        "file", trace(loops=np.ones((1, 5_000), int)), "The text has 5,000 tokens; the limit is 4,096."
    ),
}
