"""Records of files and datasets for a run, read by a program of its own, a part at a time. No Streamlit.

Damaged Parquet aborts whoever reads it, and a small file can unpack to gigabytes: whatever happens to the reader
(`app.server.record_reader`) becomes one sentence, and the sources after a damaged one are read by a new reader.
"""

import hashlib
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis.runs.folder import TOKENS
from analysis.runs.manifest import MANIFEST
from analysis.runs.schema import PROMPT_COLUMNS
from analysis.runs.tracing import SourceRecord
from app.limits import CPU_S, MEMORY_MB
from app.server.record_reader import rest_of_source
from app.server.uploads import PLAIN, ROOT, takes_too_much, why_it_ended
from app.texts.hub_datasets import HUB, dataset_name, is_dataset, revision_of
from app.texts.prompt_columns import ColumnNeeded
from app.texts.prompts import PromptError, opening
from app.texts.record_files import Choices, can_be_read

READER = (sys.executable, "-m", f"{__package__}.record_reader")
LONGEST_NAME = 4096
"""Characters of a file's name, with its folders: systems have no longer ones."""
MOST_OTHERS = 48
"""Columns of all sources together that are kept beside text and name."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A file or dataset."""

    name: str
    """As the run calls it."""
    where: str
    """Its path, or `hf:...`."""

    @property
    def files(self) -> list[Path]:
        """Its files, if it is on this machine."""
        path = Path(dataset_name(self.where).path) if is_dataset(self.where) else Path(self.where)
        inside = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else []
        return [path] if path.is_file() else inside

    def stamp(self) -> list[tuple[int, int]]:
        """Sizes and times of its files, which tell quickly whether they were changed."""
        return [(about.st_size, about.st_mtime_ns) for about in (file.stat() for file in self.files)]

    def described(self) -> dict[str, Any]:
        """What tells it from another version of itself. Raises PromptError for a dataset that cannot be reached."""
        if not (files := self.files):
            return {"name": self.name, "revision": revision_of(self.where)}
        digests = []
        for file in files:
            with file.open("rb") as data:
                digests.append(hashlib.file_digest(data, "sha256").hexdigest())
        whole = digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()
        return {"name": self.name, "bytes": sum(file.stat().st_size for file in files), "sha256": whole}


def sources_of(given: Sequence[str]) -> list[Source]:
    """The files that are given, those in given folders, and datasets, each with a name of its own.

    Raises PromptError if one does not exist, or is given twice.
    """
    found: list[str] = []
    for each in given:
        if is_dataset(each) or Path(each).is_file():
            if each.startswith(HUB):
                dataset_name(each)  # or why it is none
            found.append(each)
        elif Path(each).is_dir():
            if not (inside := sorted(_files_in(Path(each)))):
                raise PromptError(
                    f"{opening(each, 80)} holds no txt, md, jsonl, csv or parquet file; name another one."
                )
            found += inside
        else:
            raise PromptError(
                f"{opening(each, 80)} is not a file or folder; give txt, md, jsonl, csv or parquet files, a folder of "
                "these, or hf:name of a dataset."
            )
    where, count = Counter(found).most_common(1)[0]
    if count > 1:
        raise PromptError(f"{opening(where, 80)} is given twice; name every file once.")
    short = [each if each.startswith(HUB) else Path(each).name for each in found]
    times = Counter(short)
    return [
        Source(_shown(name if times[name] == 1 else Path(where).as_posix()), _absolute(where))
        for name, where in zip(short, found, strict=True)
    ]


def _shown(name: str) -> str:
    """A name on one line, whatever the file is called: bytes that are no UTF-8 become �."""
    return opening(os.fsencode(name).decode(errors="replace"), LONGEST_NAME)


def _absolute(where: str) -> str:
    """The same for a reader in another folder."""
    if not where.startswith(HUB):
        return str(Path(where).absolute())
    path, colon, rest = where.removeprefix(HUB).partition(":")
    return f"{HUB}{Path(path).absolute()}{colon}{rest}" if path and Path(path).is_dir() else where


def _files_in(folder: Path) -> Iterator[str]:
    """Files of records in a folder and the folders in it; hidden ones, links to folders and devices are left out."""
    for parent, folders, names in os.walk(folder):
        if MANIFEST in names and TOKENS in folders:
            folders.clear()  # a run is the end of texts, and not their source
        folders[:] = [each for each in folders if not each.startswith(".")]
        paths = (Path(parent) / name for name in names if not name.startswith("."))
        yield from (str(path) for path in paths if can_be_read(path) and path.is_file())


