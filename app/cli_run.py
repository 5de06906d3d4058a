"""`python -m app run`: whole files and datasets in, a run out (`analysis.runs`); the same command again goes on."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli_inputs import interventions_of
from app.cli_loading import MODEL_HELP, add_loading, loading_of
from app.cli_output import add_output, result, say
from app.cli_trace import tell_of_model

if TYPE_CHECKING:
    from analysis.runs.manifest import Manifest
    from analysis.runs.tracing import Progress, SourceRecord
    from app.server.records import Records, Source
    from app.texts.record_files import Choices
    from hooks.run_reader import RunReader
    from sample_models.intervention import Intervention

TOLD_EVERY_S = 10.0
"""A line of progress, where stderr is no terminal that shows a bar."""


def run(args: argparse.Namespace) -> None:
    """Trace all records of files and datasets into a run, or go on with it."""
    from app.server.records import Records, sources_of
    from app.texts.prompt_columns import ColumnNeeded
    from app.texts.record_files import Choices

    if args.engine == "ray":
        import_module("ray")  # or say at once what brings it
    sources = sources_of(args.files)
    with Records(sources, Choices(args.per, args.column, args.id_column)) as records:
        try:
            others = records.open()
        except ColumnNeeded as error:
            raise ValueError(f"{str(error).removesuffix('.')} (--column NAME chooses).") from None
        for note in records.notes:
            say(note, to=sys.stderr)
        described = [source.described() for source in sources]
        how = loading_of(args), args.chat, interventions_of(args)
        reader = reader_of(args.model, *how)
        tell_of_model(reader.loaded)
        again = partial(reader_of, args.model, *how, weights=reader.model["weights_sha256"])
        _write(args, records, again, reader, manifest_of(args, reader, described, others))


def reader_of(
    model: str | None,
    how: dict,
    chat: bool,
    interventions: tuple["Intervention", ...],
    *,
    weights: str | None = None,
) -> "RunReader":
    """The model that reads texts. Raises ValueError if it has not these `weights` (their SHA-256)."""
    from hooks.run_reader import RunReader
    from sample_models import load_model

    reader = RunReader(load_model(model, **how), chat=chat, interventions=interventions)
    if weights not in (None, found := reader.model["weights_sha256"]):
        raise ValueError(f"a worker has a model of the same name with other weights, {found[:12]}: copy the model anew")
    return reader


def records_of(sources: Sequence["Source"], choices: "Choices", limit: int | None) -> Iterator["SourceRecord"]:
    """The records of sources, read where this is called."""
    from app.server.records import Records

    with Records(sources, choices) as again:
        again.open()
        yield from islice(again, limit)


def manifest_of(
    args: argparse.Namespace, reader: "RunReader", described: list[dict], others: tuple[str, ...]
) -> "Manifest":
    """What the run is of."""
    from analysis.runs import tracing
    from app.version import version

    choices = {"per": args.per, "column": args.column, "id_column": args.id_column, "limit": args.limit}
    return tracing.manifest_of(reader, described, others, versions={"versatileffn": version()}, **choices)


def _write(
    args: argparse.Namespace,
    records: "Records",
    reader_again: Callable[[], "RunReader"],
    reader: "RunReader",
    manifest: "Manifest",
) -> None:
    from analysis.runs.on_ray import Cluster, write_run_on_ray
    from analysis.runs.tracing import write_run
    from analysis.runs.writing import RunWriter

    with RunWriter(args.out, manifest) as writer:
        before = writer.counts
        if writer.manifest.finished:
            say(f"{args.out} is finished; nothing is left to do", to=sys.stderr)
        else:
            if before.records:
                say(f"{args.out}: going on after {before.records:,} records", to=sys.stderr)
            stamps = [source.stamp() for source in records.sources]
            try:
                with _telling(args) as tell:
                    if args.engine == "ray":
                        again = partial(records_of, records.sources, records.choices, args.limit)
                        on = Cluster(args.ray_address, args.workers, gpus=args.device.startswith("cuda"))
                        write_run_on_ray(writer, reader_again, again, tell, on=on)
                    else:
                        write_run(writer, reader, islice(records, args.limit), tell)
            except KeyboardInterrupt:
                kept = f"{writer.counts.records:,} records are kept in {args.out}"
                say(f"{kept}; the same command goes on after them", to=sys.stderr)
                raise
            for source, stamp in zip(records.sources, stamps, strict=True):
                if source.stamp() != stamp:
                    say(f"{source.name} was changed while it was read: make the run anew to be sure", to=sys.stderr)
        told = writer.counts
    if not told.records:
        say(f"{args.out} is empty: the files hold no text", to=sys.stderr)
    _tell_problems(args, told.problems)
    result(
        args,
        f"{args.out}: {told.prompts:,} prompts, {told.tokens:,} tokens"
        + (f", {told.problems:,} records with a problem" if told.problems else ""),
        run=args.out,
        prompts=told.prompts,
        problems=told.problems,
        tokens=told.tokens,
        new_records=told.records - before.records,
        finished=True,
    )


def _tell_problems(args: argparse.Namespace, problems: int) -> None:
    """The first problem of the run and how to see all, on stderr."""
    if problems:
        from analysis.runs.run import Run

        with Run(args.out, threads=1) as made:
            first = made.ask("SELECT problem FROM prompts WHERE problem IS NOT NULL ORDER BY prompt LIMIT 1")
        rest = f" ({problems:,} in all: SELECT * FROM prompts WHERE problem IS NOT NULL)" if problems > 1 else ""
        say(f"{first.problem[0]}{rest}", to=sys.stderr)


@contextmanager
def _telling(args: argparse.Namespace) -> Iterator[Callable[["Progress"], None]]:
    """What tells the progress: a bar with rate and remaining time on a terminal, else a line now and then."""
    if args.quiet or not sys.stderr:
        yield lambda progress: None
        return
    told = _Told(args.limit, bar=sys.stderr.isatty())
    try:
        yield told
    finally:
        told.close()


class _Told:
    """Tells the progress on stderr."""

    def __init__(self, limit: int | None, *, bar: bool):
        self._limit, self._on_terminal, self._first, self._bar = limit, bar, None, None

    def __call__(self, progress: "Progress") -> None:
        from tqdm import tqdm

        now, share = time.monotonic(), progress.records / self._limit if self._limit else progress.share
        share = min(share, 1.0)
        if self._first is None:  # what an earlier start has done counts for no rate
            self._first, self._began, self._told = (share, progress.tokens), now, now
            self._bar = tqdm(
                total=1.0,
                initial=share,
                bar_format="{percentage:3.0f}% |{bar}| {desc} [{elapsed}<{remaining}]",
                disable=not self._on_terminal,
                leave=False,
                dynamic_ncols=True,
                file=sys.stderr,
            )
        seconds = max(now - self._began, 1e-9)
        rate = (progress.tokens - self._first[1]) / seconds
        sentence = f"{progress.records:,} records, {progress.tokens:,} tokens, {rate:,.0f} tokens/s"
        if self._on_terminal:
            self._bar.set_description_str(sentence, refresh=False)
            self._bar.update(max(share - self._bar.n, 0.0))
        elif now - self._told >= TOLD_EVERY_S:
            self._told = now
            done = share - self._first[0]
            left = f", {tqdm.format_interval(seconds * (1 - share) / done)} left" if done > 0 else ""
            say(f"{share:.0%}: {sentence}{left}", to=sys.stderr)

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.close()


def add_run(commands: argparse._SubParsersAction) -> None:
    """The command's arguments."""
    command = commands.add_parser("run", help="trace whole files and datasets into a run; the same again goes on")
    command.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="txt, md, jsonl, csv or parquet files (text also as gz, bz2, xz, zst), folders of these, or a dataset of "
        "Hugging Face as hf:name[:config][:split]",
    )
    command.add_argument("--out", type=Path, required=True, help="folder of the run: new, empty, or one to go on with")
    command.add_argument("--per", choices=["line", "paragraph", "file"], help="txt, md: what counts as one prompt")
    command.add_argument("--column", help="the column of texts (default: text or prompt)")
    command.add_argument("--id-column", help="the column of names (default: id)")
    command.add_argument("--limit", type=_count("records"), help="read only so many records")
    command.add_argument("--model", help=f"{MODEL_HELP} (default: the best one here, see models)")
    add_loading(command)
    command.add_argument(
        "--engine", choices=["local", "ray"], default="local", help="what traces: this machine, or a cluster with Ray"
    )
    command.add_argument("--ray-address", help="of a running Ray cluster, or auto (default: start one on this machine)")
    command.add_argument(
        "--workers", type=_count("workers"), help="with Ray: processes (default: one for each GPU or machine)"
    )
    command.add_argument("--intervene", type=Path, help="JSON file of interventions, such as forced loops")
    command.add_argument(
        "--chat", action="store_true", help="put each text into the model's chat template, as a user's message"
    )
    add_output(command, of="run")
    command.set_defaults(run=run)


def _count(of: str) -> Callable[[str], int]:
    def counted(text: str) -> int:
        if not text.isdecimal() or int(text) < 1:
            raise argparse.ArgumentTypeError(f"a number of {of} is 1 or more, got {text}")
        return int(text)

    return counted


__all__ = ["add_run", "manifest_of", "run"]
