"""Runs that the server offers: opened once, bounded in number, told in a sentence when gone; the shipped one."""

import os
import shutil
import sys

import numpy as np
import pytest

from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.runs.run import QuestionError, Run
from analysis.texts.sample_texts import KINDS, SAMPLE_TEXTS
from app.cli import main
from app.limits import MAX_RUNS
from app.server import questions, runs
from docs.make_sample_run import write_run
from sample_models import CHECKPOINTS, DEFAULT_MODEL
from sample_models.loading import load_model
from tests.runs import make_run, random_traces

MAKE = "make it again: python -m docs.make_sample_run"


@pytest.fixture
def folder(tmp_path):
    make_run(tmp_path / "mine", random_traces(6)).close()
    return tmp_path / "mine"


def test_runs_of_one_name_are_told_apart_and_the_shipped_one_comes_last(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "other" / "mine")
    monkeypatch.setenv(runs.RUNS_VARIABLE, os.pathsep.join([str(folder), str(tmp_path / "other" / "mine")]))
    assert list(runs.folders()) == ["mine", "mine (2)", runs.SHIPPED_NAME]


def test_a_run_is_opened_once_until_it_grows(tmp_path):
    traces = random_traces(8)
    make_run(tmp_path, traces[:4], finished=False).close()
    first = runs.opened(tmp_path)
    assert runs.opened(tmp_path) is first
    before = runs.table(tmp_path, ALL_TOKENS, "counts")
    assert runs.table(tmp_path, ALL_TOKENS, "counts") is before
    make_run(tmp_path, traces).close()
    assert runs.opened(tmp_path) is not first and runs.opened(tmp_path).counts.prompts == 8
    assert runs.table(tmp_path, ALL_TOKENS, "counts").prompts[0] == 8 > before.prompts[0]
    assert first.ask("SELECT 1 AS one").one[0] == 1  # whoever still holds the older one may ask it


def test_no_more_runs_stay_open_than_the_server_may_hold(tmp_path):
    for number in range(MAX_RUNS + 2):
        runs.opened(make_run(tmp_path / str(number), random_traces(1)).folder)
    assert len(runs._OPEN) == MAX_RUNS


def test_a_run_that_is_gone_or_damaged_is_one_sentence_without_its_folder(folder):
    runs.opened(folder)
    (folder / "tokens" / "000000.parquet").write_bytes(b"no parquet")
    with pytest.raises(runs.RunError) as damaged:
        runs.table(folder, TokenFilter(text="the"), "counts")
    shutil.rmtree(folder)
    with pytest.raises(runs.RunError, match=r"^The run “mine” is gone") as gone:
        runs.opened(folder)
    for told in (damaged, gone):
        assert str(folder) not in str(told.value) and "\n" not in str(told.value)
    assert "mine" in str(damaged.value)


def test_a_typed_question_is_answered_apart_and_told_as_here(folder):
    sql = "SELECT prompt, text, loops, sum(gate[1]) OVER () AS g, NULL AS n, 1::DECIMAL(4, 1) AS d FROM tokens LIMIT 3"
    found, more = runs.typed(folder, sql)
    with Run(folder) as run:
        here, _ = run.ask_typed(sql)
    assert found.columns.tolist() == here.columns.tolist() and not more
    assert found.drop(columns=["loops", "d"]).equals(here.drop(columns=["loops", "d"]))
    assert found.loops.tolist() == here.loops.map(str).tolist() and found.d.tolist() == ["1.0"] * 3
    with pytest.raises(QuestionError, match="only tokens, prompts, choices, routed can"):
        runs.typed(folder, "SELECT * FROM read_text('/etc/passwd')")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT repeat('x', 3000000) FROM range(1000)",
        "SELECT range(30000000)",
    ],
)
def test_no_typed_question_takes_the_memory_of_the_server(folder, sql):
    """Outside of a process with limits the first one takes three gigabytes, which DuckDB's own limit does not count."""
    with pytest.raises(QuestionError, match="The answer (takes|has) more than .* Ask for fewer rows"):
        runs.typed(folder, sql)


@pytest.mark.parametrize("ends", ["import os; os.abort()", "import time; time.sleep(600)"])
def test_a_typed_question_that_ends_its_process_is_told_in_a_sentence(folder, monkeypatch, caplog, ends):
    monkeypatch.setattr(questions, "READER", (sys.executable, "-c", ends))
    monkeypatch.setattr(questions, "TO_START_S", 1)
    monkeypatch.setattr(questions, "MOST_SECONDS", 0)
    with pytest.raises(QuestionError, match="^The answer takes more than .* Ask for fewer rows"):
        runs.typed(folder, "SELECT 1")
    assert ("a question ended with" in caplog.text) == ("abort" in ends)


@pytest.mark.parametrize("what", ["nothing", "a file", "an empty folder", "damaged parts", "a divided name"])
def test_serve_tells_what_is_no_run_in_a_sentence(folder, tmp_path, capsys, what):
    given = {
        "nothing": tmp_path / "nowhere",
        "a file": folder / "manifest.json",
        "an empty folder": tmp_path / "empty",
        "damaged parts": folder,
        "a divided name": tmp_path / f"a{os.pathsep}b",
    }[what]
    (tmp_path / "empty").mkdir()
    shutil.copytree(folder, tmp_path / f"a{os.pathsep}b")
    (folder / "prompts" / "000000.parquet").write_bytes(b"no parquet")
    assert main(["serve", "--run", str(given)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and str(given.name) in said and "Traceback" not in said


def test_the_shipped_run_is_that_of_the_shipped_model_and_texts(tmp_path):
    write_run(tmp_path / "fresh")
    with Run(tmp_path / "fresh") as fresh, Run(runs.SHIPPED) as shipped:
        assert shipped.meta["weights_sha256"] == load_model(CHECKPOINTS / DEFAULT_MODEL).weights_sha256, MAKE
        assert shipped.manifest.differs_from(fresh.manifest) is None, MAKE
        assert shipped.ask("SELECT text FROM prompts ORDER BY prompt").text.tolist() == list(SAMPLE_TEXTS), MAKE
        question = "SELECT prompt, token, text, gate, logprob, difficulty FROM tokens ORDER BY prompt, token"
        old, new = shipped.ask(question), fresh.ask(question)
        assert old.text.tolist() == new.text.tolist(), MAKE
        np.testing.assert_allclose(old.logprob, new.logprob, atol=1e-4, err_msg=MAKE)
        np.testing.assert_allclose(np.stack(old.difficulty), np.stack(new.difficulty), atol=1e-4, err_msg=MAKE)
    assert sum(path.stat().st_size for path in runs.SHIPPED.rglob("*") if path.is_file()) < 300_000
    assert set(KINDS) == set(SAMPLE_TEXTS)
