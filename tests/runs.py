"""Runs for tests: written from traces, without a model."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from analysis.runs.manifest import Manifest
from analysis.runs.rows import rows_of_traces, sizes_of
from analysis.runs.run import Run
from analysis.runs.writing import Record, RunWriter
from hooks.trace import RoutingTrace
from sample_models.lambda_gate import width_share
from tests.traces import random_trace

SOURCES = ("stories.txt", "code.txt")


def random_traces(count: int = 12, **sizes) -> list[RoutingTrace]:
    """Traces of 5 to 20 tokens; the first is of the seed 0."""
    return [random_trace(tokens=5 + seed * 7 % 16, seed=seed, **{"layers": 4, **sizes}) for seed in range(count)]


def read_traces(count: int = 12) -> list[RoutingTrace]:
    """Traces whose tokens repeat, some with a token that the tokenizer added; a run keeps no entropy."""
    found = []
    for i, trace in enumerate(random_traces(count)):
        rng = np.random.default_rng(i)
        special = np.zeros(trace.num_tokens, bool)
        special[0] = i % 3 == 0
        special[-1] = i % 4 == 1
        ids, entropy = rng.integers(0, 12, trace.num_tokens), np.full(trace.num_tokens, np.nan, np.float32)
        meta = trace.meta | {"text": f"text {i}: {''.join(trace.tokens)}"}
        found.append(replace(trace, special=special, token_ids=ids, next_entropy=entropy, meta=meta))
    return found


def make_run(
    folder: Path,
    traces: Sequence[RoutingTrace],
    *,
    per_part: int = 5,
    finished: bool = True,
    column: str = "kind",
    settings: dict | None = None,
) -> Run:
    """A run of traces, which come in turn from two sources and have a column of their kind, odd or even."""
    manifest = Manifest(
        sizes=sizes_of(traces[0]),
        model={name: value for name, value in traces[0].meta.items() if name != "text"},
        tokenizer={},
        settings=settings or {},
        sources=[{"name": name} for name in SOURCES],
        others=(column,),
    )
    numbered = list(enumerate(traces))
    with RunWriter(folder, manifest) as writer:
        for first in range(writer.counts.records, len(traces), per_part):
            part = numbered[first : first + per_part]
            records = [
                Record(
                    f"row {i}",
                    SOURCES[i % 2],
                    trace.meta["text"],
                    trace.num_tokens,
                    others={column: "odd" if i % 2 else "even"},
                )
                for i, trace in part
            ]
            writer.write(rows_of_traces(manifest.sizes, part), records)
        if finished:
            writer.finish()
    return Run(folder)


def all_routed(trace: RoutingTrace) -> RoutingTrace:
    """The trace with one loop everywhere, so that the width path ran."""
    gate = np.full_like(trace.gate, width_share(1, trace.max_loops))
    return replace(trace, loops=np.ones_like(trace.loops), gate=gate, width_ran=gate > 0)


def uneven_trace() -> RoutingTrace:
    """One layer of 400 tokens, all routed to two of eight experts: never to expert 0, mostly to expert 7."""
    trace = all_routed(random_trace(layers=1, tokens=400))
    ids = np.tile(np.arange(1, 7), 67)[:400]
    second = np.where(np.arange(400) % 5 == 0, ids % 6 + 1, 7)
    return replace(trace, expert_ids=np.stack([ids, second], axis=1)[None].astype(trace.expert_ids.dtype))
