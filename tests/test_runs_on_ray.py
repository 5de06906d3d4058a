"""A run on Ray equals one made by this machine alone, also when an actor is killed. Left out of `make test`."""

import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from analysis.runs import tracing
from analysis.runs.folder import parts_in
from analysis.runs.run import Run
from analysis.runs.tracing import Progress, write_run
from analysis.runs.writing import RunWriter
from app.cli import main
from hooks.run_reader import RunReader
from tests.models import small_loaded
from tests.ray_work import Noted, Refusing, small_reader, some_records
from tests.test_runs_tracing import manifest

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

from analysis.runs.on_ray import Cluster, write_run_on_ray  # noqa: E402

TWO = Cluster(workers=2)


@pytest.fixture(scope="module")
def reader():
    return RunReader(small_loaded())


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(tracing, "PART_RECORDS", 4)


def written(folder: Path, reader: RunReader, write) -> Path:
    with RunWriter(folder, manifest(reader)) as writer:
        write(writer)
    return folder


def assert_same(one: Path, other: Path, parts: int = 23) -> None:
    """The same parts, with integers and texts equal, and floats to 1e-5."""
    assert len(parts_in(one)) == len(parts_in(other)) == parts
    with Run(one) as first, Run(other) as second:
        assert first.manifest.finished and second.manifest.finished and first.counts == second.counts
        for table, order in (("tokens", "prompt, token"), ("prompts", "prompt")):
            of = [run.ask(f"SELECT * FROM {table} ORDER BY {order}") for run in (first, second)]
            assert len(of[0]) and of[0].columns.tolist() == of[1].columns.tolist()
            for column in of[0]:
                a, b = (each[column].to_numpy() for each in of)
                if column in ("gate", "weights", "difficulty", "logprob"):
                    a, b = (np.ma.filled(np.ma.vstack(each) if each.dtype == object else each, -1.0) for each in (a, b))
                    np.testing.assert_allclose(a.astype(float), b.astype(float), atol=1e-5)
                else:
                    assert str(a.tolist()) == str(b.tolist()), column
        np.testing.assert_allclose(first.router_probs(), second.router_probs(), rtol=1e-5)


@pytest.fixture(scope="module")
def local(reader, tmp_path_factory) -> Path:
    """The run that this machine alone makes."""
    folder = tmp_path_factory.mktemp("runs") / "local"
    tracing_records = tracing.PART_RECORDS
    try:
        return written(folder, reader, lambda writer: write_run(writer, reader, some_records()))
    finally:
        tracing.PART_RECORDS = tracing_records


def test_a_run_of_two_workers_equals_the_local_one_and_each_had_a_share(local, reader, tmp_path):
    (tmp_path / "noted").mkdir()
    told: list[Progress] = []
    make = partial(Noted, tmp_path / "noted")
    made = written(tmp_path / "ray", reader, lambda to: write_run_on_ray(to, make, some_records, told.append, on=TWO))
    assert_same(local, made)
    assert len(list((tmp_path / "noted").iterdir())) == 2
    assert told[-1].records == 90 and told[-1].share == 1 and [each.records for each in told[:3]] == [0, 4, 8]


def test_a_worker_that_is_killed_loses_nothing_and_doubles_nothing(local, reader, tmp_path):
    (tmp_path / "noted").mkdir()
    killed: list[int] = []

    def kill(progress: Progress) -> None:
        workers = [int(each.name) for each in (tmp_path / "noted").iterdir()]
        if progress.records >= 8 * (1 + len(killed)) and len(killed) < 2:
            alive = [pid for pid in workers if pid not in killed]
            os.kill(alive[-1], signal.SIGKILL)
            killed.append(alive[-1])

    make = partial(Noted, tmp_path / "noted")
    made = written(tmp_path / "ray", reader, lambda to: write_run_on_ray(to, make, some_records, kill, on=TWO))
    assert len(killed) == 2 and len(list((tmp_path / "noted").iterdir())) > 2, "others took their places"
    assert_same(local, made)


def test_a_run_that_was_stopped_on_ray_goes_on_on_this_machine(local, reader, tmp_path):
    def stop(progress: Progress) -> None:
        if progress.records >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), RunWriter(tmp_path / "run", manifest(reader)) as writer:
        write_run_on_ray(writer, small_reader, some_records, stop, on=TWO)
    with Run(tmp_path / "run") as run:
        assert run.counts.records == 20 and not run.manifest.finished
    written(tmp_path / "run", reader, lambda writer: write_run(writer, reader, some_records()))
    assert_same(local, tmp_path / "run")


def test_what_goes_wrong_in_a_worker_is_one_sentence_here(reader, tmp_path):
    with RunWriter(tmp_path / "run", manifest(reader)) as writer:
        with pytest.raises(ValueError, match="^the texts cannot be read today$"):
            write_run_on_ray(writer, Refusing, some_records, on=TWO)
        with pytest.raises(ValueError, match="99 workers need a core each"):
            write_run_on_ray(writer, small_reader, some_records, on=Cluster(workers=99))


def test_the_command_makes_the_same_run_on_ray(tmp_path, capsys, monkeypatch):
    monkeypatch.undo()  # parts as large as a worker makes them
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(f"The fox number {i} went home." for i in range(12)), encoding="utf-8")
    for out, how in (("local", []), ("ray", ["--engine", "ray", "--workers", "2"])):
        assert main(["run", str(texts), "--out", str(tmp_path / out), "--model", "versatile-4l-0.4m", *how]) == 0
    assert "12 prompts" in capsys.readouterr().out
    assert_same(tmp_path / "local", tmp_path / "ray", parts=1)
