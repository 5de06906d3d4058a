"""Time and memory of a study of a run: python -m benchmarks.studies [--prompts 1000 100000] [--draws 19]

Each run is random, of prompts of 20 tokens, written as an engine writes it. Its study is made in a process of its own,
whose peak of memory is told beside that of a process which only opens the run.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from analysis.runs.manifest import Manifest
from analysis.runs.rows import Rows, rows_of_arrays
from analysis.runs.run import Run
from analysis.runs.schema import Sizes
from analysis.runs.writing import Record, RunWriter
from analysis.texts.study import study
from benchmarks.memory import peak_mb

TOKENS, PER_PART, TYPES = 20, 2000, 4096


def random_rows(rng: np.random.Generator, sizes: Sizes, first: int, prompts: int) -> Rows:
    """Rows of random prompts, whose tokens are as unevenly frequent as words; half the choices follow the token."""
    count, layers = prompts * TOKENS, sizes.num_layers
    ids = np.minimum(rng.zipf(1.3, count), TYPES) - 1
    words = pa.array([f"␣w{number}" for number in range(TYPES)])
    shape = (count, layers)
    by_token = rng.random(shape) < 0.5
    loops = 1 + np.where(by_token, (ids % sizes.max_loops)[:, None], rng.integers(0, sizes.max_loops, shape))
    expert = np.where(by_token, (ids // 7 % sizes.num_experts)[:, None], rng.integers(0, sizes.num_experts, shape))
    experts = np.stack([expert, (expert + 1) % sizes.num_experts], axis=-1)
    table = rows_of_arrays(
        sizes,
        prompt=np.repeat(np.arange(first, first + prompts), TOKENS),
        token=np.tile(np.arange(TOKENS), prompts),
        token_id=ids,
        text=words.take(ids),
        special=np.zeros(count, bool),
        logprob=np.where(np.arange(count) % TOKENS, -rng.exponential(3, count), np.nan).astype(np.float32),
        loops=loops,
        gate=((sizes.max_loops - loops) / sizes.max_loops).astype(np.float32),
        expert_ids=experts,
        expert_weights=np.full((*shape, 2), 0.5, np.float32),
        expert_ran=np.repeat((loops < sizes.max_loops)[..., None], 2, axis=2),
        difficulty=np.clip((loops - 1) / (sizes.max_loops - 1) + rng.normal(0, 0.1, shape), 0, 1).astype(np.float32),
    )
    return Rows(table, np.zeros((layers, sizes.num_experts)))


def random_run(folder: Path, prompts: int, layers: int, *, seed: int = 0) -> None:
    """A run of random prompts."""
    sizes, rng = Sizes(layers, max_loops=4, num_experts=8, k=2), np.random.default_rng(seed)
    manifest = Manifest(sizes, model={"model": "random"}, tokenizer={}, settings={}, sources=[{"name": "random"}])
    with RunWriter(folder, manifest) as writer:
        for first in range(0, prompts, PER_PART):
            count = min(PER_PART, prompts - first)
            records = [Record(str(i), "random", f"text {i}", TOKENS) for i in range(first, first + count)]
            writer.write(random_rows(rng, sizes, first, count), records)
        writer.finish()


def measured(folder: Path, draws: int) -> dict[str, float]:
    """Seconds and peak of memory in MB, before and after a study of a run, in a process of its own."""
    asked = [sys.executable, "-m", "benchmarks.studies", "--of", str(folder), "--draws", str(draws)]
    return json.loads(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)


def _measure(folder: Path, draws: int) -> None:
    with Run(folder, threads=1) as run:
        run.ask("SELECT count(*) FROM prompts")
        before, began = peak_mb(), time.perf_counter()
        found = study(run, draws=draws)
        seconds = time.perf_counter() - began
    print(json.dumps({"tokens": found.tokens, "seconds": seconds, "opened_mb": before, "peak_mb": peak_mb()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, nargs="+", default=[1_000, 100_000], help="prompts of each run")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--draws", type=int, default=19, help="exchanges and rotations of a test")
    parser.add_argument("--of", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.of:
        return _measure(asked.of, asked.draws)
    print(f"studies of runs of {asked.layers} layers, {asked.draws} draws")
    print("   prompts    tokens   seconds  opened MB   peak MB")
    for prompts in asked.prompts:
        with TemporaryDirectory() as folder:
            random_run(Path(folder) / "run", prompts, asked.layers)
            of = measured(Path(folder) / "run", asked.draws)
        print(
            f"{prompts:10,} {of['tokens']:9,} {of['seconds']:9.1f} {of['opened_mb']:10.0f} {of['peak_mb']:9.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
