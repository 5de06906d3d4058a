"""Options of the command line: standard input, JSON, quiet, where and how the model runs, progress, completion."""

import io
import json
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest
from pyarrow.parquet import read_table

from app.cli import main
from app.cli_output import progress
from hooks.trace import RoutingTrace
from tests.traces import make_trace

ROOT = Path(__file__).parents[1]
SMALL = ["--model", "versatile-4l-0.4m"]


@pytest.fixture
def given(monkeypatch):
    """Give bytes to the standard input."""
    return lambda data: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.fixture
def trace_path(tmp_path) -> str:
    make_trace().save(tmp_path / "a.trace.safetensors")
    return str(tmp_path / "a.trace.safetensors")


def lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_dash_reads_the_standard_input_as_one_text_or_as_many(given, tmp_path, capsys):
    given("A fox.\nA <b>king</b> é.\n".encode())
    assert main(["trace", "-", *SMALL, "--out", str(tmp_path / "one")]) == 0
    assert RoutingTrace.load(tmp_path / "one" / "0000.trace.safetensors").meta["text"] == "A fox.\nA <b>king</b> é."
    capsys.readouterr()
    given(b"A fox.\r\nA king.\r\n")
    assert main(["trace", "-", "--per", "line", *SMALL, "--out", str(tmp_path / "two"), "--json"]) == 0
    found = lines(capsys)
    assert [(each["prompt"], each["prompt_id"]) for each in found] == [(0, "line 1"), (1, "line 2")]
    assert found[1]["tokens"] == RoutingTrace.load(found[1]["file"]).num_tokens
    given(b"A fox ran\n")
    assert main(["generate", "-", "--tokens", "2", *SMALL, "--out", str(tmp_path / "three"), "--json"]) == 0
    steps = lines(capsys)
    assert [each.get("token") is None for each in steps] == [False, False, True] and steps[-1]["generated"] == 2
    assert RoutingTrace.load(steps[-1]["file"]).meta["text"].startswith("A fox ran")


@pytest.mark.parametrize(("data", "sentence"), [(b"\xff\xfe", "not text in UTF-8"), (b"\n", "The text is empty")])
def test_a_standard_input_without_a_text_is_refused_and_nothing_is_made(data, sentence, given, tmp_path, capsys):
    given(data)
    assert main(["trace", "-", "--out", str(tmp_path / "out")]) == 2
    assert sentence in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_names_of_prompts_travel_with_their_traces_and_rows(tmp_path):
    (tmp_path / "p.csv").write_text("key,body\nfirst,A fox.\n<b>,A king.\n", encoding="utf-8")
    columns = ["--column", "body", "--id-column", "key"]
    assert main(["trace", "--file", str(tmp_path / "p.csv"), *columns, *SMALL, "--out", str(tmp_path / "out")]) == 0
    rows = read_table(tmp_path / "out" / "routing.parquet", columns=["prompt", "prompt_id", "model"]).to_pylist()
    assert {tuple(row.values()) for row in rows} == {
        (0, "first", "versatile-4l-0.4m"), (1, "<b>", "versatile-4l-0.4m"),
    }  # fmt: skip
    paths = sorted((tmp_path / "out").glob("*.safetensors"))
    assert [RoutingTrace.load(path).meta["prompt_id"] for path in paths] == ["first", "<b>"]


def test_device_dtype_and_step_are_those_of_load_model(tmp_path, capsys):
    how = ["--dtype", "bfloat16", "--step", "245", "--device", "cpu"]
    assert main(["trace", "A fox.", *SMALL, *how, "--out", str(tmp_path / "out")]) == 0
    meta = RoutingTrace.load(tmp_path / "out" / "0000.trace.safetensors").meta
    assert (meta["dtype"], meta["model"]) == ("bfloat16", "versatile-4l-0.4m at step 245")
    capsys.readouterr()
    for options, sentence in (
        (["--device", "nowhere"], "--device nowhere cannot be used on this machine (Expected one of cpu, cuda"),
        (["--device", "cuda:99"], "--device cuda:99 cannot be used on this machine"),
        (["--step", "7"], "must have kept the weights of step 7, it kept those of 0, 61, 245"),
    ):
        assert main(["trace", "A fox.", *SMALL, *options, "--out", str(tmp_path / "new")]) == 2
        assert sentence in capsys.readouterr().err
    assert main(["check", "versatile-4l-0.4m", "--step", "7"]) == 2
    assert "must have kept the weights of step 7" in capsys.readouterr().err


