"""docs/runs.md is true of the runs that are made, and its code and its SQL run."""

import dataclasses
import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from analysis.runs.manifest import Manifest
from analysis.runs.run import Run
from analysis.runs.schema import PROMPT_COLUMNS, Sizes, token_columns
from app.cli import main
from app.limits import MAX_CELL, MAX_OTHER_COLUMNS, MAX_RECORD_CHARACTERS

PAGE = (Path(__file__).parents[1] / "docs" / "runs.md").read_text(encoding="utf-8")
TEXTS = [
    "The fox went to the river.",
    "The king sat by the fire and the snow fell.",
    "7 + 5 = 12",
    "def f(x): return x",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with `runs/prompts`, made by the command of the page."""
    folder = tmp_path_factory.mktemp("docs")
    lines = [json.dumps({"id": f"text {i}", "text": text, "kind": "ab"[i % 2]}) for i, text in enumerate(TEXTS * 5)]
    (folder / "prompts.jsonl").write_text("\n".join([*lines, "{broken"]))
    given = ["run", str(folder / "prompts.jsonl"), "--out", str(folder / "runs" / "prompts")]
    assert main([*given, "--model", "versatile-4l-0.4m", "--quiet"]) == 0
    return folder


def rows_after(heading: str) -> list[tuple[str, ...]]:
    """The rows of the first table below a heading, cells without their marks."""
    table = re.search(r"(?:^\|.*\n)+", PAGE.split(f"\n{heading}\n")[1], flags=re.MULTILINE).group()
    return [tuple(cell.strip(" `") for cell in row.strip("|").split("|")) for row in table.splitlines()[2:]]


def code(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_columns_are_documented_as_the_files_have_them(folder):
    documented = token_columns(Sizes(6, 4, 8, 2))
    assert rows_after("### tokens") == [(name, str(kind), told) for name, (kind, told) in documented.items()]
    assert rows_after("### prompts") == [(name, str(kind), told) for name, (kind, told) in PROMPT_COLUMNS.items()]
    schema = pq.read_schema(folder / "runs/prompts/tokens/000000.parquet")
    assert schema.names == list(documented)
    assert pq.read_schema(folder / "runs/prompts/prompts/000000.parquet").names == [*PROMPT_COLUMNS, "kind"]
    assert b"router_probs" in pq.read_metadata(folder / "runs/prompts/tokens/000000.parquet").metadata


def test_the_manifest_is_documented_as_it_is_written(folder):
    written = json.loads((folder / "runs/prompts/manifest.json").read_text())
    assert {name for name, _ in rows_after("### manifest.json")} == written.keys()
    assert {field.name for field in dataclasses.fields(Manifest)} | {"run_version"} == written.keys()


def test_files_and_limits_are_documented_as_they_are(folder):
    made = {path.name for path in (folder / "runs/prompts").iterdir()}
    assert {name.partition("/")[0] for name, _ in rows_after("## The folder")} == made
    assert f"at most {MAX_OTHER_COLUMNS} of a file, each cell cut at {MAX_CELL}" in PAGE
    assert f"{MAX_RECORD_CHARACTERS:,} characters" in PAGE


def test_code_of_the_page_runs(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_HOME", str(folder / "hub"))
    for block in code("python"):
        if "from datasets" in block:
            pytest.importorskip("datasets")
        exec(compile(block, "docs/runs.md", "exec"), {})
    told = capsys.readouterr().out
    assert "Run(prompts: 20 prompts" in told and "text 0" in told


def test_every_query_of_the_page_has_an_answer(folder):
    with Run(folder / "runs" / "prompts") as run:
        answers = [run.ask_typed(sql)[0] for sql in code("sql")]
        assert len(answers) >= 5 and all(len(answer) for answer in answers)
        layers, load, words, sources, context, problems = answers
        assert layers.layer.tolist() == [0, 1, 2, 3] and set(layers.tokens) == {run.counts.tokens}
        assert load.groupby("layer").share.sum().round(6).eq(1).all()
        assert (words.occurrences >= 5).all() and words.loops.is_monotonic_decreasing
        assert sources.source.tolist() == ["prompts.jsonl"] and sources.prompts.tolist() == [20]
        assert context.text.notna().all() and context.before.dropna().map(len).gt(0).all()
        assert problems.problem[0].startswith("prompts.jsonl, line 21 is not JSON")
        ran = run.ask("SELECT DISTINCT prompt, token FROM routed WHERE layer = 0 AND expert = 3 ORDER BY ALL LIMIT 20")
        assert context[["prompt", "token"]].values.tolist() == ran.values.tolist()
