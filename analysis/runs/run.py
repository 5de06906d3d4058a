"""Run: a folder of Parquet parts, opened to be asked. Nothing of it is in memory but what an answer takes.

Questions are in SQL, answered by DuckDB in this process, on these views:

    tokens    a row per prompt and token; lists by layer, counted from 1 in SQL: loops[3] is of layer 2
    prompts   a row per record of the sources
    choices   a row per prompt, token and layer: loops, gate, difficulty; layers count from 0
    routed    a row per prompt, token, layer and expert that ran: expert, weight, rank from 0
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from analysis.runs.database import MOST_ROWS, MOST_SECONDS, answer_typed, connect, finish_database, open_database
from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.runs.folder import PartFiles, check_name, counts_of, parts_in, router_probs_of
from analysis.runs.manifest import Counts, Manifest
from analysis.runs.schema import Sizes, prompt_schema, token_schema
from analysis.runs.texts import BEGINNING, RunTexts
from analysis.runs.typed import QuestionError


class Run:
    """An opened run. It may be read while it is written; it then holds the parts that were there when it was opened.

    Safe to ask from several threads.
    """

    def __init__(self, folder: str | Path, *, threads: int | None = None):
        """Raises ValueError, in a sentence, if the folder is no run or is damaged."""
        self.folder = Path(folder)
        check_name(self.folder)
        self.manifest = Manifest.read(self.folder)
        self._parts = parts_in(self.folder)
        self.counts: Counts = counts_of(self.folder, self.sizes, self.manifest.others)
        if self.counts.parts < self.manifest.counts.parts:
            raise ValueError(
                f"{self.folder} has {self.counts.parts} of {self.manifest.counts.parts} parts: copy the whole run "
                "again, or give the command that made it once more"
            )
        self._database = self._opened(threads)

    @property
    def sizes(self) -> Sizes:
        return self.manifest.sizes

    @property
    def meta(self) -> dict[str, Any]:
        """Model and weights as in a trace, with the interventions that the texts were read under, if there are any."""
        made = self.manifest.settings.get("interventions")
        return self.manifest.model | ({"interventions": made} if made else {})

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    def ask(self, sql: str, values: Sequence[Any] = ()) -> pd.DataFrame:
        """The answer to a question that this program asks, with its parameters."""
        with self._cursor() as cursor:
            return cursor.execute(sql, list(values)).df()

    def ask_table(self, sql: str, values: Sequence[Any] = ()) -> pa.Table:
        """The answer as an Arrow table, in which lists keep their types: for many rows."""
        with self._cursor() as cursor:
            return cursor.sql(sql, params=list(values)).to_arrow_table()

    def ask_batches(self, sql: str, values: Sequence[Any] = (), rows: int = 2**15) -> Iterator[pa.RecordBatch]:
        """The answer in its order, about so many rows at a time: for more than memory should hold."""
        waiting: list[pa.RecordBatch] = []
        with self._cursor() as cursor:
            for batch in cursor.sql(sql, params=list(values)).to_arrow_reader(rows):  # each of one file
                waiting.append(batch)
                if sum(map(len, waiting)) >= rows:
                    yield pa.concat_batches(waiting)
                    waiting.clear()
        if waiting:
            yield pa.concat_batches(waiting)

    def ask_typed(self, sql: str, *, rows: int = MOST_ROWS, seconds: float = MOST_SECONDS) -> tuple[pd.DataFrame, bool]:
        """The first rows of the answer to a question that a reader typed, and whether there are more.

        Only a single SELECT is answered, and it can read nothing but the run's tables. Raises QuestionError otherwise,
        if the SQL is wrong, and if the answer takes more time, memory or characters than it may.
        """
        with self._cursor() as cursor:
            names, found, more = answer_typed(cursor, sql, rows=rows, seconds=seconds, folder=self.folder)
        return pd.DataFrame(found, columns=pd.Index(names, dtype=object)), more

    def router_probs(self) -> np.ndarray:
        """[layer, expert]: the router's probabilities, summed over the ordinary tokens of all parts."""
        total = np.zeros((self.sizes.num_layers, self.sizes.num_experts))
        for files in self._parts:
            total += router_probs_of(files)
        return total

    def parts(self) -> Iterator[PartFiles]:
        """The files of its parts, in order, for what goes through them once in bounded memory."""
        return iter(self._parts)

    def files(self) -> dict[str, list[Path]]:
        """The files of each of its tables, in order."""
        return {name: [getattr(each, name) for each in self._parts] for name in PartFiles._fields}

    def prompts(self, chosen: TokenFilter = ALL_TOKENS) -> pd.DataFrame:
        """One row per traced prompt that a filter's sources and columns leave: prompt, tokens, beginning of text."""
        where, values = chosen.of_prompts().where_prompt()
        return self.ask(
            f"SELECT prompt, tokens, left(text, {BEGINNING}) AS text FROM prompts WHERE {where} ORDER BY prompt", values
        )

    def texts(self, chosen: TokenFilter = ALL_TOKENS, *, most_tokens: int | None = None, seed: int = 0) -> RunTexts:
        """Its texts for the studies of `analysis.texts`, which take the run itself as well: `study(run)`.

        Of a filter, sources and columns choose texts; conditions on tokens do not, since a study counts whole texts.
        Of more than `most_tokens` tokens, a random sample of the texts is read, and the study says so. Raises
        ValueError for no text.
        """
        found, of_prompts = self.prompts(chosen), chosen.of_prompts()
        told, total = [], int(found["tokens"].sum())
        if most_tokens is not None and total > most_tokens:
            drawn = found.sample(frac=1, random_state=seed)
            sample = drawn[drawn["tokens"].cumsum() <= most_tokens].sort_values("prompt")
            told.append(
                f"The numbers come from a random sample of {len(sample):,} of {len(found):,} texts, since a study here "
                f"reads at most {most_tokens:,} tokens."
            )
            found = sample
        given = [of_prompts.as_code()] if of_prompts != ALL_TOKENS else []
        given += [] if most_tokens is None else [f"most_tokens={most_tokens}"]
        given += [f"seed={seed}"] if seed else []
        code = f"Run({self.name!r}).texts({', '.join(given)})"
        return RunTexts(self._parts, self.sizes, found, meta=self.meta, told=told, code=code)

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __repr__(self) -> str:
        told = f"{self.counts.prompts:,} prompts, {self.counts.tokens:,} tokens"
        return f"Run({self.name}: {told}, {self.meta.get('model')}{'' if self.manifest.finished else ', not finished'})"

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        cursor = self._database.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    def _opened(self, threads: int | None) -> duckdb.DuckDBPyConnection:
        layers, k = self.sizes.num_layers, self.sizes.k
        if self._parts:
            return open_database(self.folder, self.files(), layers, k, threads=threads)
        database = connect(threads)
        for name, schema in (
            ("tokens", token_schema(self.sizes)),
            ("prompts", prompt_schema(self.manifest.others)),
        ):
            database.register("no_rows", schema.empty_table())
            database.execute(f"CREATE TABLE {name} AS SELECT * FROM no_rows")
            database.unregister("no_rows")
        finish_database(database, self.folder, layers, k)
        return database


__all__ = ["MOST_ROWS", "MOST_SECONDS", "QuestionError", "Run"]
