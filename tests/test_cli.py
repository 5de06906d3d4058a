"""The command line, run as a user runs it: exit codes, files, and short messages instead of tracebacks."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import hooks
from analysis import answers
from analysis.catalogue import CATALOGUE
from analysis.export.routing_table import COLUMNS
from analysis.view import View
from app.cli import main
from app.server import uploads
from app.session.link import TRACE_VARIABLE
from app.texts.prompt_files import MAX_FILE_MB
from hooks import ForceLoops, ForceTopK
from hooks.trace import RoutingTrace
from tests.traces import make_trace

ROOT = Path(__file__).parents[1]


def run(*arguments):
    command = [sys.executable, "-m", "app", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def refused(capsys, *arguments) -> str:
    assert main([str(argument) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert 1 <= len(error.strip().splitlines()) <= 3 and "Traceback" not in error
    return error


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    """What `trace --file` writes for two prompts."""
    folder = tmp_path_factory.mktemp("traced")
    (folder / "prompts.txt").write_text("A fox.\n<b>7 + 5</b> = 12\n", encoding="utf-8")
    assert main(["trace", "--file", str(folder / "prompts.txt"), "--out", str(folder / "out")]) == 0
    return folder / "out"


def test_help_answers_without_loading_torch():
    began = time.monotonic()
    result = run("--help")
    assert result.returncode == 0 and "serve" in result.stdout and time.monotonic() - began < 10
    code = (
        "import sys, app.__main__ as m\ntry: m.main(['--help'])\nexcept SystemExit: pass\nprint('torch' in sys.modules)"
    )
    probe = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert probe.stdout.strip().endswith("False")


def test_models_lists_the_default_first(capsys):
    assert main(["models"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("versatile-6l-4m\t") and first.endswith("(default)")


def test_trace_writes_a_file_per_prompt_and_one_long_table(traced):
    assert sorted(path.name for path in traced.iterdir()) == [
        "0000.trace.safetensors",
        "0001.trace.safetensors",
        "routing.parquet",
    ]
    table = pd.read_parquet(traced / "routing.parquet")
    assert list(table.columns) == list(COLUMNS)
    for number in (0, 1):
        trace = RoutingTrace.load(traced / f"000{number}.trace.safetensors")
        rows = table[table.prompt == number]
        assert rows.loops.tolist() == trace.loops.ravel().tolist()
        assert rows.text.tolist() == trace.tokens * trace.num_layers
        assert rows.expert_ids.isna().tolist() == (~trace.width_ran).ravel().tolist()


def test_export_writes_what_is_asked_for(traced, tmp_path, capsys):
    assert main(["export", str(traced / "0001.trace.safetensors"), "--out", str(tmp_path), "--formats", "csv"]) == 0
    written = [Path(path) for path in capsys.readouterr().out.split()]
    assert {path.name for path in written} == {f"{each.name}.csv" for each in CATALOGUE if each.of is RoutingTrace}
    assert sorted(written) == sorted(tmp_path.iterdir()) and all(path.stat().st_size for path in written)


def test_answers_are_printed_of_a_trace_alone_for_the_selection_asked_for(traced, capsys):
    file = traced / "0001.trace.safetensors"
    assert main(["answers", str(file), "--layer", "2", "--token", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    read = RoutingTrace.load(file)
    assert lines[1] == f"Difficulty: {answers.difficulty(read).text}"
    assert f"Walkthrough: {answers.walkthrough(read, View(2, 3)).text}" in lines and len(lines) == 12
    assert "--layer must be 0..5 in this trace, got 6" in refused(capsys, "answers", file, "--layer", 6)


def test_export_leaves_out_what_a_trace_does_not_hold_and_says_so(tmp_path, capsys):
    file, out = tmp_path / "a.trace.safetensors", tmp_path / "out"
    dataclasses.replace(make_trace(), meta={}).save(file)
    assert main(["export", str(file), "--out", str(out), "--formats", "html,csv"]) == 0
    told = capsys.readouterr()
    left_out = [line.partition(" is left out. ") for line in told.err.splitlines()]
    assert {name for name, _, _ in left_out} == {"cost_ledger", "cost_by_layer"}
    assert all("does not name the model's hidden_size" in reason for _, _, reason in left_out)
    drawn = {each.name for each in CATALOGUE if each.of is RoutingTrace} - {name for name, _, _ in left_out}
    written = {f"{name}.{end}" for name in drawn for end in ("html", "csv")} | {"plotly.min.js"}
    assert {path.name for path in out.iterdir()} == written
    error = refused(capsys, "export", file, "--out", tmp_path / "asked", "--figures", "loop_map,cost_ledger")
    assert error.startswith("cost_ledger cannot be drawn. This trace does not name")
    assert not list((tmp_path / "asked").iterdir())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [({"meta": {}}, "does not name the model's hidden_size"), ({"loops": np.ones((1, 5_000), int)}, "5,000 tokens")],
)
def test_serve_refuses_a_trace_file_that_not_every_page_can_show(changes, sentence, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv(TRACE_VARIABLE, raising=False)
    make_trace(**changes).save(tmp_path / "a.trace.safetensors")
    assert sentence in refused(capsys, "serve", "--trace", tmp_path / "a.trace.safetensors")
    assert TRACE_VARIABLE not in os.environ


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["trace", "  ", "--out", "x"], "The text is empty"),
        (["trace", "--out", "x"], "give either a text or --file PATH"),
        (["trace", "a", "--file", "b", "--out", "x"], "give either a text or --file PATH"),
        (["trace", "--file", "nowhere.txt", "--out", "x"], "nowhere.txt is not a file"),
        (["trace", "a", "--model", "nowhere", "--out", "x"], "no model folder and no shipped model at nowhere"),
        (["serve", "--trace", "nowhere.safetensors"], "nowhere.safetensors is not a file"),
        (["export", "nowhere.safetensors", "--out", "x"], "nowhere.safetensors is not a file"),
    ],
)
def test_bad_input_is_told_in_a_line_with_exit_code_two(arguments, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sentence in refused(capsys, *arguments)


def test_file_with_a_broken_line_names_it_and_traces_nothing(capsys, tmp_path):
    (tmp_path / "p.jsonl").write_text('"a"\n{broken\n')
    assert "p.jsonl, line 2 is not JSON" in refused(
        capsys, "trace", "--file", tmp_path / "p.jsonl", "--out", tmp_path / "out"
    )
    assert not (tmp_path / "out").exists()


def test_unknown_format_is_refused_with_the_known_ones(traced, tmp_path, capsys):
    error = refused(capsys, "export", traced / "0000.trace.safetensors", "--out", tmp_path, "--formats", "csv,gif")
    assert "gif" in error and "html" in error


def test_damaged_trace_is_refused(tmp_path, capsys):
    (tmp_path / "bad").write_bytes(b"nothing of the kind")
    assert "not a readable trace file" in refused(capsys, "export", tmp_path / "bad", "--out", tmp_path / "out")


def test_output_that_cannot_be_written_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert "cannot write to" in refused(capsys, "trace", "a", "--out", tmp_path / "file" / "under")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "python -m app: the following arguments are required: COMMAND"),
        (["dance"], "python -m app: argument COMMAND: invalid choice: 'dance' (choose from 'serve', "),
        (["trace", "a"], "python -m app trace: the following arguments are required: --out"),
        (["serve", "--port", "99999"], "python -m app serve: argument --port: a port is a number from 1 to 65535"),
    ],
)
def test_wrong_usage_exits_with_two_in_two_lines_that_name_what_is_wrong_and_where_to_look(arguments, sentence):
    result = run(*arguments)
    said, remedy = result.stderr.strip().splitlines()
    assert result.returncode == 2 and said.startswith(sentence)
    assert remedy == f"Try '{said.partition(':')[0]} --help'."


def test_trace_with_interventions_says_so_wherever_it_goes(tmp_path, capsys):
    spec, out = tmp_path / "spec.json", tmp_path / "out"
    spec.write_text('[{"kind": "ForceLoops", "loops": 4, "layers": [1]}, {"kind": "ForceTopK", "k": 1}]')
    asked = ["trace", "A fox.", "--model", "versatile-4l-0.4m", "--out", str(out), "--intervene", str(spec)]
    asked.append("--overwrite")
    assert main(asked) == 0
    words = "(1) 4 loops, λ follows; layer 1, all tokens, (2) the best expert"
    assert f"with interventions: {words}" in capsys.readouterr().err
    trace = RoutingTrace.load(out / "0000.trace.safetensors")
    assert trace.interventions == (ForceLoops(4, 1), ForceTopK(1)) and (trace.loops[1] == 4).all()
    table = pq.read_table(out / "routing.parquet")
    told = pq.read_metadata(out / "routing.parquet").metadata[b"interventions"]
    assert words in json.loads(told)["0"]
    assert {len(row) for row in table["expert_ids"].to_pylist() if row is not None} == {1}
    assert main(["answers", str(out / "0000.trace.safetensors")]) == 0
    assert f"Under interventions, not the model's own routing: {words}" in capsys.readouterr().out
    spec.write_text('[{"kind": "ForceLoops", "loops": 9}]')
    assert "ForceLoops: loops must be 1..4, got 9" in refused(capsys, *asked)
    spec.write_text("[]")
    assert "spec.json: interventions must be a list of 1 to" in refused(capsys, *asked)
    assert (out / "0000.trace.safetensors").is_file()


def test_trace_that_is_stopped_leaves_whole_traces_and_no_table(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("app.cli_trace.BATCH", 2)
    (tmp_path / "p.txt").write_text("A fox.\nA king.\nA river.\n", encoding="utf-8")
    command = ["trace", "--file", str(tmp_path / "p.txt"), "--out", str(tmp_path / "out")]
    assert main(command) == 0 and (tmp_path / "out" / "routing.parquet").is_file()
    capture, batches = hooks.capture, []

    def stopped(loaded, texts, **more):
        batches.append(texts)
        if len(batches) == 2:
            raise KeyboardInterrupt
        return capture(loaded, texts, **more)

    monkeypatch.setattr(hooks, "capture", stopped)
    for path in (tmp_path / "out").glob("*.safetensors"):
        path.unlink()
    (tmp_path / "out" / "routing.parquet").unlink()
    assert main(command) == 130 and capsys.readouterr().err == "stopped\n"
    left = sorted((tmp_path / "out").iterdir())
    assert [RoutingTrace.load(path).meta["text"] for path in left] == ["A fox.", "A king."]


def test_trace_says_how_a_long_text_was_read(tmp_path, capsys):
    assert main(["trace", "The king rode out. " * 150, "--out", str(tmp_path)]) == 0
    assert (
        "tokens, read in 2 windows of 512 tokens, each overlapping the former by 256  The king"
        in capsys.readouterr().out
    )


def test_trace_reads_files_beyond_the_limit_of_an_upload(tmp_path, capsys):
    (tmp_path / "p.csv").write_text("text,notes\nA fox.,\n" + f"A king.,{'x' * 100_000}\n" * 60, encoding="utf-8")
    assert (tmp_path / "p.csv").stat().st_size > MAX_FILE_MB * 2**20
    assert main(["trace", "--file", str(tmp_path / "p.csv"), "--out", str(tmp_path / "out")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 61


def test_trace_takes_a_table_with_chosen_columns_in_several_batches(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("app.cli_trace.BATCH", 2)
    (tmp_path / "p.csv").write_text("key,body,note\na,A fox.,x\nb,7 + 5 = 12,x\na,The end.,x\n", encoding="utf-8")
    arguments = ["--column", "body", "--id-column", "key", "--out", str(tmp_path / "out")]
    assert main(["trace", "--file", str(tmp_path / "p.csv"), *arguments]) == 0
    written = capsys.readouterr()
    assert [line.split("tokens  ")[1] for line in written.out.splitlines()] == ["a", "b", "a (2)"]
    assert "uses 1 name more than once" in written.err
    texts = [RoutingTrace.load(path).meta["text"] for path in sorted((tmp_path / "out").glob("*.safetensors"))]
    assert texts == ["A fox.", "7 + 5 = 12", "The end."]
    assert pd.read_parquet(tmp_path / "out" / "routing.parquet").prompt.unique().tolist() == [0, 1, 2]
    error = refused(capsys, "trace", "--file", tmp_path / "p.csv", "--column", "nowhere", "--out", tmp_path / "x")
    assert error == "p.csv has no column nowhere; choose one of key, body, note.\n"


def test_trace_chooses_no_column_of_ids_and_says_how_to(tmp_path, capsys):
    (tmp_path / "p.jsonl").write_text('{"id": "chat-0", "n": 7}\n')
    error = refused(capsys, "trace", "--file", tmp_path / "p.jsonl", "--out", tmp_path / "out")
    assert error.startswith("It is not clear which column of p.jsonl holds the text (id, n); choose one,")
    assert error.endswith(" (--column NAME chooses).\n")
    assert not (tmp_path / "out").exists()


def test_damaged_table_is_told_in_a_line(tmp_path, capsys, monkeypatch):
    (tmp_path / "p.parquet").write_bytes(b"PAR1" * 9)
    assert "p.parquet is not a complete parquet file" in refused(
        capsys, "trace", "--file", tmp_path / "p.parquet", "--out", tmp_path / "out"
    )
    monkeypatch.setattr(uploads, "READER", (sys.executable, "-c", "import os; os.abort()"))
    assert "p.parquet is damaged" in refused(
        capsys, "trace", "--file", tmp_path / "p.parquet", "--out", tmp_path / "out"
    )
