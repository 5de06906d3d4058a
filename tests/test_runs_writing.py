"""Whoever writes a run: going on after a stop, one at a time, and never into another run."""

import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pyarrow import parquet
from pyarrow.parquet import ParquetWriter

from analysis.runs import writing
from analysis.runs.folder import part_files
from analysis.runs.manifest import Manifest
from analysis.runs.rows import rows_of_traces, sizes_of
from analysis.runs.run import Run
from analysis.runs.schema import PROMPT_COLUMNS
from analysis.runs.writing import Record, RunWriter
from tests.runs import make_run, random_traces

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def traces():
    return random_traces(8)


def manifest_of(traces, **changed) -> Manifest:
    told = dict(
        sizes=sizes_of(traces[0]),
        model={"model": "tiny", "weights_sha256": "0123", "dtype": "float32"},
        tokenizer={"sha256": "4567"},
        settings={"chat": False},
        sources=[{"name": "a.txt", "sha256": "89ab"}],
    )
    return Manifest(**(told | changed))


def write(folder: Path, traces, upto: int | None = None, **changed) -> Run:
    """A run of one trace per part."""
    manifest = manifest_of(traces, **changed)
    with RunWriter(folder, manifest) as writer:
        for i in range(writer.counts.records, len(traces) if upto is None else upto):
            record = Record(f"row {i}", "a.txt", traces[i].meta["text"], traces[i].num_tokens)
            writer.write(rows_of_traces(manifest.sizes, [(i, traces[i])]), [record])
        if upto is None:
            writer.finish()
    return Run(folder)


def test_a_run_goes_on_after_its_last_whole_part(tmp_path, traces):
    begun = write(tmp_path / "run", traces, upto=3)
    assert begun.counts.records == 3 and not begun.manifest.finished and "not finished" in repr(begun)
    whole = write(tmp_path / "run", traces)
    assert whole.counts.records == 8 and whole.manifest.finished
    assert whole.manifest.started == begun.manifest.started
    assert whole.ask("SELECT prompt FROM prompts ORDER BY ALL").prompt.tolist() == list(range(8))


def test_what_a_stop_left_of_a_part_is_made_again(tmp_path, traces):
    write(tmp_path / "run", traces, upto=3)
    last = part_files(tmp_path / "run", 2)
    last.prompts.unlink()  # as if it had been stopped between the two files of the part
    (tmp_path / "run" / "tokens" / "000003.parquet.abcd.part").write_bytes(b"half a file")
    manifest = tmp_path / "run" / "manifest.json"
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(told | {"counts": {"parts": 1, "prompts": 1, "problems": 0, "tokens": 9}}))
    run = write(tmp_path / "run", traces)
    assert run.counts == write(tmp_path / "other", traces).counts == run.manifest.counts
    assert run.ask("SELECT count(DISTINCT prompt) AS n FROM tokens").n[0] == 8
    assert not list((tmp_path / "run").rglob("*.part"))


def test_a_run_can_be_read_while_it_is_written(tmp_path, traces):
    begun = write(tmp_path / "run", traces, upto=2)
    write(tmp_path / "run", traces)
    assert len(begun.ask("SELECT * FROM prompts")) == 2 == begun.counts.records


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": {"model": "big", "weights_sha256": "ffff", "dtype": "float32"}}, "it is of the model tiny"),
        ({"model": {"model": "tiny", "weights_sha256": "0123", "dtype": "bfloat16"}}, "it is of the model tiny"),
        ({"sources": [{"name": "a.txt", "sha256": "0000"}]}, "other versions of them"),
        ({"sources": [{"name": "b.txt", "sha256": "89ab"}]}, "it is of other files"),
        ({"tokenizer": {"sha256": "0000"}}, "another tokenizer"),
        ({"settings": {"chat": True}}, "another choice of chat"),
        ({"others": ("kind",)}, "another choice of columns"),
    ],
)
def test_a_run_of_something_else_is_refused_and_stays(tmp_path, traces, changed, said):
    write(tmp_path / "run", traces, upto=2)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.parquet")}
    with pytest.raises(ValueError, match=f"is another run: .*{said}.*[Cc]hoose another folder"):
        RunWriter(tmp_path / "run", manifest_of(traces, **changed))
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.parquet")} == before
    assert write(tmp_path / "run", traces).counts.records == 8  # the lock was given back


