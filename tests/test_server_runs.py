"""Runs that the server offers: opened once, bounded in number, told in a sentence when gone; the shipped one."""

import os
import shutil

import numpy as np
import pytest

from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.runs.run import Run
from analysis.texts.sample_texts import KINDS, SAMPLE_TEXTS
from app.cli import main
from app.limits import MAX_RUNS
from app.server import runs
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


@pytest.mark.parametrize("what", ["nothing", "a file", "an empty folder", "damaged parts"])
def test_serve_tells_what_is_no_run_in_a_sentence(folder, tmp_path, capsys, what):
    given = {
        "nothing": tmp_path / "nowhere",
        "a file": folder / "manifest.json",
        "an empty folder": tmp_path / "empty",
        "damaged parts": folder,
    }[what]
    (tmp_path / "empty").mkdir()
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
