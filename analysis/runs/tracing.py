"""Traces records into a run: part by part, in bounded memory, so that it can be stopped at any moment and go on.

What a part holds follows from its first record on, and from nothing else: a run that was stopped goes on with the very
parts that an unbroken one would have. While a part is written, the next one is traced.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from analysis.runs.manifest import Manifest
from analysis.runs.rows import Rows, rows_of_tokens
from analysis.runs.schema import Sizes, token_schema
from analysis.runs.writing import Record, RunWriter

if TYPE_CHECKING:
    from hooks.reading import Reading
    from hooks.routing_rows import TokenRows

PART_BYTES = 3 * 2**14
PART_RECORDS = 8192
"""Most bytes of UTF-8 in the texts of a part, about 13,000 tokens, and most records: both are known before a tokenizer
reads the texts."""
NOT_FINITE = "The model's numbers for this text are not finite, so that they say nothing."


@dataclass(frozen=True)
class SourceRecord:
    """A record as a source gives it."""

    prompt_id: str
    """Its id, or its place in the source."""
    source: str
    text: str | None
    problem: str | None = None
    """Why there is no text, in a sentence."""
    others: dict[str, str] = field(default_factory=dict)
    share: float = 0.0
    """How much of all sources is read once this record is, 0..1."""


class TextReader(Protocol):
    """A model that reads texts, as `hooks.run_reader.RunReader` does."""

    sizes: dict[str, Any]
    """The fields of `Sizes`."""
    model: dict[str, Any]
    """The entries of a trace's `meta` about the model."""
    tokenizer: dict[str, Any]
    settings: dict[str, Any]

    def read(self, texts: Sequence[str]) -> "list[Reading | ValueError]":
        """The tokens of each text, or why it cannot be read."""

    def rows(self, readings: "Sequence[Reading]", between: Callable[[int], None]) -> "TokenRows":
        """What the model does with them; `between(tokens)` is called after every pass."""

    def display(self, ids: list[int]) -> list[str]:
        """Display strings of token ids."""


@dataclass(frozen=True)
class Progress:
    """How far a run came."""

    records: int
    """Traced or left out; those of a part that is not finished are counted by its share."""
    problems: int
    """Records of finished parts that could not be used."""
    tokens: int
    share: float
    """How much of all sources is done, 0..1."""


def manifest_of(
    reader: TextReader,
    sources: Sequence[dict[str, Any]],
    others: tuple[str, ...] = (),
    *,
    versions: dict[str, str] | None = None,
    **settings: Any,
) -> Manifest:
    """The manifest of a run; `settings` are choices beside those of the reader, and `versions` those of programs."""
    parts = {"part_bytes": PART_BYTES, "part_records": PART_RECORDS}
    return Manifest(
        sizes=Sizes(**reader.sizes),
        model=reader.model,
        tokenizer=reader.tokenizer,
        settings=json.loads(json.dumps(reader.settings | settings | parts)),  # as it is read again
        sources=list(sources),
        others=others,
        versions=reader.model["versions"] | (versions or {}),
    )


def parts_of(records: Iterable[SourceRecord]) -> Iterator[list[SourceRecord]]:
    """Records in parts of at most PART_RECORDS, and of PART_BYTES or one longer text."""
    part: list[SourceRecord] = []
    size = 0
    for record in records:
        more = len(record.text.encode()) if record.text else 0
        if part and (size + more > PART_BYTES or len(part) == PART_RECORDS):
            yield part
            part, size = [], 0
        part.append(record)
        size += more
    if part:
        yield part


def traced_part(
    reader: TextReader,
    sizes: Sizes,
    part: Sequence[SourceRecord],
    first: int,
    between: Callable[[int, int], None] = lambda tokens, of: None,
) -> tuple[Rows, list[Record]]:
    """What stands in a run of a part whose first record has the number `first`.

    `between(tokens, of)` is called after every pass with how many of the part's tokens were read.
    """
    places = [i for i, record in enumerate(part) if record.problem is None]
    found = dict(zip(places, reader.read([part[i].text for i in places]), strict=True))
    problems = {i: _sentence(each) for i, each in found.items() if isinstance(each, ValueError)}
    read = {i: each for i, each in found.items() if i not in problems}
    rows = Rows(token_schema(sizes).empty_table(), np.zeros((sizes.num_layers, sizes.num_experts)))
    if read:
        total = sum(len(reading.ids) for reading in read.values())
        tokens = reader.rows(list(read.values()), lambda tokens: between(tokens, total))
        numbers = np.array(list(read))
        rows = rows_of_tokens(sizes, tokens, numbers + first, reader.display)
        problems |= dict.fromkeys(numbers[list(tokens.not_finite)].tolist(), NOT_FINITE)
    return rows, [_record(record, read.get(i), problems.get(i)) for i, record in enumerate(part)]


def _record(record: SourceRecord, reading: "Reading | None", problem: str | None) -> Record:
    problem = problem or record.problem
    if problem is None:
        return Record(record.prompt_id, record.source, reading.text, len(reading.ids), others=record.others)
    return Record(record.prompt_id, record.source, None, problem=problem, others=record.others)


def _sentence(error: ValueError) -> str:
    told = str(error)
    return told[:1].upper() + told[1:].removesuffix(".") + "."


def write_run(
    writer: RunWriter,
    reader: TextReader,
    records: Iterable[SourceRecord],
    tell: Callable[[Progress], None] = lambda progress: None,
) -> None:
    """Trace all records of the sources but those that the run has already, the first ones, and finish it.

    `tell` is called before the first pass and after every one, and what it raises stops the run: the parts that are
    finished stay, and the next call goes on after them. Raises ValueError in a sentence, as for a full disk.
    """
    counts, waiting, records, share = writer.counts, None, iter(records), 0.0
    for known in islice(records, counts.records):
        share = known.share
    done = Progress(counts.records, counts.problems, counts.tokens, share)
    tell(done)
    with ThreadPoolExecutor(1, "run-writer") as pool:
        try:
            for part in parts_of(records):
                between = partial(_tell_of_part, tell, done, part)
                rows, kept = traced_part(reader, writer.manifest.sizes, part, done.records, between)
                if waiting:
                    waiting.result()
                waiting = pool.submit(writer.write, rows, kept)
                done = Progress(
                    done.records + len(part),
                    done.problems + sum(record.problem is not None for record in kept),
                    done.tokens + rows.table.num_rows,
                    part[-1].share,
                )
                tell(done)
        finally:
            if waiting:
                waiting.result()
    writer.finish()


def _tell_of_part(
    tell: Callable[[Progress], None], done: Progress, part: Sequence[SourceRecord], tokens: int, of: int
) -> None:
    """Tell that so many tokens of a part are read, beside all that was done before it."""
    share = done.share + (part[-1].share - done.share) * tokens / of
    tell(Progress(done.records + len(part) * tokens // of, done.problems, done.tokens + tokens, share))


__all__ = [
    "PART_BYTES", "PART_RECORDS", "Progress", "SourceRecord", "TextReader", "manifest_of", "parts_of",
    "traced_part", "write_run",
]  # fmt: skip
