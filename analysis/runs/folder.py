"""The folder of a run: its parts, its manifest, and the lock of whoever writes it."""

from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout
from pyarrow import parquet

from analysis.runs.manifest import Counts

TOKENS, PROMPTS, LOCK = "tokens", "prompts", "run.lock"
ROUTER_PROBS = b"router_probs"
"""Key of the metadata of a file of tokens -> JSON of `Rows.router_probs`."""
PROBLEMS = b"problems"
"""Key of the metadata of a file of prompts -> how many of its records could not be used."""
MOST_READ = 1_000
"""Parts whose files are looked into when a run is opened."""


class PartFiles(NamedTuple):
    """The two files of a part."""

    tokens: Path
    prompts: Path


def part_files(folder: Path, number: int) -> PartFiles:
    """Where a part of this number stands."""
    name = f"{number:06d}.parquet"
    return PartFiles(folder / TOKENS / name, folder / PROMPTS / name)


def parts_in(folder: Path) -> list[PartFiles]:
    """The parts that count, in order: those that are there from the first on, without a gap."""
    found: list[PartFiles] = []
    while (files := part_files(folder, len(found))).prompts.exists():
        if not files.tokens.exists():
            raise ValueError(f"{files.tokens} is missing: copy the whole run again, or make it anew")
        found.append(files)
    return found


def counts_of(parts: list[PartFiles], known: Counts | None = None) -> Counts:
    """How far a run came, from the files of its parts. Raises ValueError if one is damaged.

    Of more than MOST_READ parts only those after the `known` ones are read, which the manifest counts: the others are
    read when they are asked.
    """
    if known is None or not MOST_READ < known.parts <= len(parts):
        known = Counts()
    records, problems, tokens = known.records, known.problems, known.tokens
    for files in parts[known.parts :]:
        about = _footer(files.prompts)
        records, problems = records + about.num_rows, problems + int(about.metadata[PROBLEMS])
        tokens += _footer(files.tokens).num_rows
    return Counts(len(parts), records - problems, problems, tokens)


def locked(folder: Path) -> FileLock:
    """The lock of a run, which is held until released. Raises ValueError if another has it."""
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ValueError(
            f"another program is writing the run {folder}: wait for it, stop it, or choose another folder"
        ) from error
    return lock


def _footer(path: Path) -> parquet.FileMetaData:
    try:
        return parquet.read_metadata(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged: copy the run again, or make it anew") from error


__all__ = [
    "LOCK",
    "PROBLEMS",
    "PROMPTS",
    "ROUTER_PROBS",
    "TOKENS",
    "PartFiles",
    "counts_of",
    "locked",
    "part_files",
    "parts_in",
]
