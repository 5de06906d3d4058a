"""Questions in SQL that visitors typed, each answered by a process of its own, which has limits of memory and time."""

import json
import logging
import os
import subprocess
import sys

import pandas as pd

from analysis.runs.database import MOST_ROWS, MOST_SECONDS, TOO_LARGE, too_slow
from analysis.runs.run import QuestionError, Run
from app.limits import QUESTION_CPU_S, QUESTION_MEMORY_MB
from app.server.uploads import PLAIN, ROOT

READER = (sys.executable, "-m", f"{__package__}.question_reader")
TO_START_S = 20
"""By the clock, for the process to start on a machine whose cores others keep busy."""

log = logging.getLogger(__name__)


def ask_apart(run: Run, sql: str) -> tuple[pd.DataFrame, bool]:
    """`Run.ask_typed`, without danger for this process: numbers, texts and truths; other cells are written out."""
    if not run.counts.parts:
        return run.ask_typed(sql)  # empty tables
    question = {
        "folder": str(run.folder.absolute()),
        "files": {name: [str(each.absolute()) for each in paths] for name, paths in run.files().items()},
        "layers": run.sizes.num_layers,
        "k": run.sizes.k,
        "sql": sql,
        "rows": MOST_ROWS,
        "seconds": MOST_SECONDS,
    }
    request = {"question": question, "limits": {"memory_mb": QUESTION_MEMORY_MB, "cpu_s": QUESTION_CPU_S}}
    try:
        ended = subprocess.run(
            READER,
            input=json.dumps(request).encode() + b"\n",
            cwd=ROOT,
            env=os.environ | PLAIN,
            capture_output=True,
            timeout=MOST_SECONDS + TO_START_S,
            start_new_session=True,  # Ctrl-C ends the program
        )
    except subprocess.TimeoutExpired as error:
        raise QuestionError(too_slow(MOST_SECONDS)) from error
    if ended.returncode:
        log.warning("a question ended with %d: %s", ended.returncode, ended.stderr.decode(errors="replace")[-500:])
        raise QuestionError(TOO_LARGE)
    found = json.loads(ended.stdout)
    if "refused" in found:
        raise QuestionError(found["refused"])
    return pd.DataFrame(found["rows"], columns=pd.Index(found["names"], dtype=object)), found["more"]


__all__ = ["ask_apart"]
