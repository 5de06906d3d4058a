"""Uploads are read in a process of their own: whatever a file does to it becomes one sentence, the next one is read."""

import io
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from app.server import uploads
from app.server.uploads import prompts_of_upload, trace_of_upload
from app.texts.prompt_columns import ColumnNeeded
from app.texts.prompt_files import read_prompt_file
from app.texts.prompts import PromptError
from hooks.trace import RoutingTrace
from hooks.trace_diff import trace_difference
from tests.flipped import WHOLE, flipped, parquet_file, trace_file

ROOT = Path(__file__).parents[1]
FLIPS = 200
BOMB_S, BOMB_MB = 5, 1_024

FILES = {
    "p.txt": b"One.\nTwo.\n",
    "p.md": b"One\nline.\n\nTwo.\n",
    "p.jsonl": b'{"id": "x", "text": "One."}\nnot json\n{"text": 7}\n',
    "p.csv": "id;text\nä;One.\nb;Two.\nb;Three.\n".encode("utf-16"),
    "p.parquet": parquet_file(),
}


def run_here(name: str):
    return read_prompt_file(name, FILES[name])


@pytest.mark.parametrize("name", FILES)
def test_upload_is_read_as_the_file_is_read_here(name):
    assert prompts_of_upload(name, FILES[name]) == run_here(name)


@pytest.mark.parametrize("name", FILES)
def test_only_tables_need_a_process(name, monkeypatch):
    monkeypatch.setattr(uploads, "READER", (sys.executable, "-c", "raise SystemExit(1)"))
    if name in ("p.txt", "p.md"):
        assert prompts_of_upload(name, FILES[name]) == run_here(name)
    else:
        with pytest.raises(PromptError, match="is damaged"):
            prompts_of_upload(name, FILES[name])


def test_upload_beyond_the_limit_needs_no_process(monkeypatch):
    monkeypatch.setattr(uploads, "READER", ())
    with pytest.raises(PromptError, match="^p.csv has 6.0 MB; the limit is 5 MB. Split it.$"):
        prompts_of_upload("p.csv", b"x" * (6 * 2**20))
    with pytest.raises(PromptError, match="has 21.0 MB; the limit is 20 MB"):
        trace_of_upload("t.safetensors", bytes(21 * 2**20))


def test_choices_and_refusals_pass_through_the_process():
    assert prompts_of_upload("p.csv", b"a,b\none x,two x\n", text_column="b", id_column="").prompts[0].text == "two x"
    with pytest.raises(ColumnNeeded, match="^It is not clear which column of p.csv holds the text") as needed:
        prompts_of_upload("p.csv", b"id,score\nx,1\n")
    assert needed.value.names == ["id", "score"]
    with pytest.raises(PromptError, match="^p.csv has no column c; choose one of a, b.$"):
        prompts_of_upload("p.csv", b"a,b\none x,two x\n", text_column="c")


def test_trace_is_the_same_and_a_damaged_one_is_refused():
    read = trace_of_upload("t.safetensors", trace_file())
    assert trace_difference(read, RoutingTrace.from_bytes(trace_file()), meta=True).same
    with pytest.raises(ValueError, match="^t.safetensors is not a readable trace file"):
        trace_of_upload("t.safetensors", trace_file()[:-9])
    header = json.dumps({"__metadata__": {"meta": "[]," * 2**21}}).encode()
    with pytest.raises(PromptError, match="^t.safetensors has a header of more than 4 MB; trace the text again.$"):
        trace_of_upload("t.safetensors", len(header).to_bytes(8, "little") + header)


ENDS = {
    "an abort": ("import os; os.abort()", "is damaged: reading it crashes. Save or download it again."),
    "a broken segment": ("import os; os.kill(os.getpid(), 11)", "is damaged: reading it crashes."),
    "an error of our own": ("raise RuntimeError('a bug')", "is damaged: reading it crashes."),
    "a kill for memory": ("import os; os.kill(os.getpid(), 9)", "takes more than 1,000 MB of memory to read; split it"),
    "too much memory": (
        "from app.server import upload_reader as r\nr.read_prompts = lambda *a: bytearray(2**31)\nr.main()",
        "takes more than 1,000 MB of memory to read; split it, or keep only the columns of texts and names.",
    ),
    "too much work": (
        "from app.server import upload_reader as r\ndef f(*a):\n    while True: pass\nr.read_prompts = f\nr.main()",
        "takes more than 1 s to read; split it, or keep only the columns of texts and names.",
    ),
    "no end": ("import time; time.sleep(600)", "takes more than 1 s to read; split it"),
}


@pytest.mark.parametrize("how", ENDS)
def test_whatever_ends_the_reader_is_told_in_one_sentence(how, monkeypatch, caplog):
    program, sentence = ENDS[how]
    monkeypatch.setattr(uploads, "READER", (sys.executable, "-c", program))
    monkeypatch.setattr(uploads, "CPU_S", 1)
    monkeypatch.setattr(uploads, "CLOCK_S", 3)
    with pytest.raises(PromptError) as refused:
        prompts_of_upload("p.csv", b"text\nOne.\n" * 100_000)
    assert str(refused.value).startswith(f"p.csv {sentence}") and len(str(refused.value)) <= 200
    assert ("a bug" in caplog.text) == (how == "an error of our own"), "the log says what went wrong with us"
    monkeypatch.undo()
    assert prompts_of_upload("p.csv", b"text\nOne.\n").prompts[0].text == "One.", "the next one is served"


