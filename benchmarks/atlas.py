"""How fast a run of two million tokens opens and answers the panels of the page Atlas, and what memory that takes.

The run is of random numbers. Asked: open in under 3 s, every panel in under 1 s (median over filters and repetitions),
the process under 1.5 GB.

python -m benchmarks.atlas [--tokens 2000000] [--layers 6] [--folder FOLDER]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from analysis.runs.atlas import TABLES
from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.runs.manifest import Manifest
from analysis.runs.occurrences import number_of_tokens, occurrences
from analysis.runs.rows import Rows, rows_of_arrays
from analysis.runs.run import Run
from analysis.runs.schema import Sizes
from analysis.runs.writing import Record, RunWriter
from benchmarks.memory import peak_mb

PROMPT_TOKENS, PART_TOKENS, WORDS = 20, 2**17, 4096
OPEN_S, PANEL_S, MEMORY_GB = 3.0, 1.0, 1.5
REPEATS = 3
FILTERS = {
    "all tokens": ALL_TOKENS,
    "one source": TokenFilter(sources=("source 1",)),
    "a column": TokenFilter(others=(("kind", "kind 3"),)),
    "a text": TokenFilter(text="word7"),
    "4 loops in layer 3": TokenFilter(layer=3, loops=(4,)),
    "expert 5, any layer": TokenFilter(expert=5),
    "difficulty": TokenFilter(difficulty=(0.5, 1.0)),
    "first ten positions": TokenFilter(positions=(0, 9)),
}


def random_rows(sizes: Sizes, first: int, prompts: int, seed: int) -> tuple[Rows, list[Record]]:
    """Rows of random tokens, whose loops lean to two, and their prompts."""
    rng = np.random.default_rng(seed)
    count, layers = prompts * PROMPT_TOKENS, sizes.num_layers
    loops = rng.choice(np.arange(1, 5), size=(count, layers), p=(0.2, 0.45, 0.25, 0.1)).astype(np.uint8)
    gate = ((sizes.max_loops - loops) / sizes.max_loops).astype(np.float32)
    experts = rng.permuted(np.tile(np.arange(sizes.num_experts, dtype=np.uint8), (count * layers, 1)), axis=1)
    ids = experts[:, : sizes.k].reshape(count, layers, sizes.k)
    weights = rng.uniform(0.5, 1, size=(count, layers, 1)).astype(np.float32)
    words = rng.zipf(1.3, count) % WORDS
    table = rows_of_arrays(
        sizes,
        prompt=np.repeat(np.arange(first, first + prompts), PROMPT_TOKENS),
        token=np.tile(np.arange(PROMPT_TOKENS), prompts),
        token_id=words,
        text=pa.array([f"word{number}" for number in range(WORDS)]).take(pa.array(words)),
        special=np.zeros(count, bool),
        logprob=-rng.exponential(3, count).astype(np.float32),
        loops=loops,
        gate=gate,
        expert_ids=ids,
        expert_weights=np.concatenate([weights, 1 - weights], axis=2),
        expert_ran=np.broadcast_to((gate > 0)[..., None], ids.shape),
        difficulty=rng.uniform(size=(count, layers)).astype(np.float32),
    )
    probs = rng.uniform(0.8, 1.2, size=(layers, sizes.num_experts))
    records = [
        Record(f"{n}", f"source {n % 3}", f"Text number {n}.", PROMPT_TOKENS, others={"kind": f"kind {n % 10}"})
        for n in range(first, first + prompts)
    ]
    return Rows(table, probs / probs.sum(axis=1, keepdims=True) * count), records


def make_run(folder: Path, tokens: int, sizes: Sizes) -> None:
    """Write a run of so many random tokens."""
    sources = [{"name": f"source {number}"} for number in range(3)]
    manifest = Manifest(sizes, {"model": "random numbers"}, {}, {}, sources, others=("kind",))
    with RunWriter(folder, manifest) as writer:
        while (left := tokens - writer.counts.tokens) > 0:
            prompts = min(PART_TOKENS, left) // PROMPT_TOKENS or 1
            writer.write(*random_rows(sizes, writer.counts.records, prompts, writer.counts.parts))
        writer.finish()


def texts(run: Run, chosen: TokenFilter) -> None:
    """What the table of tokens in their texts asks."""
    number_of_tokens(run, chosen)
    occurrences(run, chosen, first=0, rows=20, mixed=True, layer=3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=2_000_000)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--folder", type=Path, help="keep the run here, or take the one that is there")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary) / "run"
        if not (folder / "manifest.json").exists():
            make_run(folder, args.tokens, Sizes(args.layers, 4, 8, 2))
        measure(folder)


def measure(folder: Path) -> None:
    """Print how long opening and every panel take, and the memory."""
    before, began = peak_mb(), time.perf_counter()
    run = Run(folder)
    print(f"{run}: opened in {time.perf_counter() - began:.2f} s (asked: {OPEN_S:g} s)")
    for name, ask in (TABLES | {"texts": texts}).items():
        times = {}
        for filtered, chosen in FILTERS.items():
            for _ in range(REPEATS):
                began = time.perf_counter()
                ask(run, chosen)
                times.setdefault(filtered, []).append(time.perf_counter() - began)
        by_filter = ", ".join(f"{filtered} {statistics.median(each):.2f}" for filtered, each in times.items())
        median = statistics.median(each for of_filter in times.values() for each in of_filter)
        print(f"{name:10} median {median:.2f} s (asked: {PANEL_S:g} s): {by_filter}")
    most, before = (each / 1024 for each in (peak_mb(), before))
    print(f"memory: {most:.2f} GB at most, {before:.2f} GB before (asked: {MEMORY_GB:g} GB)")


if __name__ == "__main__":
    main()
