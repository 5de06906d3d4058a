"""A run of the visitor's own file, in-process: upload, progress, stop, going on, and nothing left of it."""

import errno
import json
import shutil
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import pytest
from filelock import FileLock

from analysis.runs import tracing
from analysis.runs.manifest import Manifest
from analysis.runs.run import Run
from app.limits import MAX_FILE_MB
from app.server import own_runs, runs
from app.server.background_job import BackgroundJob
from app.server.own_runs import NAME, OwnRun
from app.session import run_choice
from app.texts.prompts import PromptError
from tests.app_in_process import captions, new_app, plain_texts, press, turn_to, unfolded

LINES = "\n".join(f"The fox went {'home ' * (1 + i % 5)}number {i}." for i in range(40)).encode()


@pytest.fixture
def app():
    return turn_to(unfolded(new_app()).run(), "atlas")


@pytest.fixture
def held(monkeypatch):
    """Runs stop before their third part until this is set."""
    go = threading.Event()
    told = BackgroundJob.tell

    def tell(job: BackgroundJob, share: float, message: str) -> None:
        while share > 0.4 and not go.is_set():
            told(job, share, message)
            time.sleep(0.01)
        told(job, share, message)

    monkeypatch.setattr(BackgroundJob, "tell", tell)
    monkeypatch.setattr(tracing, "PART_RECORDS", 8)
    yield go
    go.set()


def uploaded(app, name: str = "fox.txt", data: bytes = LINES):
    uploader = next(each for each in app.file_uploader if each.key == "own-run-file")
    uploader.upload(name, data, "text/plain").run()
    return press(app, "Make the run")


def has_button(app, label: str) -> bool:
    return any(button.label == label for button in app.button)


def until(app, done, what: str):
    """Run the page again and again until it is so."""
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end, f"{what} does not come: {plain_texts(app)}"
        time.sleep(0.05)
        app.run()
    assert not app.exception
    return app


def folder(app) -> Path:
    return app.session_state.own_run.folder


def test_a_file_becomes_a_run_that_is_shown_and_nothing_is_left_when_it_is_forgotten(app):
    uploaded(app)
    until(app, lambda: any("The file is read" in text for text in captions(app)), "the end")
    press(app, "Look at it")
    assert app.session_state[run_choice.RUN_KEY] == NAME
    assert any("40 prompts with" in text for text in captions(app))
    home = folder(app).parent
    assert home.stat().st_mode & 0o77 == 0 and len(home.name) >= 32
    other = new_app()  # somebody who names the run of another session
    other.session_state[run_choice.RUN_KEY] = NAME
    other = turn_to(other.run(), "atlas")
    assert NAME not in other.selectbox(key=run_choice.RUN_KEY).options
    assert other.session_state[run_choice.RUN_KEY] == runs.SHIPPED_NAME
    with Run(folder(app)) as run:
        assert run.counts.prompts == 40 and run.manifest.finished
        assert run.ask("SELECT DISTINCT source FROM prompts").source.tolist() == ["fox.txt"]
    app.session_state["text-open"] = True
    press(app, "Forget my texts")
    assert not home.exists() and NAME not in app.selectbox(key=run_choice.RUN_KEY).options
    assert not app.exception


def test_a_run_can_be_watched_stopped_and_gone_on_with(app, held):
    uploaded(app)
    until(app, lambda: has_button(app, "Stop") and app.session_state.own_run_job.share > 0.4, "the progress")
    job = app.session_state.own_run_job
    assert job.message.endswith("tokens…")
    press(app, "Stop")
    assert has_button(app, "Go on") and any("was stopped" in text for text in captions(app))
    with pytest.raises(CancelledError):
        job.future.result(20)
    with Run(folder(app)) as run:
        assert 0 < run.counts.records < 40 and not run.manifest.finished
    held.set()
    press(app, "Go on")
    until(app, lambda: any("The file is read" in text for text in captions(app)), "the end")
    with Run(folder(app)) as run:
        assert run.counts.prompts == 40 and run.manifest.finished
        assert run.ask("SELECT prompt FROM prompts ORDER BY ALL").prompt.tolist() == list(range(40))


def test_a_column_is_chosen_where_none_is_surely_the_text(app):
    uploaded(app, "t.jsonl", "\n".join(json.dumps({"n": i, "m": str(i)}) for i in range(3)).encode())
    until(app, lambda: any("not clear which column of t.jsonl" in text for text in plain_texts(app)), "the question")
    app.selectbox(key="own-run-column").set_value("m").run()
    press(app, "Make the run")
    until(app, lambda: any("The file is read" in text for text in captions(app)), "the end")
    with Run(folder(app)) as run:
        assert run.ask("SELECT text FROM prompts ORDER BY prompt").text.tolist() == ["0", "1", "2"]