def test_reader_ends_when_nobody_waits_for_it(monkeypatch, tmp_path):
    class Left(Exception):
        pass

    def leave():
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            raise Left

    program = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    monkeypatch.setattr(uploads, "READER", (sys.executable, "-c", program))
    began = time.monotonic()
    with pytest.raises(Left):
        prompts_of_upload("p.csv", b"x" * 10**6, while_waiting=leave)
    assert time.monotonic() - began < 20
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert not [each for each in threading.enumerate() if each.name.startswith("ThreadPoolExecutor")]


def test_reader_that_has_answered_cannot_be_ended_by_what_runs_at_exit(monkeypatch):
    program = "import atexit, os, runpy; atexit.register(os.abort); runpy.run_module('app.server.upload_reader', {}, "
    monkeypatch.setattr(uploads, "READER", (sys.executable, "-c", f"{program}'__main__')"))
    assert prompts_of_upload("p.parquet", parquet_file()) == run_here("p.parquet")
    with pytest.raises(PromptError, match="^p.csv is empty"):
        prompts_of_upload("p.csv", b"")


def test_reader_starts_as_few_threads_as_there_can_be(monkeypatch, tmp_path):
    count = f"open({str(tmp_path / 'threads')!r}, 'w').write(str(len(os.listdir('/proc/self/task'))))"
    program = f"import os; from app.server import upload_reader; upload_reader.main(); {count}"
    monkeypatch.setattr(uploads, "READER", (sys.executable, "-c", program))
    assert prompts_of_upload("p.parquet", parquet_file()) == run_here("p.parquet")
    assert int((tmp_path / "threads").read_text()) <= 2, "this one, and Arrow's that reads"


def test_reader_starts_without_what_it_does_not_need():
    code = (
        "import sys, json, io; sys.stdin = io.TextIOWrapper(io.BytesIO(sys.argv[1].encode() + b'\\ntext\\nOne.\\n'))\n"
        "from app.server import upload_reader; upload_reader.main()\n"
        "print(*({'numpy', 'pandas', 'torch', 'streamlit', 'pyarrow'} & set(sys.modules)), file=sys.stderr)"
    )
    request = json.dumps({"what": "prompts", "name": "p.csv", "how": {}, "limits": None})
    ended = subprocess.run([sys.executable, "-c", code, request], cwd=ROOT, capture_output=True, text=True)
    assert '"One."' in ended.stdout and ended.stderr.strip() == "" and ended.returncode == 0


@pytest.mark.parametrize("kind", WHOLE)
def test_file_with_any_bit_turned_over_is_read_or_refused_and_never_a_traceback(kind):
    """Each in a process forked from one that has imported what reads it; `make bench` starts one for each as the app
    does."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.flipped", kind, str(FLIPS)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    outcomes = json.loads(ran.stdout)
    assert sum(map(len, outcomes.values())) == FLIPS
    assert outcomes.keys() <= {"read", "refused", "no memory"} | {f"signal {number}" for number in (6, 11, 24)}
    assert len(outcomes["refused"]) > FLIPS // 10, "most of the file matters"
    for name in outcomes.keys() - {"read"}:
        said = refusal(kind, flipped(WHOLE[kind](), outcomes[name][0]))
        # What no memory or a signal ended there need not end so again: here it may be read.
        assert "\n" not in said and (said or name != "refused")


def refusal(kind: str, data: bytes) -> str:
    """Why the app refuses a file; nothing if it reads it."""
    try:
        (prompts_of_upload if kind == "parquet" else trace_of_upload)(f"p.{kind}", data)
    except ValueError as error:
        return str(error)
    return ""


def written(table: dict, **how) -> bytes:
    buffer = io.BytesIO()
    parquet.write_table(pa.table(table), buffer, compression="zstd", **how)
    return buffer.getvalue()


def repeated(value: str, count: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), [value])


def claiming_less(data: bytes) -> bytes:
    """The file with the sizes that it states of its columns made small."""
    size = parquet.read_metadata(io.BytesIO(data)).row_group(0).column(0).total_uncompressed_size
    changed = data.replace(_varint(size), _varint(100, len(_varint(size))))
    assert parquet.read_metadata(io.BytesIO(changed)).row_group(0).column(0).total_uncompressed_size == 100
    return changed


def _varint(number: int, length: int = 0) -> bytes:
    """A number as Parquet's metadata holds it (zigzag, seven bits a byte), of at least `length` bytes."""
    number, found = 2 * number, bytearray()
    while number or not found or len(found) < length:
        found.append(number & 127 | 128)
        number >>= 7
    found[-1] &= 127
    return bytes(found)


BOMBS = {
    "a text of 49 MB in 2,000 rows": lambda: written({"text": repeated("x" * 49 * 2**20, 2_000)}),
    "600 MB in one page after the other": lambda: written({"text": ["x" * 2**20] * 600}, use_dictionary=False),
    "another size than it says": lambda: claiming_less(
        written({"text": ["x" * 2**20] * 200}, use_dictionary=False, write_statistics=False)
    ),
    "200 MB of different texts": lambda: written({"text": ["x" * 2**20 + str(i) for i in range(200)]}),
}


@pytest.mark.parametrize("name", BOMBS)
def test_small_file_that_unpacks_to_a_great_deal_is_refused_within_time_and_memory(name):
    data = BOMBS[name]()
    assert len(data) < 10**6
    code = (
        "import resource, sys, time; from app.server.uploads import prompts_of_upload\n"
        "began = time.monotonic()\n"
        "try: prompts_of_upload('p.parquet', sys.stdin.buffer.read())\n"
        "except ValueError as error: print(error)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, input=data, capture_output=True, check=True)
    sentence, numbers = ran.stdout.decode().splitlines()
    assert sentence.startswith("p.parquet") and len(sentence) <= 200
    seconds, megabytes = map(float, numbers.split())
    assert seconds < BOMB_S and megabytes < BOMB_MB
