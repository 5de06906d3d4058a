"""A run that is written from records: its parts, its rows, and a stop at any moment."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from analysis.runs import tracing
from analysis.runs.manifest import Manifest
from analysis.runs.on_ray import cores_each
from analysis.runs.rows import rows_of_traces
from analysis.runs.run import Run
from analysis.runs.schema import Sizes
from analysis.runs.tracing import Progress, SourceRecord, parts_of, write_run
from analysis.runs.writing import RunWriter
from hooks import ForceLoops, capture
from hooks.run_reader import RunReader
from tests.models import small_loaded


@pytest.fixture(scope="module")
def reader():
    return RunReader(small_loaded())


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(tracing, "PART_RECORDS", 4)
    monkeypatch.setattr("hooks.capturing.MAX_BATCH_TOKENS", 40)


def records(count: int = 18) -> Iterator[SourceRecord]:
    """Texts of 1 to 30 characters; every fifth cannot be used."""
    for i in range(count):
        problem = "It is broken." if i % 5 == 2 else None
        text = None if problem else "fox river seven king noon snow"[: 1 + i * 7 % 30]
        yield SourceRecord(f"row {i}", "a.txt", text, problem, {"kind": "ab"[i % 2]}, (i + 1) / count)


def manifest(reader: RunReader, **changed) -> Manifest:
    told = dict(
        sizes=Sizes(**reader.sizes),
        model=reader.model,
        tokenizer=reader.tokenizer,
        settings=reader.settings,
        sources=[{"name": "a.txt"}],
        others=("kind",),
    )
    return Manifest(**(told | changed))


def make(folder: Path, reader: RunReader, given=None, tell=lambda progress: None) -> Run:
    with RunWriter(folder, manifest(reader)) as writer:
        write_run(writer, reader, records() if given is None else given, tell)
    return Run(folder)


def content(folder: Path) -> list:
    """All that the parts of a run hold, part by part."""
    files = sorted(folder.glob("*/*.parquet"))
    assert files
    return [(path.relative_to(folder).as_posix(), parquet.read_table(path)) for path in files]


def assert_same(one: Path, other: Path) -> None:
    first, second = content(one), content(other)
    assert [name for name, _ in first] == [name for name, _ in second]
    for (name, table), (_, again) in zip(first, second, strict=True):
        assert table.equals(again), name
    with Run(one) as run, Run(other) as again:
        assert run.counts == again.counts and run.manifest.finished == again.manifest.finished
        assert np.array_equal(run.router_probs(), again.router_probs())


def test_parts_are_cut_by_records_and_by_bytes(monkeypatch):
    assert [len(part) for part in parts_of(records(9))] == [4, 4, 1]
    monkeypatch.setattr(tracing, "PART_BYTES", 30)
    cut = list(parts_of(records(9)))
    assert [record.prompt_id for part in cut for record in part] == [f"row {i}" for i in range(9)]
    sizes = [sum(len(record.text or "") for record in part) for part in cut]
    assert len(cut) > 3 and max(sizes) <= 30
    assert list(parts_of([])) == []


def test_what_a_part_holds_follows_from_its_first_record_alone(monkeypatch):
    monkeypatch.setattr(tracing, "PART_BYTES", 40)
    cut, given = list(parts_of(records())), list(records())
    for number in range(len(cut)):
        assert list(parts_of(given[sum(map(len, cut[:number])) :])) == cut[number:]


def test_a_run_has_a_record_for_each_of_the_source_and_the_rows_of_its_traces(tmp_path, reader):
    run = make(tmp_path / "run", reader)
    assert (run.counts.parts, run.counts.prompts, run.counts.problems) == (5, 14, 4) and run.manifest.finished
    prompts = [row for files in run.parts() for row in parquet.read_table(files.prompts).to_pylist()]
    assert [row["prompt"] for row in prompts] == list(range(18))
    for row, record in zip(prompts, records(), strict=True):
        assert (row["prompt_id"], row["source"], row["kind"]) == (record.prompt_id, "a.txt", record.others["kind"])
        assert (
            row["text"] == record.text and row["problem"] == record.problem and row["tokens"] == len(record.text or "")
        )
    texts = [(i, record.text) for i, record in enumerate(records()) if record.text]
    traces = capture(reader.loaded, [text for _, text in texts])
    expected = rows_of_traces(run.sizes, [(i, trace) for (i, _), trace in zip(texts, traces, strict=True)])
    found = run.ask("SELECT * FROM tokens ORDER BY prompt, token")
    for name in ("prompt", "token", "token_id", "text"):
        assert found[name].tolist() == expected.table[name].to_pylist()
    assert np.stack(found.loops).tolist() == expected.table["loops"].to_pylist()
    np.testing.assert_allclose(np.stack(found.difficulty), expected.table["difficulty"].to_pylist(), atol=1e-5)
    np.testing.assert_allclose(run.router_probs(), expected.router_probs, atol=1e-4)


def test_a_text_that_cannot_be_read_is_a_record_with_a_problem(tmp_path):
    reader = RunReader(small_loaded(), interventions=(ForceLoops(1, tokens=[3]),))
    given = [SourceRecord("a", "s", "long enough"), SourceRecord("b", "s", "no")]
    run = make(tmp_path / "run", reader, given)
    problems = run.ask("SELECT problem, tokens FROM prompts ORDER BY prompt")
    assert problems.tokens.tolist() == [11, 0] and "token" in problems.problem[1] and problems.problem[1][-1] == "."
    assert run.counts.problems == 1
    assert run.ask("SELECT loops FROM tokens WHERE token = 3").loops[0].tolist() == [1, 1]


def test_a_run_whose_records_all_have_problems_is_a_run_without_tokens(tmp_path, reader):
    run = make(tmp_path / "run", reader, [SourceRecord("a", "s", None, "It is broken.")])
    assert (run.counts.tokens, run.counts.problems) == (0, 1) and len(run.ask("SELECT * FROM tokens")) == 0


@pytest.mark.parametrize("after", [1, 4, 7])
def test_a_run_that_is_stopped_goes_on_and_equals_an_unbroken_one(tmp_path, reader, after):
    make(tmp_path / "whole", reader)
    told: list[Progress] = []

    def stop(progress: Progress) -> None:
        told.append(progress)
        if len(told) == after:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        make(tmp_path / "run", reader, tell=stop)
    with Run(tmp_path / "run") as begun:
        assert not begun.manifest.finished and begun.counts.parts < 5
        assert len(begun.ask("SELECT * FROM choices")) == 2 * begun.counts.tokens
    make(tmp_path / "run", reader)
    assert_same(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize(
    ("cores", "workers", "each"),
    [([4], 1, 4), ([4], 3, 1), ([4, 16], 2, 8), ([3, 3], 3, 1), ([8, 8], 3, 4), ([2], 2, 1)],
)
def test_every_worker_of_a_cluster_finds_its_cores_on_one_machine(cores, workers, each):
    assert cores_each(cores, workers) == each


def test_progress_counts_up_to_all_records(tmp_path, reader):
    told: list[Progress] = []
    run = make(tmp_path / "run", reader, tell=told.append)
    assert told[0] == Progress(0, 0, 0, 0.0)
    assert told[-1] == Progress(18, 4, run.counts.tokens, 1.0)
    assert len(told) > 8
    for name in ("records", "problems", "tokens", "share"):
        values = [getattr(progress, name) for progress in told]
        assert values == sorted(values), name


def test_what_the_writer_cannot_write_stops_the_run_and_says_why(tmp_path, reader, monkeypatch):
    full = OSError(28, "No space left on device")
    written = RunWriter.write

    def write(self, rows, kept):
        if self.counts.parts == 2:
            raise full
        written(self, rows, kept)

    monkeypatch.setattr(RunWriter, "write", write)
    with pytest.raises(OSError, match="No space left"):
        make(tmp_path / "run", reader)
    monkeypatch.undo()
    monkeypatch.setattr(tracing, "PART_RECORDS", 4)
    with Run(tmp_path / "run") as run:
        assert run.counts.parts == 2 and not run.manifest.finished
    assert make(tmp_path / "run", reader).counts.records == 18
