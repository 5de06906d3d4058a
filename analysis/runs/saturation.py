"""Saturation: how early in training the routing agrees with that of the trained model, from runs of the same texts."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from analysis.aggregate import share
from analysis.runs.choices import DID_NOT_ROUTE, Kind
from analysis.runs.run import Run
from analysis.runs.schema import Sizes, entries
from analysis.runs.units import UNITS, shares_of

ROWS = 50_000
"""Rows that are compared at once."""
COLUMNS = ["prompt", "token_id", "special", "loops", "experts"]


def saturation(runs: Sequence[Run], names: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per run x layer x choice (loops, first expert): how often the tokens chose as in the last run.

    The runs are of checkpoints of one model, in the order of its training, over the same texts with the same tokenizer.
    Columns: run (a name), order, choice, layer, tokens (that had the choice in both runs), agree (share that chose
    alike), low and high (95% over prompts), and chance (what two routings with these shares of choices would agree in
    by themselves). The last run agrees with itself, and has no row. Tokens that the tokenizer added are left out.
    Raises ValueError for fewer than two runs, and for runs of different texts or sizes.
    """
    if len(runs) < 2:
        raise ValueError(f"saturation compares two runs or more, got {len(runs)}")
    last, names = runs[-1], names or [run.name for run in runs]
    rows = []
    for order, (run, name) in enumerate(zip(runs[:-1], names, strict=False)):
        _check(run, last)
        counts = _Agreement(last)
        for own, final in _side_by_side(run, last):
            counts.add(own, final)
        rows += [{"run": name, "order": order} | row for row in counts.rows()]
    return pd.DataFrame(rows)


def _check(run: Run, last: Run) -> None:
    """Raises ValueError if two runs cannot be of the same texts and sizes."""
    if run.sizes != last.sizes:
        raise ValueError(f"the runs {run.name} and {last.name} are of models of different sizes")
    if (run.counts.records, run.counts.tokens) != (last.counts.records, last.counts.tokens):
        raise ValueError(_other_texts(run, last))


def _other_texts(run: Run, last: Run) -> str:
    return f"the runs {run.name} and {last.name} are not of the same texts: make both from the same files"


def _side_by_side(run: Run, last: Run) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Rows of two runs, ROWS or fewer at once. Raises ValueError where they are not of the same tokens."""
    for own, final in zip(_pieces(run), _pieces(last), strict=True):
        if not all(own.column(name).equals(final.column(name)) for name in ("prompt", "token_id", "special")):
            raise ValueError(_other_texts(run, last))
        yield own, final


def _pieces(run: Run) -> Iterator[pa.Table]:
    """The rows of a run in pieces of ROWS, however its parts are cut."""
    rest: pa.Table | None = None
    for files in run.parts():
        for batch in parquet.ParquetFile(files.tokens).iter_batches(ROWS, columns=COLUMNS):
            table = pa.Table.from_batches([batch])
            rest = table if rest is None else pa.concat_tables([rest, table])
            while rest.num_rows >= ROWS:
                yield rest.slice(0, ROWS).combine_chunks()
                rest = rest.slice(ROWS)
    if rest is not None and rest.num_rows:
        yield rest.combine_chunks()


class _Agreement:
    """Counts of two runs, added up piece by piece; their size does not grow with the runs."""

    def __init__(self, last: Run):
        self.sizes, records = last.sizes, last.counts.records
        sizes = self.sizes
        kinds: dict[Kind, str] = {"loops": "depth", "expert": "width"}
        self.kinds = [kind for kind, part in kinds.items() if part in sizes.parts]
        self.units = min(records, UNITS)
        self.values = {"loops": sizes.max_loops + 1, "expert": sizes.num_experts}
        # which unit a prompt is of: dealt at random, but always alike
        self.dealt = np.random.default_rng(0).integers(0, self.units, 4099) if records > UNITS else None
        shape = (self.units, sizes.num_layers)
        self.alike, self.both = ({kind: np.zeros(shape) for kind in self.kinds} for _ in range(2))
        self.chosen = {kind: np.zeros((2, sizes.num_layers, self.values[kind])) for kind in self.kinds}

    def add(self, own: pa.Table, final: pa.Table) -> None:
        """Count the rows of both runs."""
        ordinary = ~own["special"].to_numpy()
        prompt = own["prompt"].to_numpy()[ordinary]
        unit = prompt if self.dealt is None else self.dealt[(prompt * 2_654_435_761 >> 12) % len(self.dealt)]
        for kind in self.kinds:
            mine, theirs = (_choices(each, kind, self.sizes)[ordinary] for each in (own, final))
            both = (mine != DID_NOT_ROUTE) & (theirs != DID_NOT_ROUTE)
            for layer in range(self.sizes.num_layers):
                there = both[:, layer]
                of = unit[there]
                first, second = mine[there, layer], theirs[there, layer]
                self.both[kind][:, layer] += np.bincount(of, minlength=self.units)
                self.alike[kind][:, layer] += np.bincount(of, first == second, minlength=self.units)
                for at, each in enumerate((first, second)):
                    self.chosen[kind][at, layer] += np.bincount(each, minlength=self.values[kind])

    def rows(self) -> Iterator[dict]:
        """A row per choice and layer."""
        for kind in self.kinds:
            found = shares_of(self.alike[kind], self.both[kind])
            mine, theirs = (share(each, each.sum(axis=1, keepdims=True)) for each in self.chosen[kind])
            for layer in range(self.sizes.num_layers):
                yield {
                    "choice": kind, "layer": layer, "tokens": int(self.both[kind][:, layer].sum()),
                    "agree": found.share[layer], "low": found.low[layer], "high": found.high[layer],
                    "chance": float((mine[layer] * theirs[layer]).sum()),
                }  # fmt: skip


def _choices(table: pa.Table, kind: Kind, sizes: Sizes) -> np.ndarray:
    """Loops, or the first expert, of every token in every layer, [token, layer]; DID_NOT_ROUTE where none ran."""
    if kind == "loops":
        return entries(table["loops"], sizes.num_layers, pa.int32(), DID_NOT_ROUTE)
    return entries(table["experts"], sizes.num_layers * sizes.k, pa.int32(), DID_NOT_ROUTE)[:, :: sizes.k]


__all__ = ["saturation"]
