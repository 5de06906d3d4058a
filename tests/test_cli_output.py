"""Where the command line writes: terminals, pipes, disks and folders that cannot take it, or hold something already."""

import io
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from analysis.export.files import write_routing_table
from app.cli import main
from hooks.files import whole_file
from hooks.trace import RoutingTrace
from tests.traces import make_trace

ROOT = Path(__file__).parents[1]


def test_runs_are_never_mixed_and_only_files_of_a_run_are_replaced(tmp_path, capsys):
    out, small = tmp_path / "out", ["--model", "versatile-4l-0.4m"]
    (tmp_path / "p.txt").write_text("A fox.\nA king.\nA river.\n", encoding="utf-8")
    assert main(["trace", "--file", str(tmp_path / "p.txt"), *small, "--out", str(out)]) == 0
    make_trace().save(out / "mine.trace.safetensors")
    (out / "notes").mkdir()
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    capsys.readouterr()
    for command in ("trace", "generate"):
        assert main([command, "A boat.", *small, "--out", str(out)]) == 2
        assert capsys.readouterr().err == (
            f"{out} is not empty (it holds {next(out.iterdir()).name}): choose another folder, or add --overwrite, "
            "which replaces numbered traces and routing.parquet of an earlier run and leaves other files as they are\n"
        )
    assert before == {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert main(["trace", "A boat.", *small, "--out", str(out), "--overwrite"]) == 0
    assert capsys.readouterr().err == f"{out}: removed 4 files of an earlier run\n"
    assert sorted(path.name for path in out.iterdir()) == [
        "0000.trace.safetensors",
        "mine.trace.safetensors",
        "notes",
        "routing.parquet",
    ]
    assert RoutingTrace.load(out / "0000.trace.safetensors").meta["text"] == "A boat."
    export = ["export", str(out / "mine.trace.safetensors"), "--overwrite", "--formats", "parquet", "--out", str(out)]
    assert main(export) == 2
    assert capsys.readouterr().err == (
        f"{out} holds numbered traces, and the routing table of them all: choose another folder\n"
    )


def test_an_export_replaces_the_files_of_an_earlier_one_and_no_others(tmp_path, capsys):
    out = tmp_path / "out"
    make_trace().save(tmp_path / "a")
    command = ["export", str(tmp_path / "a"), "--out", str(out)]
    assert main([*command, "--formats", "html,csv", "--figures", "loop_map,gate_map"]) == 0
    (out / "loop_map.txt").write_text("mine")
    assert main([*command, "--formats", "csv"]) == 2 and "is not empty" in capsys.readouterr().err
    wrong = [*command, "--overwrite", "--formats", "gif"]
    assert main(wrong) == 2 and len(list(out.iterdir())) == 6  # a mistake removes nothing
    assert main([*command, "--overwrite", "--formats", "html", "--figures", "loop_map"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["loop_map.html", "loop_map.txt"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_a_full_disk_is_told_with_the_file_and_leaves_nothing_under_its_name(tmp_path, capsys, monkeypatch):
    make_trace().save(tmp_path / "a.trace.safetensors")
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        write(path, b"")
        with open("/dev/full", "wb", buffering=0) as disk:
            return disk.write(content)

    monkeypatch.setattr(Path, "write_bytes", full)
    command = ["export", tmp_path / "a.trace.safetensors", "--figures", "loop_map", "--formats", "html"]
    assert main([*map(str, command), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"{tmp_path / 'out' / 'loop_map.html'}: No space left on device\n"
    assert not list((tmp_path / "out").iterdir())
    assert main(["trace", "A fox.", "--out", str(tmp_path / "traced")]) == 2
    assert capsys.readouterr().err == f"{tmp_path / 'traced' / '0000.trace.safetensors'}: No space left on device\n"
    assert not list((tmp_path / "traced").iterdir())


NAMED = '{"id": "狐狸", "text": "A fox."}\n{"id": "é", "text": "A king."}\n'


@pytest.mark.parametrize("coding", ["cp1252", "ascii", "utf-8"])
def test_name_that_the_terminal_cannot_write_ends_nothing_half_way(coding, tmp_path, monkeypatch):
    (tmp_path / "p.jsonl").write_text(NAMED, encoding="utf-8")
    out, told = io.BytesIO(), io.BytesIO()
    for name, buffer in (("stdout", out), ("stderr", told)):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(buffer, encoding=coding, write_through=True))
    named = ["--file", str(tmp_path / "p.jsonl"), "--model", "versatile-4l-0.4m"]
    assert main(["trace", *named, "--out", str(tmp_path / "out")]) == 0
    first = out.getvalue().splitlines()[0]
    assert first.endswith("狐狸".encode(coding, errors="backslashreplace")) and told.getvalue() == b""
    assert pd.read_parquet(tmp_path / "out" / "routing.parquet").prompt.unique().tolist() == [0, 1]


def test_pipe_that_nobody_reads_ends_nothing_half_way_and_quietly(tmp_path):
    (tmp_path / "p.jsonl").write_text(NAMED, encoding="utf-8")
    command = f"{sys.executable} -m app trace --file {tmp_path}/p.jsonl --model versatile-4l-0.4m --out {tmp_path}/out"
    shell = ["bash", "-c", f"({command}; echo $? > {tmp_path}/code) 2> {tmp_path}/said | true"]
    subprocess.run(shell, cwd=ROOT, check=True, timeout=120)
    assert (tmp_path / "said").read_text() == "" and (tmp_path / "code").read_text() == "0\n"
    assert pd.read_parquet(tmp_path / "out" / "routing.parquet").prompt.unique().tolist() == [0, 1]
    assert len(list((tmp_path / "out").glob("*.safetensors"))) == 2


@pytest.mark.parametrize("arguments", ["--help", "models --json", "--version"])
def test_light_commands_are_quiet_where_nobody_reads(arguments, tmp_path):
    command = f"({sys.executable} -m app {arguments}; echo $? > {tmp_path}/code) 2> {tmp_path}/said | true"
    subprocess.run(["bash", "-c", command], cwd=ROOT, check=True, timeout=120)
    assert (tmp_path / "said").read_text() == "" and (tmp_path / "code").read_text() == "0\n"


def test_streams_that_a_shell_has_closed_are_no_reason_for_a_traceback(tmp_path):
    app = f"{sys.executable} -m app"
    shell = f"{app} trace - --out {tmp_path}/out 2>{tmp_path}/said <&-; echo $?; {app} models >&- 2>&-; echo $?"
    codes = subprocess.run(["bash", "-c", shell], cwd=ROOT, check=True, timeout=120, stdout=subprocess.PIPE).stdout
    assert codes == b"2\n0\n" and not (tmp_path / "out").exists()
    assert (tmp_path / "said").read_text() == "there is no standard input to read the text from\n"


def test_two_runs_into_one_folder_leave_whole_files(tmp_path):
    trace = make_trace()

    def other_run():
        yield trace
        write_routing_table(tmp_path / "routing.parquet", [trace] * 3)
        assert len(pd.read_parquet(tmp_path / "routing.parquet").prompt.unique()) == 3
        yield trace

    write_routing_table(tmp_path / "routing.parquet", other_run())
    assert pd.read_parquet(tmp_path / "routing.parquet").prompt.unique().tolist() == [0, 1]
    with whole_file(tmp_path / "a.trace.safetensors") as part:
        part.write_bytes(b"half of it")
        trace.save(tmp_path / "a.trace.safetensors")
        assert RoutingTrace.load(tmp_path / "a.trace.safetensors").tokens == trace.tokens
        part.write_bytes(trace.to_bytes())
    assert RoutingTrace.load(tmp_path / "a.trace.safetensors").tokens == trace.tokens
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "b") as part:
        part.write_bytes(b"half of it")
        raise KeyboardInterrupt
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.trace.safetensors", "routing.parquet"]
