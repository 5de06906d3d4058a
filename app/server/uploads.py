"""Files of visitors, read where they can do no harm: in a process of its own, which ends with the file.

Damaged Parquet aborts whoever reads it, and a small file can unpack to gigabytes. So jsonl, csv, parquet and traces are
read by `app.server.upload_reader`, which has limits of memory and time; whatever happens to it becomes one sentence.
txt and md are only decoded and cut, which no bytes can make expensive: they are read here, at once. No Streamlit.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from app.limits import CLOCK_S, CPU_S, MAX_FILE_MB, MAX_HEADER_MB, MAX_PROMPTS, MAX_TRACE_MB, MEMORY_MB
from app.server.trace_files import showable
from app.texts.prompt_columns import ColumnNeeded, Columns
from app.texts.prompt_files import TABLE_TYPES, PromptList, read_prompt_file
from app.texts.prompts import Prompt, PromptError, opening
from hooks.trace import RoutingTrace

LOOK_S = 0.1
"""How often who waits is asked whether they still do."""
ROOT = Path(__file__).parents[2]
READER = (sys.executable, "-m", f"{__package__}.upload_reader")
PLAIN = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "ARROW_IO_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""Settings of a reader: memory as the system gives it, and as few threads as there can be. What pools and threads
reserve would count as used."""

log = logging.getLogger(__name__)


def _goes_on() -> None:
    """Nobody asks whether the reader still waits."""


def is_table(name: str) -> bool:
    """Whether a file of prompts is one of those that are read in a process of its own."""
    return name.rpartition(".")[2].lower() in TABLE_TYPES


def prompts_of_upload(
    name: str, data: bytes, *, while_waiting: Callable[[], None] = _goes_on, own: bool = False, **how: str | None
) -> PromptList:
    """The prompts of a file; `how` are the choices of `read_prompt_file`, which says what is raised.

    `while_waiting` is called again and again; what it raises ends the reading. A file of one's `own` (the command
    line's) is read in the same way, of any size and for as long as it takes.
    """
    limits = {"max_prompts": None if own else MAX_PROMPTS, "max_mb": None if own else MAX_FILE_MB}
    too_large = not own and len(data) > MAX_FILE_MB * 2**20
    if too_large or not is_table(name):
        return read_prompt_file(name, data, **how, **limits)
    found = _read_apart("prompts", name, data, how | limits, while_waiting, bounded=not own)["list"]
    found["prompts"] = [Prompt(**each) for each in found["prompts"]]
    found["columns"] = found["columns"] and Columns(**found["columns"])
    return PromptList(**found)


def trace_of_upload(name: str, data: bytes, *, while_waiting: Callable[[], None] = _goes_on) -> RoutingTrace:
    """The trace in a file, which every page can show. Raises ValueError, in one sentence, if it holds none."""
    shown, header = opening(name, 40), int.from_bytes(data[:8], "little")
    if len(data) > MAX_TRACE_MB * 2**20:
        raise PromptError(f"{shown} has {len(data) / 2**20:.1f} MB; the limit is {MAX_TRACE_MB} MB. Shorten its text.")
    if MAX_HEADER_MB * 2**20 < header <= len(data):
        raise PromptError(f"{shown} has a header of more than {MAX_HEADER_MB} MB; trace the text again.")
    _read_apart("trace", shown, data, {}, while_waiting, bounded=True)
    return showable(RoutingTrace.from_bytes(data, name=shown))  # what was read there can be read here


def _read_apart(
    what: str, name: str, data: bytes, how: dict[str, Any], while_waiting: Callable[[], None], *, bounded: bool
) -> dict[str, Any]:
    """The answer of a reader that is started for this file, and is gone when this returns or raises."""
    limits = {"memory_mb": MEMORY_MB, "cpu_s": CPU_S} if bounded else None
    request = json.dumps({"what": what, "name": name, "how": how, "limits": limits}).encode() + b"\n" + data
    shown, pipe = opening(name, 40), subprocess.PIPE
    reader = subprocess.Popen(
        READER,
        cwd=ROOT,
        env=os.environ | PLAIN,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        start_new_session=True,  # Ctrl-C ends the program, and that ends its reader
    )
    with reader, ThreadPoolExecutor(1) as pool:
        talk, began = pool.submit(reader.communicate, request), time.monotonic()
        try:
            while not wait([talk], LOOK_S).done:
                if bounded and time.monotonic() - began > CLOCK_S:
                    raise PromptError(takes_too_much(what, shown, f"{CPU_S} s"))
                while_waiting()
        finally:
            reader.kill()
    answer, said = talk.result()
    if reader.returncode:
        log.warning("reading %s ended with %d: %s", shown, reader.returncode, said.decode(errors="replace")[-500:])
        raise PromptError(why_it_ended(what, shown, reader.returncode))
    found = json.loads(answer)
    if "no_memory" in found:
        raise PromptError(takes_too_much(what, shown, f"{MEMORY_MB:,} MB of memory"))
    if "choose" in found:
        raise ColumnNeeded(found["refused"], found["choose"])
    if "refused" in found:
        raise PromptError(found["refused"])
    return found


def why_it_ended(what: str, name: str, code: int) -> str:
    """The sentence for a file whose reader ended with this exit code."""
    if code == -getattr(signal, "SIGXCPU", 0):
        return takes_too_much(what, name, f"{CPU_S} s")
    if code == -getattr(signal, "SIGKILL", 0):
        return takes_too_much(what, name, f"{MEMORY_MB:,} MB of memory")
    return f"{name} is damaged: reading it crashes. Save or download it again."


def takes_too_much(what: str, name: str, much: str) -> str:
    """The sentence for a file whose reader came to a limit."""
    remedy = "trace a shorter text" if what == "trace" else "split it, or keep only the columns of texts and names"
    return f"{name} takes more than {much} to read; {remedy}."


__all__ = [
    "MAX_TRACE_MB", "PLAIN", "ROOT", "is_table", "prompts_of_upload", "takes_too_much", "trace_of_upload",
    "why_it_ended",
]  # fmt: skip
