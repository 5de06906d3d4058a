"""Writes a run part by part, so that a stop at any moment loses at most the part that was being made.

A part is a file of tokens and a file of prompts of the same number. It counts once its file of prompts is there, which
is written last; whoever goes on begins after it.
"""

import errno
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from pyarrow.parquet import ParquetWriter

from analysis.runs.folder import LOCK, PROBLEMS, PROMPTS, ROUTER_PROBS, TOKENS, counts_of, locked, part_files, parts_in
from analysis.runs.manifest import MANIFEST, Counts, Manifest
from analysis.runs.rows import Rows
from analysis.runs.schema import prompt_schema, written_as
from hooks.files import whole_file

ROWS_PER_GROUP = 2**16


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
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"{self.folder} is a file: choose a folder for the run")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = locked(self.folder)
        try:
            self.manifest = self._begin(manifest)
        except BaseException:
            self.close()
            raise

    def _begin(self, manifest: Manifest) -> Manifest:
        for folder in (self.folder, self.folder / TOKENS, self.folder / PROMPTS):
            for unfinished in folder.glob(f"{MANIFEST}.*.part" if folder == self.folder else "*.part"):
                unfinished.unlink()
        there = {path.name for path in self.folder.iterdir()}
        if MANIFEST in there:
            found = Manifest.read(self.folder)
            if reason := found.differs_from(manifest):
                raise ValueError(f"{self.folder} is another run: {reason}. Choose another folder, or remove this one")
            manifest = found
        elif there - {LOCK}:
            raise ValueError(f"{self.folder} is not empty and holds no run: choose an empty folder")
        counts = counts_of(parts_in(self.folder))  # the parts themselves say how far it came, whenever it was stopped
        manifest = manifest.with_counts(counts, started=manifest.started or _now(), updated=_now())
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
        try:
            with (
                whole_file(files.tokens) as part,
                ParquetWriter(part, rows.table.schema, **written_as(self.manifest.sizes)) as out,
            ):
                out.write_table(rows.table, row_group_size=ROWS_PER_GROUP)
                out.add_key_value_metadata({ROUTER_PROBS: json.dumps(rows.router_probs.tolist())})
            with (
                whole_file(files.prompts) as part,
                ParquetWriter(part, prompt_schema(self.manifest.others), compression="zstd") as out,
            ):
                out.write_table(_prompt_table(records, first, self.manifest.others))
                out.add_key_value_metadata({PROBLEMS: str(len(records) - read)})
            counts = Counts(
                parts=self.counts.parts + 1,
                prompts=self.counts.prompts + read,
                problems=self.counts.problems + len(records) - read,
                tokens=self.counts.tokens + rows.table.num_rows,
            )
            self.manifest = self.manifest.with_counts(counts, updated=_now())
            self.manifest.write(self.folder)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise ValueError(
                f"the disk of {self.folder} is full: make room, then give the same command again. The run can be read, "
                f"and holds {self.counts.records:,} records"
            ) from error

    def finish(self) -> None:
        """Say that all sources were read to their end."""
        self.manifest = self.manifest.with_counts(self.counts, finished=True, updated=_now())
        self.manifest.write(self.folder)

    def close(self) -> None:
        """Let others write the run."""
        self._lock.release()

    def __enter__(self) -> "RunWriter":
        return self

    def __exit__(self, *_) -> None:
        self.close()


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