def test_a_folder_with_other_files_and_a_file_are_refused(tmp_path, traces):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("hello")
    with pytest.raises(ValueError, match="is not empty and holds no run: choose an empty folder"):
        RunWriter(tmp_path / "mine", manifest_of(traces))
    with pytest.raises(ValueError, match="is a file: choose a folder"):
        RunWriter(tmp_path / "mine" / "letter.txt", manifest_of(traces))
    movie = tmp_path / "other" / "tokens" / "movie.part"  # of another program, which downloads it
    movie.parent.mkdir(parents=True)
    movie.write_bytes(b"half a movie")
    with pytest.raises(ValueError, match="is not empty and holds no run"):
        RunWriter(tmp_path / "other", manifest_of(traces))
    assert movie.read_bytes() == b"half a movie"


def test_two_programs_do_not_write_one_run(tmp_path, traces):
    write(tmp_path / "run", traces, upto=2)
    code = "import sys, pathlib; from analysis.runs.folder import locked\n"
    code += "lock = locked(pathlib.Path(sys.argv[1])); print('held', flush=True); input()"
    given = [sys.executable, "-c", code, str(tmp_path / "run")]
    with subprocess.Popen(given, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ValueError, match="another program is writing the run .*: wait for it, stop it, or choose"):
            RunWriter(tmp_path / "run", manifest_of(traces))
        other.communicate(b"\n")
    assert write(tmp_path / "run", traces).counts.records == 8


@pytest.mark.parametrize(
    ("fails", "code", "told"),
    [
        ("tokens", errno.ENOSPC, "the disk of .* is full: make room, then give the same command again"),
        ("prompts", errno.EDQUOT, "the disk of .* is full: make room, then give the same command again"),
        ("manifest", errno.EFBIG, "may not be so large: raise the limit .ulimit -f., then give the same command again"),
    ],
)
def test_a_full_disk_is_told_and_leaves_a_run_that_goes_on(tmp_path, traces, monkeypatch, fails, code, told):
    write(tmp_path / "run", traces, upto=3)

    def full(*_, **__):
        raise OSError(code, os.strerror(code))

    class Full(ParquetWriter):
        def write_table(self, table, **how):
            if (table.schema.names[1] == "token") == (fails == "tokens"):
                full()
            super().write_table(table, **how)

    with RunWriter(tmp_path / "run", manifest_of(traces)) as writer:
        if fails == "manifest":
            monkeypatch.setattr(Manifest, "write", full)
        else:
            monkeypatch.setattr(writing, "ParquetWriter", Full)
        record = Record("row 3", "a.txt", traces[3].meta["text"], traces[3].num_tokens)
        with pytest.raises(ValueError, match=f"{told}. The run can be read, and holds [34] records"):
            writer.write(rows_of_traces(writer.manifest.sizes, [(3, traces[3])]), [record])
        if fails == "manifest":
            with pytest.raises(ValueError, match=f"{told}. The run can be read"):
                writer.finish()
    if fails == "manifest":
        with pytest.raises(ValueError, match=f"{told}$"):
            RunWriter(tmp_path / "run", manifest_of(traces))
    monkeypatch.undo()
    assert Run(tmp_path / "run").counts.records in (3, 4)
    assert not list((tmp_path / "run").rglob("*.part"))
    run = write(tmp_path / "run", traces)
    assert run.ask("SELECT prompt FROM prompts ORDER BY ALL").prompt.tolist() == list(range(8))


