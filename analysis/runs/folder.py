"""The folder of a run: its parts, its manifest, and the lock of whoever writes it."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout
from pyarrow import parquet

from analysis.runs.manifest import Counts

TOKENS, PROMPTS, LOCK = "tokens", "prompts", "run.lock"
ROUTER_PROBS = b"router_probs"
"""Key of the metadata of a file of tokens -> JSON of `Rows.router_probs`."""
PROBLEMS = b"problems"
"""Key of the metadata of a file of prompts -> how many of its records could not be used."""


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


def counts_of(folder: Path) -> Counts:
    """How far a run came, from the files of its parts. Raises ValueError if one is damaged."""
    records = problems = tokens = 0
    parts = parts_in(folder)
    for files in parts:
        rows, unusable = _rows_and_note(files.prompts, PROBLEMS)
        records, problems = records + rows, problems + unusable
        tokens += _rows_and_note(files.tokens, ROUTER_PROBS)[0]
    return Counts(len(parts), records - problems, problems, tokens)


def router_probs_of(files: PartFiles) -> np.ndarray:
    """`Rows.router_probs` of a part, [layer, expert]. Raises ValueError if its file of tokens is damaged."""
    return np.array(_rows_and_note(files.tokens, ROUTER_PROBS)[1])


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


def _rows_and_note(path: Path, key: bytes) -> tuple[int, Any]:
    """The number of rows of a file, and what its metadata hold as JSON under a key. Raises ValueError if one is missing
    or damaged."""
    try:
        about = parquet.read_metadata(path)
        return about.num_rows, json.loads((about.metadata or {})[key])
    except (OSError, ValueError, KeyError) as error:
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
    "router_probs_of",
]