def test_json_is_one_object_on_each_line(trace_path, tmp_path, capsys):
    assert main(["models", "--json"]) == 0
    found = {each["name"]: each for each in lines(capsys)}
    assert found["versatile-6l-4m"]["default"] and found["versatile-4l-0.4m"]["gates_trained"] is True
    assert main(["answers", trace_path, "--json"]) == 0
    assert {"page", "answer"} == set().union(*lines(capsys))
    assert main(["diff", trace_path, trace_path, "--json"]) == 0
    assert lines(capsys) == [{"same": True, "differences": []}]
    out = tmp_path / "figures"
    assert main(["export", trace_path, "--formats", "csv", "--figures", "loop_map", "--out", str(out), "--json"]) == 0
    assert lines(capsys) == [{"file": str(out / "loop_map.csv")}]


def test_quiet_says_nothing_and_works_all_the_same(trace_path, tmp_path, capsys):
    assert main(["export", trace_path, "--formats", "csv", "--out", str(tmp_path / "figures"), "--quiet"]) == 0
    make_trace(loops=[[1, 1], [1, 1]]).save(tmp_path / "b.trace.safetensors")
    assert main(["diff", trace_path, str(tmp_path / "b.trace.safetensors"), "--quiet"]) == 1
    assert main(["trace", "A fox.", *SMALL, "--out", str(tmp_path / "traced"), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert (tmp_path / "figures" / "loop_map.csv").is_file() and (tmp_path / "traced" / "routing.parquet").is_file()
    with pytest.raises(SystemExit):
        main(["models", "--quiet", "--json"])
    assert "not allowed with argument" in capsys.readouterr().err


def test_version_and_help_name_what_there_is(capsys):
    for asked in (["--version"], ["trace", "--help"]):
        with pytest.raises(SystemExit) as ended:
            main(asked)
        assert ended.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f'version = "{told.split()[2]}"' in (ROOT / "pyproject.toml").read_text()
    assert "hf:org/name[@revision]" in told and "--overwrite" in told


def test_progress_is_on_a_terminal_alone_with_rate_and_remaining_time(monkeypatch):
    class Args:
        quiet = False

    reader, writer = pty.openpty()
    termios.tcsetwinsize(writer, (24, 80))
    for shown, quiet in ((True, False), (False, True)):
        Args.quiet = quiet
        with os.fdopen(os.dup(writer), "w") as terminal, monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", terminal)
            with progress(Args, 4, "prompts") as bar:
                bar.bar.mininterval = 0
                for _ in range(3):
                    bar.step()
                with bar.aside():
                    terminal.write("said\n")
            terminal.write("end")
        said = b""
        while not said.endswith(b"end"):
            said += os.read(reader, 10_000)
        assert (b"3/4" in said and b"prompts/s" in said and b"<" in said) == shown
        assert b"said\r\n" in said and (shown or said == b"said\r\nend")
    os.close(writer)
    os.close(reader)


def test_numbers_that_are_not_finite_are_null_in_json(capsys):
    from app.cli_output import result

    class Args:
        quiet, json = False, True

    result(Args, "a line", a=float("nan"), b=[np.inf, 1.5, "é"], c={"d": None, "e": Path("x")})
    assert lines(capsys) == [{"a": None, "b": [None, 1.5, "é"], "c": {"d": None, "e": "x"}}]


def test_completion_is_a_script_that_its_shell_can_read(capsys, tmp_path, monkeypatch):
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "versatileffn"
    script.write_text(capsys.readouterr().out)
    asked = (
        f"source {script}; COMP_WORDS=(versatileffn trace --ov); COMP_CWORD=2; COMP_LINE='versatileffn trace --ov'; "
        "COMP_POINT=23; _shtab_versatileffn versatileffn --ov trace; echo ${COMPREPLY[*]}"
    )
    answer = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "--overwrite"
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "zsh"]) == 2
    assert capsys.readouterr().err == "completion needs the package shtab: pip install shtab\n"