def test_a_folder_that_is_removed_or_may_not_be_written_is_told(tmp_path, traces, monkeypatch):
    record = Record("row 0", "a.txt", traces[0].meta["text"], traces[0].num_tokens)
    with RunWriter(tmp_path / "{run}", manifest_of(traces)) as writer:
        shutil.rmtree(tmp_path / "{run}")
        with pytest.raises(ValueError, match="{run} was removed while it was written: give the same command again$"):
            writer.write(rows_of_traces(writer.manifest.sizes, [(0, traces[0])]), [record])

    def refused(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(ValueError, match="run cannot be written: choose another folder$"):
        RunWriter(tmp_path / "run", manifest_of(traces))


def test_a_damaged_run_is_told_in_a_sentence(tmp_path, traces):
    write(tmp_path / "run", traces)
    files = part_files(tmp_path / "run", 1)
    whole = files.tokens.read_bytes()
    files.tokens.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="000001.parquet is damaged: copy the run again"):
        Run(tmp_path / "run")
    files.tokens.unlink()
    with pytest.raises(ValueError, match="000001.parquet is missing: copy the whole run again"):
        Run(tmp_path / "run")


@pytest.mark.parametrize("table", ["tokens", "prompts"])
@pytest.mark.parametrize("other", ["a later part", "a run like it", "another run", "another model", "the other table"])
def test_a_part_that_is_not_its_own_is_told_in_a_sentence(tmp_path, traces, table, other):
    write(tmp_path / "run", traces)
    write(tmp_path / "more", [traces[5], *traces], others=("kind",))
    write(tmp_path / "big", random_traces(2, layers=6))
    write(tmp_path / "like", traces[::-1])
    name = {"a later part": "000002", "another run": "000003"}.get(other, "000001")
    source = {"another run": "more", "another model": "big", "a run like it": "like"}.get(other, "run")
    taken = {"tokens": "prompts", "prompts": "tokens"}[table] if other == "the other table" else table
    if (table, other) in (("tokens", "another run"), ("prompts", "another model")):
        name = "000003"  # what differs is the number of the prompt
    copied = tmp_path / ("more" if name == "000003" else source) / taken / f"{name}.parquet"
    shutil.copy(copied, tmp_path / "run" / table / "000001.parquet")
    for asked in (Run, lambda folder: RunWriter(folder, manifest_of(traces))):
        with pytest.raises(ValueError, match="/000001.parquet is of another run or of another part: copy the"):
            asked(tmp_path / "run")


@pytest.mark.parametrize("lost", ["both files", "their ends", "the tokens"])
def test_parts_that_are_lost_at_the_end_are_told_and_made_again(tmp_path, traces, lost):
    write(tmp_path / "run", traces)
    for part in (6, 7):
        files = part_files(tmp_path / "run", part)
        for path in files[: 1 if lost == "the tokens" else 2]:
            path.write_bytes(path.read_bytes()[: 2000 * (part - 6)]) if lost == "their ends" else path.unlink()
    with pytest.raises(
        ValueError, match="has 6 of 8 parts: copy the whole run again|is damaged: copy|is missing: copy"
    ):
        Run(tmp_path / "run")
    with RunWriter(tmp_path / "run", manifest_of(traces)) as writer:
        assert not writer.manifest.finished and writer.counts.records == 6
    assert write(tmp_path / "run", traces).ask("SELECT count(DISTINCT prompt) AS n FROM tokens").n[0] == 8


@pytest.mark.parametrize("name", ["a[1]", "star*", "q?", "text=x", "it's; DROP VIEW tokens;--", "a\nb", "~", "[[]"])
def test_a_run_is_read_from_its_own_folder_whatever_that_is_called(tmp_path, traces, name):
    write(tmp_path / "a1", traces[:1])  # what the names mean as patterns
    write(tmp_path / "start", traces[:1])
    run = write(tmp_path / name, traces)
    assert run.ask("SELECT count(DISTINCT prompt) AS n FROM tokens").n[0] == 8
    assert run.ask("SELECT * FROM prompts").columns.tolist() == [*PROMPT_COLUMNS]
    assert len(run.ask_typed("SELECT text FROM prompts")[0]) == 8


