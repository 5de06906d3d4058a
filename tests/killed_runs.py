"""Kills `python -m app run` at chosen moments and gives the same command again: `python -m tests.killed_runs FOLDER`.

Every moment has a folder of its own. Each command runs in a fork of this program, which has imported what it needs, so
that a moment takes a fraction of a second.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import hooks.routing_rows
from analysis.runs import tracing
from app.cli import main as command
from hooks.run_reader import RunReader
from sample_models import load_model

MODEL = "versatile-4l-0.4m"
PART_RECORDS = 8
RECORDS = 30
MOMENTS = ("replace 1", "replace 3", "replace 8", "pass 3", "finish 1")
"""Before the first file gets its name (the manifest), the third (the prompts of a part), the eighth (those of a later
one); before a pass of the model, and once all is written."""


def source(folder: Path) -> Path:
    """Texts of several lengths, with some that cannot be used."""
    path = folder / "texts.txt"
    lines = [b"caf\xe9" if i % 7 == 3 else b"the fox went home " * (1 + i % 3) for i in range(RECORDS)]
    path.write_bytes(b"\n".join(lines))
    return path


def arguments(folder: Path, out: Path) -> list[str]:
    return ["run", str(source(folder)), "--out", str(out), "--model", MODEL, "--quiet"]


def kill_at(moment: str) -> None:
    """Let this process be killed once something is called for the nth time."""
    name, nth = moment.split()
    owner, method = {
        "replace": (Path, "replace"),
        "pass": (hooks.routing_rows, "_pass"),
        "finish": (tracing.RunWriter, "finish"),
    }[name]
    called, calls = getattr(owner, method), 0

    def counted(*args, **how):
        nonlocal calls
        calls += 1
        if calls == int(nth):
            os.kill(os.getpid(), signal.SIGKILL)
        return called(*args, **how)

    setattr(owner, method, counted)


def forked(work: Callable[[], int]) -> int:
    """What a fork of this process ends with."""
    child = os.fork()
    if child == 0:
        os._exit(work())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(folder: Path) -> None:
    """Kill at every moment and go on; ends with an error if one does not end as it should."""
    tracing.PART_RECORDS = PART_RECORDS
    RunReader(load_model(MODEL))  # imports what every fork needs
    assert forked(lambda: command(arguments(folder, folder / "whole"))) == 0
    for moment in MOMENTS:
        given = arguments(folder, folder / moment)

        def killed(moment: str = moment, given: list[str] = given) -> int:
            kill_at(moment)
            return command(given)

        assert forked(killed) == -signal.SIGKILL, f"was not killed at {moment}"
        assert forked(lambda given=given: command(given)) == 0, f"did not go on after {moment}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
