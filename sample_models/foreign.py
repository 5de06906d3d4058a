"""Files from anywhere: bounded reading of their JSON, and the one place where a library's error becomes a sentence.

A model folder may hold anything: a link to a device, a pipe, JSON 100,000 levels deep. Imports no torch.
"""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MAX_CONFIG_MB = 1
"""Largest config.json or index that is parsed; the largest known have some hundred kilobytes."""
MAX_NAMES_MB = 16
"""Largest JSON file with a name per token or tensor: tokenizer_config.json, the index of many shards."""


def read_json(path: Path, *, max_mb: int = MAX_CONFIG_MB) -> dict[str, Any]:
    """The object in a JSON file, which may begin with a byte order mark.

    Raises ValueError with one sentence for a pipe, a device or a folder, for a file over `max_mb`, for one that cannot
    be opened, and for anything but a JSON object.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(
                f"{path} must be a file, got a folder, a pipe or a device: remove it or give another folder"
            )
        if found.st_size > max_mb * 2**20:
            raise ValueError(f"{path} has more than {max_mb} MB, which is too much for such a file: give another file")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}): check its permissions") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not readable JSON (it is not UTF-8): copy or download it again") from error
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not readable JSON ({brief(error)}): copy or download it again") from error
    if not isinstance(fields, dict):
        raise ValueError(f"{path} must hold a JSON object, got a {type(fields).__name__}: give another file")
    return fields


def is_file(path: Path) -> bool:
    """Whether there is such a regular file; False also where the system does not let one look."""
    return os.path.isfile(path)


def brief(found: object, length: int = 120) -> str:
    """A value or an error of a library on one line of at most `length` characters, for a message."""
    try:
        text = " ".join(str(found).split())
    except ValueError:  # a number of more digits than Python writes
        text = "a number of thousands of digits"
    text = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[: 2 * length])
    return text if len(text) <= length else text[: length - 1] + "…"


@contextmanager
def told_as(sentence: str, remedy: str) -> Iterator[None]:
    """Raise a ValueError that reads "<sentence> (<error>): <remedy>" for whatever a library raises about a file.

    For a single call of a library, never round code of our own, whose bugs must show. The Rust libraries panic with a
    BaseException.
    """
    try:
        yield
    except Exception as error:
        reason = error.__cause__ or error
        kind = "" if isinstance(reason, ValueError) else f"{type(reason).__name__}: "
        raise ValueError(f"{sentence} ({kind}{brief(reason)}): {remedy}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError(f"{sentence} ({brief(error)}): {remedy}") from error


__all__ = ["MAX_CONFIG_MB", "MAX_NAMES_MB", "brief", "is_file", "read_json", "told_as"]
