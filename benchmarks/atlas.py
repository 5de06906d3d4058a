"""How fast a run of two million tokens opens and answers the panels of pages about runs, and what memory that takes.

The run is of random numbers, in parts as large as those of `python -m app run`. Asked: open in under 3 s, every panel
in under 1 s (median over filters or choices, and repetitions), the app under 1.5 GB. A browser then opens the run's
pages on a server of the app and unfolds all of them; with `--no-app` none does.

python -m benchmarks.atlas [--tokens 2000000] [--layers 6] [--folder FOLDER] [--no-app]
"""

import argparse
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from playwright.sync_api import Page

from analysis.runs.atlas import TABLES
from analysis.runs.cards import card
from analysis.runs.choices import choices_of
from analysis.runs.contexts import contexts
from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.runs.layer_counts import layer_counts
from analysis.runs.manifest import Manifest
from analysis.runs.occurrences import number_of_tokens, occurrences
from analysis.runs.rows import Rows, rows_of_arrays
from analysis.runs.run import Run
from analysis.runs.schema import Sizes
from analysis.runs.writing import Record, RunWriter
from benchmarks.memory import peak_mb
from tests.app_server import app_server, chromium, wait_idle

PROMPT_TOKENS, PART_TOKENS, WORDS = 20, 13_000, 4096
OPEN_S, PANEL_S, MEMORY_GB = 3.0, 1.0, 1.5
REPEATS, WAIT_S = 3, 300
MEMORY = (("status", "VmRSS"), ("status", "VmHWM"), ("smaps_rollup", "Pss"))
"""File of a process below /proc, and name in it: memory now, at most so far, and now with shared pages divided."""
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


def make_run(folder: Path, tokens: int, sizes: Sizes, part_tokens: int = PART_TOKENS) -> None:
    """Write a run of so many random tokens, in parts of about `part_tokens`."""
    sources = [{"name": f"source {number}"} for number in range(3)]
    manifest = Manifest(sizes, {"model": "random numbers"}, {}, {}, sources, others=("kind",))
    with RunWriter(folder, manifest) as writer:
        while (left := tokens - writer.counts.tokens) > 0:
            prompts = min(part_tokens, left) // PROMPT_TOKENS or 1
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
    parser.add_argument("--part-tokens", type=int, default=PART_TOKENS, help="of a part of the run")
    parser.add_argument("--no-app", action="store_true", help="measure no server of the app")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary) / "run"
        if not (folder / "manifest.json").exists():
            make_run(folder, args.tokens, Sizes(args.layers, 4, 8, 2), args.part_tokens)
        measure(folder)
        if not args.no_app:
            measure_app(folder)


def measure(folder: Path) -> None:
    """Print how long opening and every panel take, and the memory of this process."""
    before, began = peak_mb() / 1024, time.perf_counter()
    run = Run(folder)
    print(f"{run} in {run.counts.parts:,} parts: opened in {time.perf_counter() - began:.2f} s (asked: {OPEN_S:g} s)")
    for name, ask in (TABLES | {"texts": texts}).items():
        told(
            name, {filtered: [taken(ask, run, chosen) for _ in range(REPEATS)] for filtered, chosen in FILTERS.items()}
        )
    measure_cards(run)
    print(f"memory: {peak_mb() / 1024:.2f} GB at most, {before:.2f} GB before (asked: {MEMORY_GB:g} GB)")


def measure_cards(run: Run) -> None:
    """Print how long the cards of some layers take, of all their choices in turn, and the texts below a card."""
    layers, of_layers, cards, below = range(min(run.sizes.num_layers, REPEATS)), [], [], []
    for layer in layers:
        of_layers.append(taken(layer_counts, run, layer))
        counts = layer_counts(run, layer)
        for choice in choices_of(run.sizes, [layer]):
            cards.append(taken(partial(card, counts=counts), run, choice))
            below.append(taken(contexts, run, choice))
    told("layer", {"what all cards of a layer need, once": of_layers})
    told("card", {"a card, once its layer is counted": cards})
    told("contexts", {"its tokens in their texts": below})


def taken(ask: Callable[..., Any], *given: Any) -> float:
    """Seconds that a question takes."""
    began = time.perf_counter()
    ask(*given)
    return time.perf_counter() - began


def told(name: str, times: dict[str, list[float]]) -> None:
    """Print the median of seconds, and those of each filter or part."""
    by_part = ", ".join(f"{part} {statistics.median(each):.2f}" for part, each in times.items())
    median = statistics.median(each for of_part in times.values() for each in of_part)
    print(f"{name:10} median {median:.2f} s (asked: {PANEL_S:g} s): {by_part}", flush=True)


def measure_app(folder: Path) -> None:
    """Print the memory of a server of the app whose visitor opens every page about the run, and all folds of these."""
    with (
        tempfile.TemporaryDirectory() as logs,
        app_server(Path(logs) / "log", "--run", str(folder)) as address,
        chromium() as browser,
    ):
        page = browser.new_page(viewport={"width": 1440, "height": 1800})
        for name in ("overview", "atlas", "expert_cards", "token_map"):
            began = time.perf_counter()
            page.goto(f"{address}/{name}")
            wait_idle(page, WAIT_S)
            opened = time.perf_counter() - began
            if name == "token_map":
                page.get_by_label("Tokens drawn, at most").click()
                page.get_by_role("option", name="100,000").click()
                page.get_by_text("a random sample of 100,000 of ").wait_for()
                wait_idle(page, WAIT_S)
            if name != "overview":
                unfold(page)
            if name == "expert_cards":
                for expert in ("1", "2"):
                    page.locator(".st-key-card_expert").get_by_text(expert, exact=True).click()
                    wait_idle(page, WAIT_S)
            rss, peak, pss = (memory_of(address.pid, *each) for each in MEMORY)
            print(
                f"app, {name:12} open in {opened:5.1f} s; then {rss:.2f} GB (PSS {pss:.2f}), {peak:.2f} GB at most so "
                f"far (asked: {MEMORY_GB:g} GB)",
                flush=True,
            )


def unfold(page: Page) -> None:
    """Open the folds of a page one after the other."""
    folds = page.locator("[data-testid=stExpander] summary")
    for number in range(folds.count()):
        folds.nth(number).click()
        page.wait_for_timeout(500)
        wait_idle(page, WAIT_S)


def memory_of(process: int, file: str, name: str) -> float:
    """Gigabytes that a process has, as Linux tells."""
    return int(re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{process}/{file}").read_text(), re.M)[1]) / 2**20


if __name__ == "__main__":
    main()