def test_a_folder_that_is_not_utf_8_is_refused_in_a_sentence(tmp_path, traces):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    for asked in (Run, lambda folder: RunWriter(folder, manifest_of(traces))):
        with pytest.raises(ValueError, match="caf� has a name that is not UTF-8: choose or rename a folder"):
            asked(folder)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"run_version": 1}', '{"run_version": 1, "sizes": 3}']
    + ["[" * 10**5, '{"run_version": ' + "9" * 5000 + "}"],
)
def test_a_damaged_manifest_is_told_in_a_sentence(tmp_path, traces, text):
    write(tmp_path / "run", traces)
    (tmp_path / "run" / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match="manifest.json is damaged"):
        Run(tmp_path / "run")


@pytest.mark.parametrize(
    "changed",
    [
        {"sizes": {"num_layers": "4)), 1; COPY (SELECT 1) TO '/tmp/owned.csv'; --"}},
        {"sizes": {"num_layers": 0}},
        {"sizes": {"k": -1}},
        {"sizes": {"num_experts": 10**9}},
        {"sizes": {"max_loops": 2.5}},
        {"sizes": {"parts": ["all"]}},
        {"counts": {"parts": "1"}},
        {"model": [1]},
        {"model": {"config": 3}},
        {"settings": {"interventions": "all"}},
        {"settings": None},
        {"sources": {"name": "a"}},
        {"sources": ["a.txt"]},
        {"others": [1]},
        {"finished": "no"},
        {"started": 3},
        {"more": 1},
    ],
)
def test_a_manifest_of_strange_values_is_damaged(tmp_path, traces, changed):
    write(tmp_path / "run", traces[:1])
    path = tmp_path / "run" / "manifest.json"
    told = json.loads(path.read_text())
    for name, value in changed.items():
        told[name] = told[name] | value if name in ("sizes", "counts") else value
    path.write_text(json.dumps(told))
    with pytest.raises(ValueError, match="manifest.json is damaged: make the run anew"):
        Run(tmp_path / "run")


def test_a_manifest_of_fewer_experts_and_one_that_is_a_folder_are_told(tmp_path, traces):
    write(tmp_path / "run", traces[:1])
    path = tmp_path / "run" / "manifest.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | {"sizes": told["sizes"] | {"num_experts": told["sizes"]["num_experts"] - 1}}))
    with pytest.raises(ValueError, match="tokens/000000.parquet is of another run"):
        Run(tmp_path / "run")
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match="manifest.json cannot be read .Is a directory.: copy the run again"):
        Run(tmp_path / "run")


def test_a_run_of_another_version_and_no_run_are_told_apart(tmp_path, traces):
    write(tmp_path / "run", traces)
    manifest = tmp_path / "run" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"run_version": 99}))
    with pytest.raises(ValueError, match="is a run of version 99, and this program reads version 1"):
        Run(tmp_path / "run")
    with pytest.raises(ValueError, match="is not a run: it has no manifest.json. Make one with `python -m app run"):
        Run(tmp_path)


def test_a_manifest_is_read_as_it_was_written(tmp_path, traces):
    manifest = replace(manifest_of(traces), others=("kind",), versions={"torch": "2"})
    (tmp_path / "run").mkdir()
    manifest.write(tmp_path / "run")
    again = Manifest.read(tmp_path / "run")
    assert again == manifest and again.differs_from(manifest) is None


def test_a_token_takes_few_bytes(tmp_path):
    """Random numbers hardly compress: routing of real texts takes less."""
    run = make_run(tmp_path / "run", random_traces(60, layers=6), per_part=60)
    sizes = [files.tokens.stat().st_size for files in run.parts()]
    assert sum(sizes) / run.counts.tokens / 6 < 40
    assert all(
        parquet.read_metadata(files.tokens).row_group(0).column(0).compression == "ZSTD" for files in run.parts()
    )
