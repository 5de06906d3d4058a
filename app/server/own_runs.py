"""A run made of a visitor's file: in a folder of its own, for this visitor alone, and gone with them. No Streamlit."""

import atexit
import logging
import secrets
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from analysis.runs.manifest import MANIFEST
from analysis.runs.tracing import Progress, SourceRecord, manifest_of, write_run
from analysis.runs.writing import RunWriter
from app.limits import MAX_DECODED_MB, MAX_FILE_MB, MAX_OWN_RUNS, MAX_RUN_CHARACTERS, MAX_RUN_PROMPTS
from app.server.background_job import BackgroundJob
from app.server.records import Records, Source
from app.texts.prompt_files import FILE_TYPES
from app.texts.prompts import PromptError, opening
from app.texts.record_files import Choices

if TYPE_CHECKING:
    from sample_models.loading import LoadedModel

NAME = "your file"
"""Name of the run; that of the file would stand in the address."""
PREFIX, LOCK = "versatileffn-runs-", "server.lock"
log = logging.getLogger(__name__)
_BEGINNING = threading.Lock()
"""Held while a visitor gets a folder: two who come at once get one home, and no more are let in than may be."""
_THERE: "weakref.WeakSet[OwnRun]" = weakref.WeakSet()
"""Those of all visitors."""


class OwnRun:
    """The upload and the folder of its run. Both are removed with this object: at the latest when the program ends."""

    def __init__(self, name: str, data: bytes, *, per: str | None = None, text_column: str | None = None):
        """Raises PromptError, in a sentence that says how to run it instead, for a file that is too large."""
        self.name = opening(name, 80)
        if len(data) > MAX_FILE_MB * 2**20:
            raise PromptError(
                f"{self.name} has {len(data) / 2**20:.1f} MB; the limit is {MAX_FILE_MB} MB. Where this program is "
                "installed, “python -m app run FILE --out RUN” reads files of any size, and “python -m app serve --run "
                "RUN” shows them."
            )
        kind = name.rpartition(".")[2].lower()
        if kind not in FILE_TYPES:
            raise PromptError(
                f"{self.name} is not a {', '.join(FILE_TYPES[:-1])} or {FILE_TYPES[-1]} file; save it as one of these."
            )
        with _BEGINNING, _room_told():
            if len(_THERE) >= MAX_OWN_RUNS:
                raise PromptError(
                    f"{MAX_OWN_RUNS} visitors have a run of their own now; try again later, or make it on your own "
                    "machine with “python -m app run FILE --out RUN”."
                )
            home = _home()[0] / secrets.token_urlsafe(24)
            home.mkdir(mode=0o700)
            self._removed = weakref.finalize(self, shutil.rmtree, home, ignore_errors=True)
            self.folder, upload = home / NAME, home / f"upload.{kind}"
            upload.write_bytes(data)
            _THERE.add(self)
        self.source = Source(self.name, str(upload))
        self.choices = Choices(per, text_column, max_decoded_mb=MAX_DECODED_MB)
        self._busy = threading.Lock()
        self.note = ""
        """What the visitor should know about how it was read."""

    @property
    def has_begun(self) -> bool:
        """Whether there is a run to look at."""
        return (self.folder / MANIFEST).is_file()

    @contextmanager
    def alone(self, job: BackgroundJob) -> Iterator[None]:
        """Wait until a job that was stopped before has ended: it stops at its next pass."""
        while not self._busy.acquire(timeout=0.1):
            job.check()
        try:
            yield
        finally:
            self._busy.release()

    def remove(self) -> None:
        """Remove the upload and its run."""
        _THERE.discard(self)
        self._removed()


def make_own_run(job: BackgroundJob, own: OwnRun, loaded: "LoadedModel") -> None:
    """Trace the upload, or go on with it, letting other visitors go first after every pass.

    Raises PromptError if it cannot be used, ColumnNeeded if a column has to be chosen, and CancelledError if it was
    stopped; what was traced stays.
    """
    from hooks.run_reader import RunReader

    reader = RunReader(loaded)
    with own.alone(job), _room_told(), Records([own.source], own.choices, bounded=True) as records:
        others = records.open()
        manifest = manifest_of(reader, [own.source.described()], others, limit=MAX_RUN_PROMPTS)
        rows = iter(records)
        with RunWriter(own.folder, manifest) as writer, job.turns() as next_turn:

            def tell(progress: Progress) -> None:
                job.tell(progress.share, f"{progress.records:,} records, {progress.tokens:,} tokens…")
                next_turn()

            write_run(writer, reader, _first(rows), tell)
        notes = list(records.notes)
        if next(rows, None):
            most = f"{MAX_RUN_PROMPTS:,} records or {MAX_RUN_CHARACTERS:,} characters"
            notes.append(f"{own.name} has more than {most}, and only the first ones are in the run.")
        own.note = " ".join(notes)


@contextmanager
def _room_told() -> Iterator[None]:
    """What the server's disk refuses, in a sentence that names none of its folders."""
    try:
        yield
    except PromptError:
        raise
    except (OSError, ValueError) as error:
        if not isinstance(error, OSError) and not isinstance(error.__cause__, OSError):
            raise
        log.warning("a visitor's run could not be written: %s", error)
        raise PromptError(
            "The server cannot keep your run, since its disk is full or the run was removed: try again later, or make "
            "it on your own machine with “python -m app run FILE --out RUN”."
        ) from error


def _first(records: Iterator[SourceRecord]) -> Iterator[SourceRecord]:
    """As many as an upload may have."""
    characters = 0
    for record in islice(records, MAX_RUN_PROMPTS):
        yield record
        characters += len(record.text or "")
        if characters >= MAX_RUN_CHARACTERS:
            return


@lru_cache(maxsize=1)
def _home() -> tuple[Path, FileLock]:
    """The folder of all visitors' runs, which only this program's user may read, and its lock, which this program holds
    until it ends. The folder goes then, too.

    Those of servers that were killed go now: nobody holds their locks any more.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError, Timeout), FileLock(left / LOCK, timeout=0, blocking=False):
            shutil.rmtree(left, ignore_errors=True)
    home = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = FileLock(home / LOCK)
    lock.acquire()
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    return home, lock


__all__ = ["NAME", "OwnRun", "make_own_run"]
