"""The folder of a run: its parts, its manifest, and the lock of whoever writes it."""

import json
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout
from pyarrow import parquet

from analysis.runs.manifest import Counts
from analysis.runs.schema import Sizes, prompt_schema, token_schema

TOKENS, PROMPTS, LOCK = "tokens", "prompts", "run.lock"
ROUTER_PROBS = b"router_probs"
"""Key of the metadata of a file of tokens -> JSON of `Rows.router_probs`."""
PROBLEMS = b"problems"
"""Key of the metadata of a file of prompts -> how many of its records could not be used."""
TOKEN_ROWS = b"tokens"
"""Key of the metadata of a file of prompts -> rows of its file of tokens; older runs have none."""


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


def drop_damaged_end(folder: Path) -> None:
    """Remove the parts at the end that are damaged, as a loss of power leaves them: who goes on makes them again."""
    count = 0
    while part_files(folder, count).prompts.exists():
        count += 1
    while count and not _is_whole(part_files(folder, count - 1)):
        count -= 1
        part_files(folder, count).prompts.unlink()


def _is_whole(files: PartFiles) -> bool:
    """Whether both files have their ends. Raises OSError for one that cannot be read."""
    try:
        return bool(parquet.read_metadata(files.tokens) and parquet.read_metadata(files.prompts))
    except (ValueError, FileNotFoundError):
        return False


def check_name(folder: Path) -> None:
    """Raises ValueError, in a sentence, for a path that no other program could be told."""
    if any("\ud800" <= sign <= "\udfff" for sign in os.path.realpath(folder)):
        shown = os.fsencode(folder).decode(errors="replace")
        raise ValueError(f"{shown} has a name that is not UTF-8: choose or rename a folder, and those that it is in")


def counts_of(folder: Path, sizes: Sizes, others: tuple[str, ...] = ()) -> Counts:
    """How far a run came, from the files of its parts. Raises ValueError if one is damaged, or of another run or part
    as far as this can be seen without reading its rows."""
    records = problems = tokens = 0
    parts = parts_in(folder)
    of_tokens, of_prompts = token_schema(sizes), prompt_schema(others)
    for files in parts:
        about = _footer(files.prompts, of_prompts)
        end = records + about.num_rows
        if _numbers(about) != (records, end - 1) or PROBLEMS not in about.metadata:
            raise ValueError(_strange(files.prompts))
        about_tokens = _footer(files.tokens, of_tokens)
        first, last = _numbers(about_tokens) or (records, records)
        probs = np.shape(json.loads(about_tokens.metadata.get(ROUTER_PROBS, b"0")))
        rows = int(about.metadata.get(TOKEN_ROWS, about_tokens.num_rows))
        of_sizes = probs == (sizes.num_layers, sizes.num_experts)
        if not (records <= first <= last < end and of_sizes and rows == about_tokens.num_rows):
            raise ValueError(_strange(files.tokens))
        records, problems = end, problems + int(about.metadata[PROBLEMS])
        tokens += about_tokens.num_rows
    return Counts(len(parts), records - problems, problems, tokens)


def router_probs_of(files: PartFiles) -> np.ndarray:
    """`Rows.router_probs` of a part, [layer, expert]."""
    return np.array(json.loads(parquet.read_metadata(files.tokens).metadata[ROUTER_PROBS]))


def _numbers(about: parquet.FileMetaData) -> tuple[int, int] | None:
    """The first and the last number of a prompt in a file; None if it has no rows."""
    groups = [about.row_group(i).column(0).statistics for i in range(about.num_row_groups)]
    groups = [each for each in groups if each is not None and each.has_min_max]
    return (min(each.min for each in groups), max(each.max for each in groups)) if groups else None


def _strange(path: Path) -> str:
    return f"{path} is of another run or of another part: copy the whole run again, or make it anew"


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


def _footer(path: Path, schema: pa.Schema) -> parquet.FileMetaData:
    try:
        about = parquet.read_metadata(path)
        found = about.schema.to_arrow_schema()
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged: copy the run again, or make it anew") from error
    if not found.equals(schema) or about.metadata is None:
        raise ValueError(_strange(path))
    return about


__all__ = [
    "LOCK",
    "PROBLEMS",
    "PROMPTS",
    "ROUTER_PROBS",
    "TOKENS",
    "TOKEN_ROWS",
    "PartFiles",
    "check_name",
    "counts_of",
    "drop_damaged_end",
    "locked",
    "part_files",
    "parts_in",
    "router_probs_of",
]
