"""`python -m app run`: it ends, goes on, and says what it does."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from analysis.runs import tracing
from analysis.runs.run import Run
from analysis.runs.writing import RunWriter
from app import cli_run
from app.cli import main
from tests import killed_runs
from tests.killed_runs import MODEL, MOMENTS, RECORDS
from tests.test_runs_tracing import assert_same

ROOT = Path(__file__).parents[1]


@pytest.fixture
def texts(tmp_path):
    return killed_runs.source(tmp_path)


def command(*args, out: Path, model: str = MODEL) -> int:
    return main(["run", *map(str, args), "--out", str(out), "--model", model])


def test_a_run_that_is_killed_at_any_moment_goes_on_and_equals_an_unbroken_one(tmp_path):
    subprocess.run([sys.executable, "-m", "tests.killed_runs", tmp_path], cwd=ROOT, check=True, timeout=120)
    for moment in MOMENTS:
        assert_same(tmp_path / moment, tmp_path / "whole")
        assert not list((tmp_path / moment).rglob("*.part"))
    with Run(tmp_path / "whole") as run:
        assert (run.counts.records, run.counts.parts) == (RECORDS, 4) and run.manifest.finished


def test_a_run_says_what_it_did_and_a_finished_one_does_nothing(tmp_path, texts, capsys):
    assert command(texts, "--json", out=tmp_path / "run") == 0
    said, told = capsys.readouterr()
    found = json.loads(said)
    assert (found["prompts"], found["problems"], found["finished"]) == (26, 4, True) and found["new_records"] == 30
    assert "texts.txt, line 4 is not UTF-8 text (byte 0xE9); save the file as UTF-8. (4 in all" in told
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.parquet")}
    assert command(texts, out=tmp_path / "run") == 0
    said, told = capsys.readouterr()
    assert "is finished; nothing is left to do" in told and "26 prompts" in said
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.parquet")} == before


def test_the_manifest_says_how_the_run_was_made(tmp_path, texts):
    assert command(texts, "--quiet", "--limit", 9, out=tmp_path / "run") == 0
    with Run(tmp_path / "run") as run:
        manifest = run.manifest
        assert run.counts.records == 9 and len(run.ask("SELECT * FROM prompts")) == 9
    assert manifest.model["model"] == MODEL and len(manifest.model["weights_sha256"]) == 64
    assert manifest.sources[0]["name"] == "texts.txt" and manifest.sources[0]["bytes"] == texts.stat().st_size
    assert manifest.settings["limit"] == 9 and manifest.settings["chat"] is False
    assert {"torch", "transformers", "versatileffn"} <= manifest.versions.keys() and manifest.started


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--limit", "5"], "another choice of limit"),
        (["--per", "paragraph"], "another choice of per"),
        (["--dtype", "bfloat16"], "it is of the model versatile-4l-0.4m (float32"),
        (["--step", "245"], "it is of the model versatile-4l-0.4m (float32"),
    ],
)
def test_a_run_made_otherwise_is_refused(tmp_path, texts, capsys, args, said):
    assert command(texts, "--quiet", out=tmp_path / "run") == 0
    assert command(texts, *args, out=tmp_path / "run") == 2
    assert said in capsys.readouterr().err


def test_a_changed_source_is_refused(tmp_path, texts, capsys):
    assert command(texts, "--quiet", out=tmp_path / "run") == 0
    texts.write_bytes(texts.read_bytes() + b"\nmore")
    assert command(texts, out=tmp_path / "run") == 2
    assert "it is of other files, or of other versions of them. Choose another folder" in capsys.readouterr().err


def test_a_run_of_nothing_says_so(tmp_path, capsys):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf\n")
    assert command(tmp_path / "a.txt", out=tmp_path / "run") == 0
    assert "run is empty: the files hold no text" in capsys.readouterr().err


def test_interventions_are_in_the_run(tmp_path, texts):
    (tmp_path / "spec.json").write_text('[{"kind": "ForceLoops", "loops": 4, "layers": [1]}]')
    for _ in range(2):  # the second time it is known as the same run
        assert command(texts, "--quiet", "--intervene", tmp_path / "spec.json", out=tmp_path / "run") == 0
    with Run(tmp_path / "run") as run:
        assert run.ask("SELECT DISTINCT loops FROM choices WHERE layer = 1").loops.tolist() == [4]
        assert run.manifest.settings["interventions"][0]["kind"] == "ForceLoops"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["no.txt"], "no.txt is not a file or folder; give txt, md"),
        (["{table}"], "(--column NAME chooses)"),
        (["{table}", "--column", "z"], "t.csv has no column z; choose one of"),
        (["{table}", "--limit", "0"], "a number of records is 1 or more, got 0"),
        (["{table}", "--chat", "--column", "n"], "has no chat template"),
    ],
)
def test_bad_input_is_told_before_anything_is_written(tmp_path, capsys, args, said):
    (tmp_path / "t.csv").write_text("n,m\n1,2\n3,4\n")
    given = [each.format(table=tmp_path / "t.csv") for each in args]
    try:
        assert command(*given, out=tmp_path / "run") == 2
    except SystemExit as ended:
        assert ended.code == 2
    told = capsys.readouterr().err
    assert said in told and len(told.splitlines()) <= 3 and not list(tmp_path.glob("run/*"))


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(tmp_path, texts, capsys, monkeypatch):
    monkeypatch.setattr(tracing, "PART_RECORDS", 8)
    assert command(texts, "--quiet", out=tmp_path / "whole") == 0
    written = RunWriter.write

    def write(self, rows, kept):
        written(self, rows, kept)
        if self.counts.parts == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(RunWriter, "write", write)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs tests side by side ignores it
    try:
        assert command(texts, out=tmp_path / "run") == 130
    finally:
        signal.signal(signal.SIGINT, before)
    told = capsys.readouterr().err
    assert "records are kept in" in told and "the same command goes on after them" in told
    monkeypatch.setattr(RunWriter, "write", written)
    assert command(texts, out=tmp_path / "run") == 0
    assert "going on after" in capsys.readouterr().err
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_progress_has_rate_and_remaining_time(capsys, monkeypatch):
    clock = iter([0.0, 100.0, 111.0, 112.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    told = cli_run._Told(None, bar=False)
    told(tracing.Progress(1000, 0, 20_000, 0.1))  # of an earlier start
    told(tracing.Progress(2000, 1, 40_000, 0.2))
    told(tracing.Progress(2200, 1, 44_000, 0.3))
    told(tracing.Progress(2201, 1, 44_100, 0.3))
    told.close()
    assert capsys.readouterr().err.splitlines() == [
        "20%: 2,000 records, 40,000 tokens, 200 tokens/s, 13:20 left",
        "30%: 2,200 records, 44,000 tokens, 216 tokens/s, 06:28 left",
    ]


def test_a_file_that_changes_while_it_is_read_is_told(tmp_path, texts, capsys, monkeypatch):
    finished = RunWriter.finish

    def finish(self):
        finished(self)
        texts.write_text("other")

    monkeypatch.setattr(RunWriter, "finish", finish)
    assert command(texts, out=tmp_path / "run") == 0
    assert "texts.txt was changed while it was read: make the run anew to be sure" in capsys.readouterr().err


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed here")
def test_without_ray_its_engine_says_how_to_install_it_and_makes_no_folder(tmp_path, texts, capsys):
    assert command(texts, "--engine", "ray", out=tmp_path / "run") == 2
    assert (
        "this needs ray, which is not installed: pip install 'versatileffn[ray]' brings it" in capsys.readouterr().err
    )
    assert not (tmp_path / "run").exists()
