"""Files with one bit turned over: `python -m tests.flipped parquet 500`, or `trace`, or `model` for a model's weights.

Prints JSON: outcome -> the seeds that led to it. An upload is read in a process forked for it, which may read such a
file, refuse it in a sentence, have no memory or die by a signal. A model's weights are read in this process, as servers
do, and may only be read or refused. Anything else is a traceback somewhere.
"""

import io
import json
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

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


def weights_outcome(folder: Path, data: bytes) -> str:
    """What becomes of a model folder with these weights, when it is loaded and run."""
    from hooks import capture
    from sample_models import load_model

    (folder / "model.safetensors").write_bytes(data)
    try:
        capture(load_model(folder), "1 2 3")
    except ValueError as error:
        sentence = str(error)
        return "refused" if "\n" not in sentence and sentence.isprintable() and len(sentence) <= 500 else "no sentence"
    return "read"


def model_folder(folder: Path) -> Path:
    """A folder with a very small model that reads token ids: no tokenizer is tried each time."""
    from sample_models.configuration_versatile import VersatileFFNConfig
    from sample_models.loading import no_progress_bar
    from sample_models.modeling_versatile import VersatileFFNForCausalLM

    sizes = dict(vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    with no_progress_bar():
        VersatileFFNForCausalLM(VersatileFFNConfig(**sizes, bos_token_id=None, eos_token_id=0)).save_pretrained(folder)
    return folder


def flipped_weights(seeds: range) -> Iterator[str]:
    """What becomes of so many flips of a model's weights, and of the whole ones before and after them."""
    with tempfile.TemporaryDirectory() as aside:
        folder = model_folder(Path(aside) / "flipped")
        whole = (folder / "model.safetensors").read_bytes()
        header = 8 + int.from_bytes(whole[:8], "little")
        yield weights_outcome(folder, whole)
        for seed in seeds:  # every second one in the header, which is a quarter of the file
            changed = flipped(whole[:header], seed) + whole[header:] if seed % 2 else flipped(whole, seed)
            yield weights_outcome(folder, changed)
        yield weights_outcome(folder, whole)


def flip_weights(count: int) -> dict[str, list[int]]:
    """Outcome -> seeds, over so many flips of a model's weights."""
    found: dict[str, list[int]] = {}
    before, *outcomes, after = flipped_weights(range(count))
    if {before, after} != {"read"}:
        raise ValueError("the whole model must be read")
    for seed, what in enumerate(outcomes):
        found.setdefault(what, []).append(seed)
    return found


def flip_uploads(kind: str, count: int) -> dict[str, list[int]]:
    """Outcome -> seeds, over so many flips of an upload."""
    whole, found = WHOLE[kind](), {}
    READ[kind](whole)  # what it needs is imported before, once for all
    for seed in range(count):
        found.setdefault(outcome(kind, flipped(whole, seed)), []).append(seed)
    return found


def main(kind: str, count: str) -> None:
    print(json.dumps(flip_weights(int(count)) if kind == "model" else flip_uploads(kind, int(count))))


if __name__ == "__main__":
    main(*sys.argv[1:])
