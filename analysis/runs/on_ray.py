"""The same run on Ray Data: one actor for each device traces parts, and this program writes them in their order.

Parts are cut from the records as `analysis.runs.tracing` cuts them, by one task on this machine, and traced by its
`traced_part`. What is written is therefore what this machine alone would have written, and a run that was begun on one
engine goes on with the other. An actor that dies is started again and its part traced again. Parts are written here
alone, each once and in order, so nothing is lost or doubled.
"""

import logging
import os
import pickle
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.runs.rows import Rows
from analysis.runs.schema import Sizes
from analysis.runs.tracing import Progress, SourceRecord, TextReader, parts_of, traced_part
from analysis.runs.writing import Record, RunWriter

if TYPE_CHECKING:
    from ray.data import Dataset

ROOT = Path(__file__).parents[2]
"""Folder of the packages, which workers of the same file system import, too."""
SECONDS_TO_END = 60.0
"""Longest wait for a part that is being traced and that nobody wants any more."""

Row = dict[str, np.ndarray]
"""A row of a dataset: `number` of the part, and `packed`, its records or what was traced."""


@dataclass(frozen=True)
class Cluster:
    """Which machines trace, with how many actors."""

    address: str | None = None
    """Of a running Ray cluster, `auto` for the one of this machine; None starts one on this machine alone."""
    workers: int | None = None
    """Actors; None: one for each GPU with `gpus`, else one for each machine."""
    gpus: bool = False
    """Whether each actor has a GPU of its own."""


def write_run_on_ray(
    writer: RunWriter,
    make_reader: Callable[[], TextReader],
    make_records: Callable[[], Iterable[SourceRecord]],
    tell: Callable[[Progress], None] = lambda progress: None,
    *,
    on: Cluster = Cluster(),
) -> None:
    """`write_run` with the actors of a cluster.

    `make_reader` is called once in every actor, and `make_records` in a task on this machine; Ray pickles both. Raises
    ValueError, in a sentence, if the cluster cannot be reached or has too few devices, and, as `write_run`, for what
    keeps a part from being traced or written.
    """
    counts = writer.counts
    done = Progress(counts.records, counts.problems, counts.tokens, 0.0)
    tell(done)
    asked = writer.manifest.sizes, counts.records, make_reader, make_records, on
    with _connected(on.address), _failure_in_words(), closing(_traced(*asked)) as traced:
        for packed in traced:
            found = pickle.loads(packed)
            if isinstance(found, ValueError):
                raise found
            rows, kept, share = found
            writer.write(rows, kept)
            counts = writer.counts
            done = Progress(counts.records, counts.problems, counts.tokens, share)
            tell(done)
    writer.finish()


def _traced(
    sizes: Sizes,
    first: int,
    make_reader: Callable[[], TextReader],
    make_records: Callable[[], Iterable[SourceRecord]],
    on: Cluster,
) -> Iterator[bytes]:
    """What was traced of every part after the first records, in order."""
    import ray

    bundles = _dataset(sizes, first, make_reader, make_records, on).iter_internal_ref_bundles()  # no threads of its own
    due = 0
    try:
        for bundle in bundles:
            for block in bundle.block_refs:
                row = ray.get(block)
                assert row["number"].to_pylist() == [due], "the parts must come in their order, each once"
                due += 1
                yield row["packed"][0].as_py()
    finally:
        del bundles  # ends the execution
        for thread in threading.enumerate():  # Ray ends this program if one is at work when the connection is closed
            if thread.name.startswith("StreamingExecutor"):
                thread.join(SECONDS_TO_END)


def _dataset(
    sizes: Sizes,
    first: int,
    make_reader: Callable[[], TextReader],
    make_records: Callable[[], Iterable[SourceRecord]],
    on: Cluster,
) -> "Dataset":
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    context = DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel("ERROR")
    context.target_max_block_size = context.target_min_block_size = 1  # bytes: every part is a block of its own
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
    workers, needs = _workers(on)
    return (
        ray.data.from_items([first])
        .map_batches(_Parts(make_records), batch_size=1, num_cpus=0, label_selector=here)
        .map_batches(
            _Actor,
            fn_constructor_args=(make_reader, sizes),
            batch_size=1,
            compute=ActorPoolStrategy(size=workers),
            **needs,
        )
    )


class _Parts:
    """Cuts the records into parts, as rows."""

    def __init__(self, make_records: Callable[[], Iterable[SourceRecord]]):
        self._make_records = make_records

    @property
    def __name__(self) -> str:  # Ray calls a step after its function
        return "parts"

    def __call__(self, begin: Row) -> Iterator[Row]:
        first = int(begin["item"][0])
        for number, part in enumerate(parts_of(islice(self._make_records(), first, None))):
            yield _row(number, (first, part))
            first += len(part)


class _Actor:
    """A model on a device, which traces parts."""

    def __init__(self, make_reader: Callable[[], TextReader], sizes: Sizes):
        self._make_reader, self._sizes = make_reader, sizes
        self._reader: TextReader | None = None

    def __call__(self, row: Row) -> Row:
        first, part = pickle.loads(row["packed"][0])
        try:
            self._reader = self._reader or self._make_reader()
            made: tuple[Rows, list[Record]] = traced_part(self._reader, self._sizes, part, first)
        except ValueError as error:  # goes to the program that writes the run, which raises it
            return _row(int(row["number"][0]), error)
        return _row(int(row["number"][0]), (*made, part[-1].share))


def _row(number: int, content: Any) -> Row:
    packed = np.empty(1, dtype=object)
    packed[0] = pickle.dumps(content)
    return {"number": np.array([number]), "packed": packed}


def _workers(on: Cluster) -> tuple[int, dict[str, Any]]:
    """How many actors there are, and what each takes of its machine."""
    import ray

    cores = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    if on.gpus:
        devices = int(ray.cluster_resources().get("GPU", 0))
        if devices < (on.workers or 1):
            raise ValueError(f"{on.workers or 1} workers need a GPU each, and Ray knows {devices}: lower --workers")
        return on.workers or devices, {"num_gpus": 1}
    workers = on.workers or len(cores)
    if workers > sum(cores):
        raise ValueError(f"{workers} workers need a core each, and Ray knows {sum(cores)}: lower --workers")
    return workers, {"num_cpus": cores_each(cores, workers)}


def cores_each(cores: Sequence[int], workers: int) -> int:
    """Most cores that each of so many workers can have at once; every one is on a single machine. `cores`: of each
    machine, as many in all as there are workers, or more."""
    return max(each for each in range(1, max(cores) + 1) if sum(of // each for of in cores) >= workers)


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """A connection to a cluster, or a cluster on this machine for as long as this lasts."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to Ray's makers
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what goes wrong is raised
    import ray
    import ray.data

    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level="error",
            runtime_env={"env_vars": {"PYTHONPATH": paths}},
            **({} if address else {"include_dashboard": False}),
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")[:200]
        raise ValueError(f"the Ray cluster {address or 'on this machine'} cannot be used ({reason})") from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _failure_in_words() -> Iterator[None]:
    """Turns what keeps Ray from going on into a ValueError; a mistake in the code of an actor is raised as it is."""
    from ray.exceptions import RayError, RayTaskError

    try:
        yield
    except RayTaskError:
        raise
    except RayError as error:
        reason = str(error).partition("\n")[0].rstrip(".")[:200]
        raise ValueError(f"Ray gave up ({reason}); the same command goes on after what was written") from error


__all__ = ["Cluster", "cores_each", "write_run_on_ray"]
