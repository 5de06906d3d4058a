"""Fixtures that many tests share (session fixtures are read-only), and skipping of browser tests without a browser."""

import os
import tempfile
from collections import Counter

import pytest
from playwright.sync_api import expect

from tests.app_server import app_server, chromium
from tests.browser_setup import find_browser
from tests.models import small_loaded
from tests.visit import Visit

# What somebody built or drew on this machine is no part of the tests.
os.environ["VERSATILEFFN_CACHE"] = tempfile.mkdtemp(prefix="versatileffn-tests-")

NO_BROWSER = (
    "no Chromium was found and none could be installed. Install chromium (or set CHROMIUM=/path/to/it) and run the "
    "tests again."
)


expect.set_options(timeout=20_000)  # two browsers, two servers and their models may share two cores


@pytest.fixture(scope="session")
def loaded():
    """A small instrumentable model."""
    return small_loaded()


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory):
    """The folder of a small model; a test that changes it must copy it first."""
    from tests.model_folders import save_model

    return save_model(tmp_path_factory.mktemp("saved") / "tiny")


@pytest.fixture
def app():
    """The app in this process, as a new session that has not run yet."""
    from tests.app_in_process import new_app  # Streamlit takes a second to import

    return new_app()


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
    """Start visits. At the end, the console must hold no errors and no other host may have been requested."""
    visits = []

    def start(**context) -> Visit:
        visits.append(Visit(browser, address, **context))
        return visits[-1]

    yield start
    for started in visits:
        started.context.close()
        assert not started.errors
        assert not started.foreign


@pytest.fixture(scope="module")
def shared_visit(browser, address):
    """One visit for all tests of a file, where a page that is open already saves the time of opening it."""
    shared = Visit(browser, address)
    yield shared
    shared.context.close()
    assert not shared.errors
    assert not shared.foreign


def pytest_collection_modifyitems(items):
    """Skip the browser tests if there is no Chromium."""
    if find_browser():
        return
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason=NO_BROWSER))


def pytest_terminal_summary(terminalreporter):
    """Print a conspicuous summary of skipped tests and the reasons."""
    why = Counter(report.longrepr[2] for report in terminalreporter.stats.get("skipped", []))
    if why:
        terminalreporter.section("NOT TESTED", sep="!", red=True, bold=True)
    for reason, count in why.items():
        terminalreporter.line(f"{count} LEFT OUT: {reason.removeprefix('Skipped: ')}")
