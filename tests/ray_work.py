"""What the actors of Ray do in tests: they import it, as they cannot import a file of tests."""

import os
from pathlib import Path

from analysis.runs import tracing
from hooks.run_reader import RunReader
from tests.models import small_loaded
from tests.test_runs_tracing import records


def some_records(count: int = 90):
    """Records that are cut into parts of 4, wherever they are read."""
    tracing.PART_RECORDS = 4
    return records(count)


class Noted(RunReader):
    """A reader that leaves the number of its process in a folder when it has read a part."""

    def __init__(self, folder: Path):
        super().__init__(small_loaded())
        self._folder = folder

    def read(self, texts):
        (self._folder / str(os.getpid())).touch()
        return super().read(texts)


def small_reader() -> RunReader:
    return RunReader(small_loaded())


class Refusing(RunReader):
    """A reader that reads nothing."""

    def __init__(self):
        super().__init__(small_loaded())

    def read(self, texts):
        raise ValueError("the texts cannot be read today")
