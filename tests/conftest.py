"""Fixtures that many tests share (session fixtures are read-only), and what happens where no browser is to be had."""

import pytest

from tests.app_server import app_server, chromium
from tests.browser_setup import find_browser
from tests.models import small_loaded
from tests.visit import Visit

LEFT_OUT = pytest.StashKey[int]()


@pytest.fixture(scope="session")
def loaded():
    """A small instrumentable model."""
    return small_loaded()


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    """Address of a running server of the app."""
    with app_server(tmp_path_factory.mktemp("server") / "log.txt") as url:
        yield url


@pytest.fixture(scope="session")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def visit(browser, address):
    """Start visits; at their end no error may stand in the console and no other host may have been asked."""
    visits = []

    def start(**context) -> Visit:
        visits.append(Visit(browser, address, **context))
        return visits[-1]

    yield start
    for each in visits:
        each.context.close()
        assert not each.errors
        assert not each.foreign


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
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        terminalreporter.section("NOT TESTED", sep="!", red=True, bold=True)
        for report in skipped:
            terminalreporter.line(f"{report.nodeid}: {report.longrepr[2]}")
