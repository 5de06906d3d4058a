"""Fixtures that many tests share (session fixtures are read-only), and what happens where no browser is to be had."""

import pytest

from tests.browser_setup import find_browser
from tests.models import small_loaded

LEFT_OUT = pytest.StashKey[int]()


@pytest.fixture(scope="session")
def loaded():
    """A small instrumentable model."""
    return small_loaded()


def pytest_collection_modifyitems(config, items):
    """Without a Chromium the browser tests are left out, and the end of the run says so."""
    in_browser = [item for item in items if item.get_closest_marker("browser")]
    if in_browser and not find_browser():
        config.hook.pytest_deselected(items=in_browser)
        items[:] = [item for item in items if item not in in_browser]
        config.stash[LEFT_OUT] = len(in_browser)


def pytest_terminal_summary(terminalreporter, config):
    left_out = config.stash.get(LEFT_OUT, 0)
    if left_out:
        terminalreporter.section("NOT TESTED", sep="!", red=True, bold=True)
        terminalreporter.line(
            f"{left_out} browser tests were LEFT OUT: no Chromium was found and none could be installed."
        )
        terminalreporter.line("Install chromium (or set CHROMIUM=/path/to/it) and run the tests again.")
