"""The program that reads the sources of a run and ends: `python -m app.server.record_reader`.

`app.server.records` starts it. It gets a line of JSON (files and datasets, how to read them, and within which limits)
and answers in lines of JSON: first, if asked to check the sources, `{"opened": [...]}` or why there is nothing to read;
then `{"at": number}` before each source and `{"rows": [...]}` of it. It limits itself before it imports what reads
files.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sample_models.bounded import limit_self

if TYPE_CHECKING:
    from app.texts.record_files import Choices, OpenFile

ROWS = 64
"""Rows that are sent together."""
Answer = Callable[..., None]
"""Sends its keyword arguments as a line of JSON."""


def rest_of_source(problem: str) -> list[Any]:
    """The row that stands for what of a source cannot be read."""
    return ["", "", None, problem, [], 1.0]


def main() -> None:
    """Read what the request on stdin names, and answer on stdout."""
    request = json.loads(sys.stdin.buffer.readline())
    if request["limits"]:
        limit_self(**request["limits"])
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no answer

    def answer(**found: Any) -> None:
        out.write(json.dumps(found) + "\n")
        out.flush()

    try:
        _read(request, answer)
    except MemoryError:
        answer(no_memory=True)


def _read(request: dict[str, Any], answer: Answer) -> None:
    from app.texts.prompts import PromptError
    from app.texts.record_files import Choices, open_records

    choices, sources = Choices(**request["how"]), list(enumerate(request["sources"]))
    if request["check"] and not _can_be_used(sources, choices, answer):
        return
    for number, (name, where) in sources[request["first"] :]:
        answer(at=number)
        try:
            _send(open_records(name, where, choices), answer)
        except PromptError as error:
            answer(rows=[rest_of_source(str(error))])


def _can_be_used(sources: Sequence[tuple[int, tuple[str, str]]], choices: "Choices", answer: Answer) -> bool:
    """Whether all sources can be used. Answers with their columns, or with what is wrong with the first that cannot."""
    from app.texts.prompt_columns import ColumnNeeded
    from app.texts.prompts import PromptError
    from app.texts.record_files import open_records

    opened = []
    for number, (name, where) in sources:
        answer(at=number)
        try:
            table = open_records(name, where, choices).table
        except ColumnNeeded as needed:
            answer(refused=str(needed), choose=needed.names)
            return False
        except PromptError as error:
            answer(refused=str(error))
            return False
        except ModuleNotFoundError as error:
            answer(lacks=error.name)
            return False
        opened.append({"others": table.others, "notes": table.notes})
    answer(opened=opened)
    return True


def _send(opened: "OpenFile", answer: Answer) -> None:
    """Send the rows of a source: place, name, text, problem, other cells, and how much of the source is read."""
    from app.texts.prompts import PromptError
    from app.texts.record_files import checked, shown

    rows = []
    try:
        for place, name, content, cells in opened.table.rows:
            text = problem = None
            try:
                if isinstance(content, PromptError):
                    raise content
                text = checked(content)
            except PromptError as error:
                problem = str(error)
            rows.append([place, shown(name) or place, text, problem, cells, opened.share()])
            if len(rows) >= ROWS or len(text or "") > 2**16:
                answer(rows=rows)
                rows = []
    finally:  # also before what cannot be read, which may end this program
        if rows:
            answer(rows=rows)


if __name__ == "__main__":
    main()