class Records:
    """The records of sources, in order. The first reader is started by `open`, and ends with the last record."""

    def __init__(self, sources: Sequence[Source], choices: Choices, *, bounded: bool = False):
        """With `bounded` the reader has limits of memory and time, as for files of strangers."""
        self.sources, self.choices, self.bounded = sources, choices, bounded
        self._names: list[dict[int, str]] = []
        """Of each source: place among its other columns -> the column of the run."""
        self._reader: _Reader | None = None
        self.notes: list[str] = []

    def open(self) -> tuple[str, ...]:
        """Find the columns of all sources; returns those beside text and name, as columns of the run.

        Raises PromptError, in a sentence, if one of them cannot be used, and ColumnNeeded if a column has to be chosen.
        """
        self.close()
        self._reader, at = self._started(0, check=True), 0
        for answer in self._reader.answers():
            at = answer.get("at", at)
            if "opened" in answer:
                return self._columns(answer["opened"])
            if "choose" in answer:
                raise ColumnNeeded(answer["refused"], answer["choose"])
            if "refused" in answer:
                raise PromptError(answer["refused"])
            if "lacks" in answer:
                raise ModuleNotFoundError(f"no module named {answer['lacks']}", name=answer["lacks"])
            if "no_memory" in answer:
                raise PromptError(_no_memory(self.sources[at].name))
        raise PromptError(why_it_ended("prompts", self.sources[at].name, self._reader.close()))

    def __iter__(self) -> Iterator[SourceRecord]:
        """All records; one with a problem stands for the rest of a source that cannot be read."""
        assert self._reader, "open() comes first"
        at, weights = 0, self._weights()
        while at < len(self.sources):
            for answer in self._reader.answers():
                at = answer.get("at", at)
                for row in answer.get("rows", ()):
                    yield self._record(at, row, weights)
                if "no_memory" in answer:
                    yield self._record(at, rest_of_source(_no_memory(self.sources[at].name)), weights)
            if code := self._reader.close():
                sentence = why_it_ended("prompts", self.sources[at].name, code)
                yield self._record(at, rest_of_source(sentence), weights)
            elif at == len(self.sources) - 1:
                return
            at += 1
            self._reader = self._started(at, check=False)

    def close(self) -> None:
        """End the reader, wherever it is."""
        if self._reader:
            self._reader.close()

    def __enter__(self) -> "Records":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _started(self, first: int, *, check: bool) -> "_Reader":
        return _Reader(
            {
                "sources": [(source.name, source.where) for source in self.sources],
                "how": asdict(self.choices),
                "first": first,
                "check": check,
                "limits": {"memory_mb": MEMORY_MB, "cpu_s": CPU_S} if self.bounded else None,
            }
        )

    def _columns(self, opened: list[dict[str, Any]]) -> tuple[str, ...]:
        """The columns of the run for the other columns of the sources; names that it has itself are told apart."""
        self._names, self.notes, columns = [], [], {}
        taken = {name.casefold() for name in PROMPT_COLUMNS}
        for source in opened:
            self.notes += source["notes"]
            here: dict[int, str] = {}
            for place, name in enumerate(source["others"]):
                if name not in columns and len(columns) < MOST_OTHERS:
                    free = name.encode(errors="replace").decode()  # half characters stand in no file
                    while free.casefold() in taken:
                        free += " (of the file)"
                    taken.add(free.casefold())
                    columns[name] = free
                if name in columns:
                    here[place] = columns[name]
            self._names.append(here)
        return tuple(columns.values())

    def _record(self, at: int, row: list[Any], weights: list[float]) -> SourceRecord:
        place, name, text, problem, cells, share = row
        source = self.sources[at].name
        if problem and place:  # some sentences go on after the place, as in "line 3 is not JSON"
            problem = f"{source}, {place}{'' if problem[0].islower() else ':'} {problem}"
        others = {column: cells[i] for i, column in self._names[at].items() if i < len(cells)}
        done = sum(weights[:at]) + weights[at] * share
        return SourceRecord(name or source, source, text, problem, others, done)

    def _weights(self) -> list[float]:
        """The share of every source in all of them, by bytes; what is not on this machine counts as an average one."""
        sizes = [sum(file.stat().st_size for file in source.files) for source in self.sources]
        known = [size for size in sizes if size]
        sizes = [size or (sum(known) / len(known) if known else 1) for size in sizes]
        return [size / sum(sizes) for size in sizes]


class _Reader:
    """A running reader, and its answers."""

    def __init__(self, request: dict[str, Any]):
        self._closing = ExitStack()
        self._said = self._closing.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self._at_end = False
        self._process = subprocess.Popen(
            READER,
            cwd=ROOT,
            env=os.environ | PLAIN,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=True,  # Ctrl-C ends the program, and that ends its reader
        )
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.close()

    def answers(self) -> Iterator[dict[str, Any]]:
        """What it answers, until it ends; a line that breaks off is the last sign of one that was ended."""
        for line in self._process.stdout:
            if line.endswith(b"\n"):
                yield json.loads(line)
        self._at_end = True

    def close(self) -> int:
        """End it; returns its exit code if it had ended by itself, else 0."""
        if self._process.stdout.closed:
            return 0
        if not self._at_end:
            self._process.kill()
        self._process.stdout.close()
        code = self._process.wait()
        if self._at_end and code:
            self._said.seek(0)
            log.warning("the reader ended with %d: %s", code, self._said.read()[-500:].decode(errors="replace"))
        self._closing.close()
        return code if self._at_end else 0


def _no_memory(name: str) -> str:
    return takes_too_much("prompts", name, f"{MEMORY_MB:,} MB of memory")


__all__ = ["Records", "Source", "sources_of"]
