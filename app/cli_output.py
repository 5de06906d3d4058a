"""What a command says: line by line, and never in the way of its work."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO


def say(line: object, *, to: TextIO | None = None) -> None:
    """Print a line at once. Where nobody reads on (a closed pipe), the rest is said to nobody, and the work goes on."""
    stream = sys.stdout if to is None else to
    try:
        print(line, file=stream, flush=True)
    except BrokenPipeError:
        say_no_more(stream)


def say_no_more(stream: TextIO) -> None:
    """From now on, what is written to a stream is written to nobody."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def result(args: argparse.Namespace, line: object, **fields: Any) -> None:
    """Say a result on stdout: as a line for people or, with `--json`, its fields as a JSON object on one line.

    With `--quiet` nothing is said. Numbers that are not finite become null, which JSON has no other word for.
    """
    if not args.quiet:
        say(json.dumps(_plain(fields), ensure_ascii=False) if args.json else line)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


class Progress:
    """A bar on stderr with the rate and the remaining time; `progress` makes one."""

    def __init__(self, bar: Any) -> None:
        self.bar = bar

    def step(self) -> None:
        """One more is done."""
        self.bar.update()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """While lines are said, the bar is off the terminal."""
        if self.bar.disable:
            yield
        else:
            with self.bar.external_write_mode(file=self.bar.fp):
                yield


@contextmanager
def progress(args: argparse.Namespace, total: int, unit: str) -> Iterator[Progress]:
    """A bar for `total` of some unit while the body runs; none with `--quiet`, or where stderr is no terminal."""
    from tqdm import tqdm

    hidden = args.quiet or not sys.stderr.isatty()
    with tqdm(total=total, unit=f" {unit}", disable=hidden, leave=False, dynamic_ncols=True, file=sys.stderr) as bar:
        yield Progress(bar)


def add_output(command: argparse.ArgumentParser, *, of: str) -> None:
    """The options that say how a command tells its results, one line for each `of` something."""
    how = command.add_mutually_exclusive_group()
    how.add_argument("--quiet", action="store_true", help="say nothing but warnings and mistakes")
    how.add_argument("--json", action="store_true", help=f"say one JSON object for each {of}, on a line of its own")


__all__ = ["Progress", "add_output", "progress", "result", "say", "say_no_more"]
