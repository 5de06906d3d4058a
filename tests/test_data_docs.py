"""docs/data.md is true of the files that are written, and its code runs."""

import dataclasses
import io
import json
import re
from pathlib import Path

import pyarrow.parquet as pq

from analysis.export.files import write_routing_table
from analysis.export.routing_table import COLUMNS, METADATA, trace_parquet
from hooks import ForceLoops, RoutingTrace, Sampling, capture
from hooks.interventions import as_json
from tests.traces import make_trace

PAGE = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")


def rows_of(heading: str) -> list[tuple[str, ...]]:
    """The rows of the table with this heading, cells without their marks."""
    table = PAGE.split(f"| {heading} |")[1].split("\n\n")[0].splitlines()[2:]
    return [tuple(cell.strip(" `") for cell in row.strip("|").split("|")) for row in table]


def every_kind() -> RoutingTrace:
    """A trace for which every key of the metadata is there."""
    meta = make_trace().meta | {
        "prompt_id": "a",
        "chat": True,
        "windows": {"context": 2, "overlap": 1, "number": 2},
        "generated": {"first": 1, "sampling": [{"first": 1, **dataclasses.asdict(Sampling())}]},
        "interventions": as_json((ForceLoops(1),)),
    }
    return make_trace(loops=[[1, 1, 1]], tokens=["␣a", "⟨F0 9F⟩", "⟨#7⟩"], meta=meta, special=[True, False, False])


def test_columns_are_documented_as_the_file_has_them():
    schema = pq.read_schema(io.BytesIO(trace_parquet([every_kind()])))
    described = [(field.name, str(field.type), field.metadata[b"description"].decode()) for field in schema]
    assert rows_of("column | type | meaning") == described == [(n, str(k), told) for n, (k, told) in COLUMNS.items()]


def test_metadata_is_documented_as_the_file_has_it():
    found = pq.read_metadata(io.BytesIO(trace_parquet([make_trace(), every_kind()]))).metadata
    values = {name.decode(): json.loads(value) for name, value in found.items() if name != b"ARROW:schema"}
    assert rows_of("key | meaning") == list(METADATA.items()) and values.keys() == METADATA.keys()
    assert [model["weights_sha256"] for model in values["models"]] == ["0123456789abcdef"]  # both are of one
    assert values["generated"] == {"1": 1} and values["chat"] == [1] and values["windows"]["1"]["number"] == 2
    assert pq.read_metadata(io.BytesIO(trace_parquet([make_trace()]))).metadata.keys() == {
        b"routing_version", b"models", b"ARROW:schema",
    }  # fmt: skip


def test_every_row_says_whose_it_is():
    rows = pq.read_table(io.BytesIO(trace_parquet([make_trace(), every_kind()]))).to_pylist()[-3:]
    assert [(row["prompt_id"], row["model"], row["token_id"], row["special"]) for row in rows] == [
        ("a", "tiny", 0, True), ("a", "tiny", 1, False), ("a", "tiny", 2, False),
    ]  # fmt: skip
    assert [row["raw_text"] for row in rows] == [" a", None, None]


def test_code_of_the_page_runs_and_gives_the_text_back(loaded, tmp_path, monkeypatch, capsys):
    text = "A fox,\n🙂 and <b>é</b>."
    (tmp_path / "traced").mkdir()
    write_routing_table(tmp_path / "traced" / "routing.parquet", [capture(loaded, text)])
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(compile(block, "docs/data.md", "exec"), names)
    told = capsys.readouterr().out
    assert text in told and loaded.weights_sha256 in told and "(3, 5, 2)" in told and "(5, 3, 2)" in told
