"""The program that answers one question in SQL and ends: `python -m app.server.question_reader`.

`app.server.questions` starts it, with a line of JSON: the files of a run, the question and the limits. It imports
little, so that it starts fast, and limits itself before it does: a few words of SQL can ask for a terabyte, which
DuckDB's own limit does not count.
"""

import json
import os
import sys
from typing import Any

from sample_models.bounded import limit_self


def main() -> None:
    """Read the question on stdin and answer on stdout."""
    request = json.loads(sys.stdin.buffer.readline())
    limit_self(**request["limits"])
    sys.stdout.buffer.write(json.dumps(_answer(**request["question"])).encode())


def _answer(
    folder: str, files: dict[str, list[str]], layers: int, k: int, sql: str, rows: int, seconds: float
) -> dict[str, Any]:
    from pathlib import Path

    from analysis.runs.database import TOO_LARGE, answer_typed, open_database
    from analysis.runs.typed import QuestionError

    try:
        paths = {name: [Path(each) for each in given] for name, given in files.items()}
        database = open_database(Path(folder), paths, layers, k, threads=min(2, os.cpu_count() or 1))
        names, found, more = answer_typed(database, sql, rows=rows, seconds=seconds, folder=Path(folder))
        return {"names": names, "rows": [list(map(_plain, row)) for row in found], "more": more}
    except QuestionError as error:
        return {"refused": str(error)}
    except MemoryError:
        return {"refused": TOO_LARGE}


def _plain(cell: Any) -> Any:
    return cell if cell is None or isinstance(cell, bool | int | float | str) else str(cell)


if __name__ == "__main__":
    main()
    sys.stdout.buffer.flush()
    os._exit(0)  # as app.server.upload_reader
