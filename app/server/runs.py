"""Runs that the server offers, opened for all visitors at once. No Streamlit."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from analysis.runs.atlas import OF_WHOLE_RUN, TABLES
from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.runs.manifest import MANIFEST
from analysis.runs.run import QuestionError, Run
from app.limits import MAX_RUNS, MOST_TABLES, TYPED_AT_A_TIME
from app.server.questions import ask_apart
from app.server.result_cache import Result, ResultCache

RUNS_VARIABLE = "VERSATILEFFN_RUNS"
"""Environment variable with folders of runs, set by whoever starts the server."""
SHIPPED = Path(__file__).parents[1] / "assets" / "runs" / "sample_texts"
"""A small run of the sample texts by a shipped model: `python -m docs.make_sample_run` makes it again."""
SHIPPED_NAME = "sample texts"
_OPEN: OrderedDict[tuple[Path, int], Run] = OrderedDict()
_LOCK = threading.Lock()
_TURNS = threading.BoundedSemaphore(TYPED_AT_A_TIME)


class RunError(ValueError):
    """A run that cannot be shown; the message is a sentence for the visitor, without folders of the server."""


def folders() -> dict[str, Path]:
    """Name -> folder of every run that the server offers, those that it was started with first."""
    found: dict[str, Path] = {}
    given = os.environ.get(RUNS_VARIABLE, "")
    for folder in (*map(Path, given.split(os.pathsep) if given else ()), SHIPPED):
        plain = SHIPPED_NAME if folder == SHIPPED else folder.name
        name, number = plain, 2
        while name in found:
            name, number = f"{plain} ({number})", number + 1
        found[name] = folder
    return found


def check_folders(given: list[Path]) -> list[Path]:
    """The whole paths of folders of runs. Raises ValueError, in a sentence, if one is no run that can be read."""
    for folder in given:
        Run(folder).close()
        if os.pathsep in str(folder.resolve()):
            raise ValueError(f"{folder.resolve()} has a “{os.pathsep}” in it, which divides folders here: rename it")
    return [folder.resolve() for folder in given]


def opened(folder: Path) -> Run:
    """The run in a folder, opened once for all visitors, and again when it has grown.

    The runs that were asked last stay open, `MAX_RUNS` of them. One that has to go is closed once nobody asks it any
    more. Raises RunError if it is gone or damaged.
    """
    with told(folder):
        key = folder, stamp(folder)
        with _LOCK:
            if run := _OPEN.get(key):
                _OPEN.move_to_end(key)
                return run
        run = Run(folder)
        with _LOCK:
            for older in [each for each in _OPEN if each[0] == folder]:
                del _OPEN[older]
            _OPEN[key] = run
            while len(_OPEN) > MAX_RUNS:
                _OPEN.popitem(last=False)  # not closed: another visitor may be asking it
        return run


def _answer(folder: Path, _: int, question: Callable[..., Any], arguments: tuple[Hashable, ...]) -> Any:
    return question(opened(folder), *arguments)


_answers = ResultCache(_answer, entries=MOST_TABLES, turn=nullcontext)


def answer(folder: Path, question: Callable[..., Result], *arguments: Hashable) -> Result:
    """`question(run, *arguments)` about the run in a folder, kept for all visitors; it must never be None.

    The question is a function of a module. Do not change its answer. Raises RunError if the run is gone or damaged.
    """
    with told(folder):
        return _answers(folder, stamp(folder), question, arguments)


def table(folder: Path, chosen: TokenFilter, name: str) -> pd.DataFrame:
    """The `answer` with a table of `analysis.runs.atlas.TABLES` about the tokens of a run that count."""
    return answer(folder, TABLES[name], ALL_TOKENS if name in OF_WHOLE_RUN else chosen)


def typed(folder: Path, sql: str) -> tuple[pd.DataFrame, bool]:
    """`ask_apart`, of which only `TYPED_AT_A_TIME` run at once. Raises QuestionError or RunError."""
    with told(folder), _TURNS:
        return ask_apart(opened(folder), sql)


def stamp(folder: Path) -> int:
    """A number that changes when the run grows or is made anew, for caches of what is said of it. Raises RunError if it
    is gone."""
    with told(folder):
        return (folder / MANIFEST).stat().st_mtime_ns


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Whatever goes wrong with a run's files in this block becomes a RunError, which names no folder."""
    try:
        yield
    except (QuestionError, RunError):
        raise
    except (OSError, duckdb.IOException) as error:
        raise RunError(f"The run “{folder.name}” is gone, or was changed while it was read.") from error
    except (ValueError, duckdb.Error) as error:
        if not (folder / MANIFEST).is_file():
            raise RunError(f"The run “{folder.name}” is gone.") from error
        raise RunError(
            f"The run “{folder.name}” is damaged, or of another version of this program: make it anew."
        ) from error


__all__ = [
    "RUNS_VARIABLE",
    "SHIPPED",
    "RunError",
    "answer",
    "check_folders",
    "folders",
    "opened",
    "stamp",
    "table",
    "told",
    "typed",
]