def test_a_file_that_is_too_large_is_refused_and_told_how_to_run_it():
    with pytest.raises(
        PromptError, match=r"fox.txt has 5.0 MB; the limit is 5 MB. .*“python -m app run FILE --out RUN”"
    ):
        OwnRun("fox.txt", b"x" * (MAX_FILE_MB * 2**20 + 1))
    with pytest.raises(PromptError, match="fox.txt.gz is not a .* file; save it as one of these"):
        OwnRun("fox.txt.gz", b"x")


def test_a_full_disk_is_told_without_a_folder_of_the_server(app, monkeypatch, caplog):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "/secret/place")

    monkeypatch.setattr(Manifest, "write", full)
    uploaded(app)
    until(app, lambda: any("The server cannot keep your run" in text for text in plain_texts(app)), "the sentence")
    assert not any("/secret" in text or "versatileffn-runs" in text for text in plain_texts(app))
    assert "a visitor's run could not be written" in caplog.text
    monkeypatch.setattr(Path, "write_bytes", full)
    there = len(own_runs._THERE)
    with pytest.raises(
        PromptError, match="The server cannot keep your run, since its disk is full or the run was removed"
    ):
        OwnRun("fox.txt", b"a fox")
    assert len(own_runs._THERE) == there


def test_a_run_whose_folder_is_gone_is_told(app, held):
    uploaded(app)
    until(app, lambda: has_button(app, "Stop") and app.session_state.own_run_job.share > 0.4, "the progress")
    shutil.rmtree(folder(app).parent)
    held.set()
    until(app, lambda: any("cannot keep your run" in text for text in plain_texts(app)), "the sentence")
    assert not app.exception and not has_button(app, "Stop")


def test_records_beyond_the_limit_are_left_out_and_told(app, monkeypatch):
    monkeypatch.setattr(own_runs, "MAX_RUN_PROMPTS", 5)
    uploaded(app)
    until(
        app,
        lambda: any("has more than 5 records or 1,000,000 characters" in text for text in captions(app)),
        "the note",
    )
    with Run(folder(app)) as run:
        assert run.counts.records == 5


def test_only_so_many_runs_of_uploads_are_there_at_a_time(monkeypatch):
    monkeypatch.setattr(own_runs, "MAX_OWN_RUNS", len(own_runs._THERE) + 1)
    first = OwnRun("fox.txt", b"a fox")
    with pytest.raises(PromptError, match="visitors have a run of their own now; try again later, or make it on your"):
        OwnRun("fox.txt", b"a fox")
    first.remove()
    OwnRun("fox.txt", b"a fox").remove()


def test_what_a_killed_server_left_is_removed_and_what_a_running_one_has_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(own_runs.tempfile, "tempdir", str(tmp_path))
    left, held = tmp_path / f"{own_runs.PREFIX}left", tmp_path / f"{own_runs.PREFIX}held"
    for folder in (left, held):
        (folder / "run").mkdir(parents=True)
    with FileLock(held / own_runs.LOCK):
        home, lock = own_runs._home.__wrapped__()
        assert not left.exists() and (held / "run").is_dir() and home.parent == tmp_path and lock.is_locked
    lock.release()


def test_visitors_who_come_at_once_get_one_home(monkeypatch, tmp_path):
    monkeypatch.setattr(own_runs.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(own_runs, "_home", lru_cache(maxsize=1)(own_runs._home.__wrapped__))
    monkeypatch.setattr(own_runs, "MAX_OWN_RUNS", len(own_runs._THERE) + 4)  # beside those of other tests
    made = own_runs.tempfile.mkdtemp
    monkeypatch.setattr(own_runs.tempfile, "mkdtemp", lambda **how: time.sleep(0.1) or made(**how))
    with ThreadPoolExecutor(4) as visitors:
        found = list(visitors.map(lambda _: OwnRun("fox.txt", b"a fox"), range(4)))
    assert len({own.folder.parent.parent for own in found}) == 1 == len(list(tmp_path.iterdir()))
    for own in found:
        own.remove()
    own_runs._home()[1].release()


def test_what_is_made_of_an_upload_goes_with_its_session():
    own = OwnRun("fox.txt", b"a fox")
    home = own.folder.parent
    assert (home / "upload.txt").read_bytes() == b"a fox"
    del own
    assert not home.exists()
