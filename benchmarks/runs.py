"""What a run over a whole file costs: memory, throughput beside the plain forward pass, kills, bytes and opening.

python -m benchmarks.runs [--prompts 100000] [--few 1000] [--kills 5] [--tokens 2000000] [--only throughput ...]

Asked are: a peak of memory of at most 1.2 times that of a small run; 0.85 of the throughput of the plain batched
forward pass on the same tokens (logits included, same batches, one process, in turn); a run that was killed at random
moments equal to an unbroken one; at most 12 bytes per token and layer; and less than 3 s to open a run of two million
tokens. Ends with exit code 1 if one is missed.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from pyarrow import parquet

from analysis.runs.folder import router_probs_of
from analysis.runs.rows import Rows
from analysis.runs.run import Run
from analysis.runs.tracing import SourceRecord, manifest_of, parts_of, write_run
from analysis.runs.writing import Record, RunWriter
from app.texts.examples import EXAMPLES
from benchmarks.interleaved import interleaved_medians
from hooks.capturing import batches_of
from hooks.run_reader import RunReader
from sample_models import load_model

MODEL = "versatile-6l-4m"
MOST_MEMORY, LEAST_THROUGHPUT, MOST_BYTES, MOST_SECONDS = 1.2, 0.85, 12.0, 3.0
ROOT = Path(__file__).parents[1]
PEAK = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def texts(count: int, seed: int = 0) -> Iterator[str]:
    """Texts of about 20 tokens, of the words of the examples."""
    words, draw = " ".join(prompt.text for prompt in EXAMPLES.values()).split(), random.Random(seed)
    return (" ".join(draw.choices(words, k=draw.randint(7, 13))) for _ in range(count))


def file_of_texts(folder: Path, count: int) -> Path:
    """A file with a text on each line."""
    path = folder / f"{count}.txt"
    path.write_text("\n".join(texts(count)), encoding="utf-8")
    return path


def command(path: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "app", "run", str(path), "--out", str(out), "--model", MODEL, "--quiet"]


def made(path: Path, out: Path) -> tuple[float, int]:
    """Seconds and peak memory, in bytes, of the command that makes a run.

    A small program starts it and asks: the system counts the memory of whoever starts a program as its own.
    """
    began = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", PEAK, *command(path, out)], cwd=ROOT, stdout=subprocess.PIPE)
    if ended.returncode:
        sys.exit(f"the command ended with {ended.returncode}")
    return time.monotonic() - began, int(ended.stdout) * 1024


def measure_memory(folder: Path, few: int, many: int) -> bool:
    """Peaks of memory of a small and a large run, and bytes per token and layer of the large one."""
    peaks = {}
    for count in (few, many):
        seconds, peaks[count] = made(file_of_texts(folder, count), folder / f"run {count}")
        with Run(folder / f"run {count}") as run:
            counts, layers = run.counts, run.sizes.num_layers
            size = sum(files.tokens.stat().st_size for files in run.parts())
        print(
            f"{count:9,} prompts, {counts.tokens:11,} tokens: {seconds:7.1f} s, peak {peaks[count] / 2**20:7.1f} MB, "
            f"{size / counts.tokens / layers:.2f} bytes per token and layer"
        )
    ratio = peaks[many] / peaks[few]
    print(f"peak of {many:,} / peak of {few:,} prompts: {ratio:.3f} (asked: at most {MOST_MEMORY})")
    return ratio <= MOST_MEMORY and size / counts.tokens / layers <= MOST_BYTES


def measure_throughput(folder: Path, count: int, rounds: int) -> bool:
    """A run over texts against the plain forward passes over the same tokens in the same batches, in one process."""
    loaded = load_model(MODEL)
    reader, given = RunReader(loaded), [SourceRecord(str(i), "a", text) for i, text in enumerate(texts(count))]
    read = [reader.read([record.text for record in part]) for part in parts_of(given)]
    tokens = sum(len(reading.ids) for part in read for reading in part)

    @torch.inference_mode()
    def plain() -> None:
        for part in read:
            for batch in batches_of([len(reading.ids) for reading in part]):
                longest = max(len(part[i].ids) for i in batch)
                rows = [[*part[i].ids, *[0] * (longest - len(part[i].ids))] for i in batch]
                loaded.model(torch.tensor(rows), use_cache=False)

    def run() -> None:
        shutil.rmtree(folder / "timed", ignore_errors=True)
        with RunWriter(folder / "timed", manifest_of(reader, [{"name": "a"}])) as writer:
            write_run(writer, reader, given)

    medians = interleaved_medians({"plain": plain, "run": run}, rounds)
    ratio = medians["plain"] / medians["run"]
    for name, seconds in medians.items():
        print(f"{name:6s} {tokens / seconds:9,.0f} tokens/s, median of {rounds} rounds of {tokens:,} tokens")
    print(f"throughput of a run / plain forward passes: {ratio:.3f} (asked: at least {LEAST_THROUGHPUT})")
    return ratio >= LEAST_THROUGHPUT


def measure_kills(folder: Path, count: int, kills: int) -> bool:
    """A run that is killed at random moments, and goes on each time, beside an unbroken one."""
    path, draw = file_of_texts(folder, count), random.Random(0)
    start, _ = made(file_of_texts(folder, 1), folder / "start")
    seconds, _ = made(path, folder / "whole")
    killed = 0
    while killed < kills:
        process = subprocess.Popen(command(path, folder / "killed"), cwd=ROOT)
        try:
            process.wait(start + draw.random() * (seconds - start) / kills)
            break  # it was finished before
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
    made(path, folder / "killed")
    same = differs(folder / "whole", folder / "killed") is None
    print(f"{killed} kills of a run of {count:,} prompts: {'equal to' if same else 'NOT equal to'} an unbroken one")
    return same and killed == kills


def differs(one: Path, other: Path) -> str | None:
    """The first column in which two runs differ: integers and texts at all, floats by more than 1e-5."""
    with Run(one) as first, Run(other) as second:
        if first.counts != second.counts:
            return "counts"
        for files, again in zip(first.parts(), second.parts(), strict=True):
            for path, path_again in zip(files, again, strict=True):
                found, expected = parquet.read_table(path).to_pydict(), parquet.read_table(path_again).to_pydict()
                for name, values in found.items():
                    if values != expected[name] and not _close(values, expected[name]):
                        return name
    return None


def _close(one: list, other: list) -> bool:
    try:
        return np.allclose(np.array(one, float), np.array(other, float), atol=1e-5, rtol=0, equal_nan=True)
    except (TypeError, ValueError):
        return False


def measure_opening(folder: Path, tokens: int) -> bool:
    """Opening a run of many tokens: the first part of a small run again and again, under numbers of their own."""
    small = folder / "small"
    made(file_of_texts(folder, 5000), small)
    with Run(small) as run:
        manifest, files = run.manifest, next(run.parts())
    table, probs = parquet.read_table(files.tokens), router_probs_of(files)
    large = folder / "large"
    with RunWriter(large, manifest) as writer:
        while writer.counts.tokens < tokens:
            moved = table.set_column(0, table.schema.field("prompt"), [_moved(table, writer.counts.records)])
            records = [Record(str(i), "a", "text", 20) for i in range(len(table["prompt"].unique()))]
            writer.write(Rows(moved, probs), records)
        writer.finish()

    def opened() -> None:
        with Run(large) as run:
            run.ask("SELECT count(*) AS n FROM tokens")

    seconds = interleaved_medians({"opened": opened}, 5)["opened"]
    counts = writer.counts
    print(f"opening a run of {counts.tokens:,} tokens in {counts.parts} parts: {seconds:.3f} s (asked: {MOST_SECONDS})")
    return seconds < MOST_SECONDS


def _moved(table: pa.Table, first: int) -> np.ndarray:
    """The numbers of the table's prompts, from `first` on."""
    prompts = table["prompt"].to_numpy()
    return prompts - prompts[0] + first


def main() -> int:
    """Measure all, or what is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=100_000)
    parser.add_argument("--few", type=int, default=1_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=2_000_000, help="of the run that is opened")
    parser.add_argument(
        "--rounds", type=int, default=5, help="of the throughput, over a tenth of the prompts, at most 5,000"
    )
    names = ("throughput", "memory", "kills", "opening")
    parser.add_argument("--only", nargs="+", choices=names, default=list(names))
    args = parser.parse_args()
    measures: dict[str, Callable[[Path], bool]] = {
        "throughput": lambda folder: measure_throughput(folder, min(max(args.prompts // 10, 500), 5000), args.rounds),
        "memory": lambda folder: measure_memory(folder, args.few, args.prompts),
        "kills": lambda folder: measure_kills(folder, max(args.prompts, 2000), args.kills),
        "opening": lambda folder: measure_opening(folder, args.tokens),
    }
    fine = True
    print(f"{MODEL}, {torch.get_num_threads()} threads")
    for name in args.only:
        with tempfile.TemporaryDirectory() as folder:
            fine &= measures[name](Path(folder))
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
