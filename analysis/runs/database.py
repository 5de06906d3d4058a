"""The tables of a run in a DuckDB of their own, and the answers to what a reader typed. Imports little: it starts fast.

From the moment it is opened, the database can read the run's own files and nothing else, whatever is asked.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from analysis.runs.typed import QuestionError, check_question, first_line

MEMORY_MB = 512
"""Memory that all questions to one opened run may take together."""
MOST_ROWS, MOST_SECONDS = 1_000, 10.0
MOST_CHARACTERS_OF_ANSWER = 4_000_000
"""Limits of an answer to a question that a reader typed."""
TOO_LONG = (
    f"The answer has more than {MOST_CHARACTERS_OF_ANSWER:,} characters. Ask for fewer rows, or for shorter texts."
)
TOO_LARGE = f"The answer takes more than {MEMORY_MB} MB. Ask for fewer rows or columns."
_AS_IT_IS = "hive_partitioning = false"
"""A folder called `a=b` gives the tables no column of this name."""
_LOCKED = (
    "SET enable_external_access=false",
    "SET autoinstall_known_extensions=false",
    "SET autoload_known_extensions=false",
    "SET lock_configuration=true",
)


def open_database(
    folder: Path, files: dict[str, Sequence[Path]], layers: int, k: int, *, threads: int | None = None
) -> duckdb.DuckDBPyConnection:
    """The views `tokens` and `prompts` on files of Parquet, at least one each, and `choices` and `routed` on them."""
    database = connect(threads)
    for name, paths in files.items():
        listed = ", ".join(_literal(_no_pattern(path.resolve())) for path in paths)
        database.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet([{listed}], {_AS_IT_IS})")
    finish_database(database, folder, layers, k)
    return database


def connect(threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """A database without tables, within limits."""
    settings = {"memory_limit": f"{MEMORY_MB}MB", "temp_directory": "", "python_enable_replacements": False}
    return duckdb.connect(":memory:", config=settings | ({"threads": threads} if threads else {}))


def finish_database(database: duckdb.DuckDBPyConnection, folder: Path, layers: int, k: int) -> None:
    """Make the views of `tokens` by layer, and lock the database."""
    token = "prompt, token, token_id, text, special, logprob"
    database.execute(
        f"CREATE VIEW choices AS SELECT {token}, unnest(range({layers:d}))::INTEGER AS layer, unnest(loops) AS loops"
        ", unnest(gate) AS gate, unnest(difficulty) AS difficulty FROM tokens"
    )
    database.execute(
        f"CREATE VIEW routed AS SELECT {token}, (place // {k:d})::INTEGER AS layer, (place % {k:d})::INTEGER AS rank, "
        f"expert, weight FROM (SELECT {token}, unnest(range({layers * k:d})) AS place, unnest(experts) AS expert, "
        "unnest(weights) AS weight FROM tokens) WHERE expert IS NOT NULL"
    )
    own = {str(folder.resolve()), _no_pattern(folder.resolve())}  # DuckDB asks for the pattern, then for what it finds
    allowed = ", ".join(_literal(f"{each}/") for each in sorted(own))
    database.execute(f"SET allowed_directories=[{allowed}]")
    for setting in _LOCKED:
        database.execute(setting)


def answer_typed(
    cursor: duckdb.DuckDBPyConnection, sql: str, *, rows: int, seconds: float, folder: Path
) -> tuple[list[str], list[tuple], bool]:
    """Names of the columns, the first rows, and whether there are more. Raises QuestionError, as `Run.ask_typed`."""
    statement = check_question(sql, cursor)
    clock = threading.Timer(seconds, cursor.interrupt)
    clock.start()
    try:
        answered = cursor.execute(statement)
        names = _told_apart([column[0] for column in answered.description])
        found = _bounded(answered, rows + 1)
    except duckdb.InterruptException as error:
        raise QuestionError(too_slow(seconds)) from error
    except (duckdb.OutOfMemoryException, MemoryError) as error:
        raise QuestionError(TOO_LARGE) from error
    except duckdb.IOException as error:
        raise QuestionError("The files of the run cannot be read any more.") from error
    except duckdb.Error as error:
        raise QuestionError(first_line(error).replace(str(folder.resolve()), folder.resolve().name)) from error
    finally:
        clock.cancel()
    return names, found[:rows], len(found) > rows


def too_slow(seconds: float) -> str:
    """The sentence for a question that takes longer than it may."""
    return f"The answer takes more than {seconds:g} s. Ask for fewer rows, columns or prompts."


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _no_pattern(path: Path) -> str:
    """A path as a pattern for itself alone: else `a[1]` would be read from the folder `a1`."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in str(path))


def _bounded(answered: duckdb.DuckDBPyConnection, rows: int) -> list[tuple]:
    """At most so many rows of an answer. Raises QuestionError if they have too many characters."""
    found, characters = [], 0
    while len(found) < rows and (row := answered.fetchone()) is not None:
        characters += _characters(row)
        if characters > MOST_CHARACTERS_OF_ANSWER:
            raise QuestionError(TOO_LONG)
        found.append(row)
    return found


def _characters(value: Any) -> int:
    """How much of an answer a cell takes, with all that is in it."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_characters, value)) + sum(map(_characters, value.values()))
    return sum(map(_characters, value)) if isinstance(value, list | tuple) else 8


def _told_apart(names: list[str]) -> list[str]:
    """Names of columns without repeats: a second `prompt` becomes `prompt_2`."""
    made: list[str] = []
    for name in names:
        number, own = 2, name
        while own in made:
            own, number = f"{name}_{number}", number + 1
        made.append(own)
    return made


__all__ = [
    "MEMORY_MB", "MOST_ROWS", "MOST_SECONDS", "TOO_LARGE", "answer_typed", "connect", "finish_database",
    "open_database", "too_slow",
]  # fmt: skip
