"""Files with one bit turned over, each read in a process forked for it: `python -m tests.flipped parquet 500`.

Prints JSON: outcome -> the seeds that led to it. A reader of uploads may read such a file, refuse it in a sentence,
have no memory or die by a signal; anything else that it raises is a traceback somewhere.
"""

import io
import json
import os
import random
import sys

from app.server.uploads import CPU_S, MEMORY_MB
from app.texts.prompt_files import read_prompt_file
from hooks.trace import RoutingTrace
from sample_models.bounded import limit_self
from tests.traces import make_trace


def parquet_file() -> bytes:
    """A small table of texts, ids and numbers as others write it: compressed, with dictionaries and statistics."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = range(40)
    columns = {"id": [f"row {i}" for i in rows], "text": [f"The fox number {i % 7} ran." for i in rows], "n": rows}
    buffer = io.BytesIO()
    parquet.write_table(pa.table({name: list(values) for name, values in columns.items()}), buffer, row_group_size=16)
    return buffer.getvalue()


def trace_file() -> bytes:
    """A small trace."""
    return make_trace(loops=[[1, 2, 4, 1], [3, 1, 2, 2]]).to_bytes()


WHOLE = {"parquet": parquet_file, "trace": trace_file}
READ = {
    "parquet": lambda data: read_prompt_file("p.parquet", data),
    "trace": lambda data: RoutingTrace.from_bytes(data, name="t.safetensors"),
}


def flipped(data: bytes, seed: int) -> bytes:
    """The file with one bit turned over, by chance."""
    bit = random.Random(seed).randrange(8 * len(data))
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def outcome(kind: str, data: bytes) -> str:
    """What becomes of one file, in a process of its own."""
    if (child := os.fork()) == 0:
        code = 3
        try:
            limit_self(MEMORY_MB, CPU_S)
            READ[kind](data)
            code = 0
        except ValueError as error:
            sentence = str(error)
            code = 1 if sentence.endswith((".", "again")) and "\n" not in sentence and len(sentence) <= 200 else 4
        except MemoryError:
            code = 2
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {0: "read", 1: "refused", 2: "no memory", 3: "traceback", 4: "no sentence"}.get(code, f"signal {-code}")


def main(kind: str, count: str) -> None:
    whole, found = WHOLE[kind](), {}
    READ[kind](whole)  # what it needs is imported before, once for all
    for seed in range(int(count)):
        found.setdefault(outcome(kind, flipped(whole, seed)), []).append(seed)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
