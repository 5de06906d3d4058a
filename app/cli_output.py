"""What a command says: line by line, and never in the way of its work."""

import os
import sys
from typing import TextIO


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


__all__ = ["say", "say_no_more"]
