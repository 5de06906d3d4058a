"""Writes a run part by part, so that a stop at any moment loses at most the part that was being made.

A part is a file of tokens and a file of prompts of the same number. It counts once its file of prompts is there, which
is written last; whoever goes on begins after it.
"""

import errno
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from pyarrow.parquet import ParquetWriter

from analysis.runs.folder import (
    LOCK,
    PROBLEMS,
    PROMPTS,
    ROUTER_PROBS,
    TOKEN_ROWS,
    TOKENS,
    check_name,
    counts_of,
    drop_damaged_end,
    locked,
    part_files,
)
from analysis.runs.manifest import MANIFEST, Counts, Manifest
from analysis.runs.rows import Rows
from analysis.runs.schema import parquet_options, prompt_schema
from hooks.files import whole_file

ROWS_PER_GROUP = 2**16
"""Rows of a row group in a file of tokens: what is read together."""
_NO_ROOM = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "the disk of {folder} is full: make room"),
    errno.EFBIG: "the files of {folder} may not be so large: raise the limit (ulimit -f)",
}
_REFUSED = {
    **{code: f"{told}, then give the same command again" for code, told in _NO_ROOM.items()},
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "{folder} cannot be written: choose another folder"),
    errno.ENOENT: "{folder} was removed while it was written: give the same command again",
}
"""What a system says -> what to do."""


@dataclass(frozen=True)
class Record:
    """A record of a source, as it stands in `prompts`."""

    prompt_id: str
    source: str
    text: str | None
    tokens: int = 0
    problem: str | None = None
    others: dict[str, str] = field(default_factory=dict)


class RunWriter:
    """A run that is being written; nobody else can write it meanwhile.

    `counts.records` says how many records of the sources are in it, so that a run that was stopped goes on after them.
    """

    def __init__(self, folder: Path, manifest: Manifest):
        """Begin a run, or go on with one. Raises ValueError, in a sentence, for a folder that is not empty and no run,
        for a run of another model, source or setting, and for one that another program is writing."""
        self.folder = Path(folder)
        check_name(self.folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"{self.folder} is a file: choose a folder for the run")
        with _writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = locked(self.folder)
            try:
                self.manifest = self._begin(manifest)
            except BaseException:
                self.close()
                raise

    def _begin(self, manifest: Manifest) -> Manifest:
        unfinished = set(self.folder.glob(f"{MANIFEST}.*.part"))
        if (self.folder / MANIFEST).exists():
            found = Manifest.read(self.folder)
            if reason := found.differs_from(manifest):
                raise ValueError(f"{self.folder} is another run: {reason}. Choose another folder, or remove this one")
            manifest = found
            unfinished.update(*((self.folder / name).glob("*.part") for name in (TOKENS, PROMPTS)))
        elif set(self.folder.iterdir()) - {self.folder / LOCK} - unfinished:
            raise ValueError(f"{self.folder} is not empty and holds no run: choose an empty folder")
        for path in unfinished:  # only now is it sure that they are of this run
            path.unlink()
        drop_damaged_end(self.folder)
        # The parts themselves say how far it came, whenever it was stopped and whatever was lost of it since.
        counts = counts_of(self.folder, manifest.sizes, manifest.others)
        finished = manifest.finished and counts == manifest.counts
        manifest = manifest.with_counts(counts, finished=finished, started=manifest.started or _now(), updated=_now())
        manifest.write(self.folder)  # before the folders: without it they would be nobody's
        for name in (TOKENS, PROMPTS):
            (self.folder / name).mkdir(exist_ok=True)
        return manifest

    @property
    def counts(self) -> Counts:
        return self.manifest.counts

    def write(self, rows: Rows, records: Sequence[Record]) -> None:
        """Write a part: its records, in order, and the rows of those that have tokens.

        `prompt` of the first record is `counts.records`. Raises ValueError if the disk is full; what was written
        before is a whole run, which can go on.
        """
        files, first = part_files(self.folder, self.counts.parts), self.counts.records
        read = sum(record.problem is None for record in records)
        with _writing(self.folder, self.counts.records):
            with (
                whole_file(files.tokens) as part,
                ParquetWriter(part, rows.table.schema, **parquet_options(self.manifest.sizes)) as out,
            ):
                out.write_table(rows.table, row_group_size=ROWS_PER_GROUP)
                out.add_key_value_metadata({ROUTER_PROBS: json.dumps(rows.router_probs.tolist())})
            with (
                whole_file(files.prompts) as part,
                ParquetWriter(part, prompt_schema(self.manifest.others), compression="zstd") as out,
            ):
                out.write_table(_prompt_table(records, first, self.manifest.others))
                out.add_key_value_metadata({PROBLEMS: str(len(records) - read), TOKEN_ROWS: str(rows.table.num_rows)})
            counts = Counts(
                parts=self.counts.parts + 1,
                prompts=self.counts.prompts + read,
                problems=self.counts.problems + len(records) - read,
                tokens=self.counts.tokens + rows.table.num_rows,
            )
            self.manifest = self.manifest.with_counts(counts, updated=_now())
            self.manifest.write(self.folder)

    def finish(self) -> None:
        """Say that all sources were read to their end."""
        with _writing(self.folder, self.counts.records):
            finished = self.manifest.with_counts(self.counts, finished=True, updated=_now())
            finished.write(self.folder)
            self.manifest = finished

    def close(self) -> None:
        """Let others write the run."""
        self._lock.release()

    def __enter__(self) -> "RunWriter":
        return self

    def __exit__(self, *_) -> None:
        self.close()


@contextmanager
def _writing(folder: Path, records: int | None = None) -> Iterator[None]:
    """Tells what keeps this block from writing, in a sentence with the remedy."""
    try:
        yield
    except OSError as error:
        told = _REFUSED.get(error.errno)
        if told is None:
            raise
        holds = f". The run can be read, and holds {records:,} records" if records is not None else ""
        raise ValueError(told.replace("{folder}", str(folder)) + (holds if error.errno in _NO_ROOM else "")) from error


def _prompt_table(records: Sequence[Record], first: int, others: Sequence[str]) -> pa.Table:
    columns = {
        "prompt": range(first, first + len(records)),
        **{
            name: [getattr(each, name) for each in records]
            for name in ("prompt_id", "source", "text", "tokens", "problem")
        },
        **{name: [each.others.get(name) for each in records] for name in others},
    }
    return pa.table({name: list(values) for name, values in columns.items()}, schema=prompt_schema(tuple(others)))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


__all__ = ["Record", "RunWriter"]
