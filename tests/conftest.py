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


@pytest.fixture(scope="session")
def home(browser, address):
    """A tab that stays open beside all visits, so that each finds the app's scripts compiled: two seconds less."""
    tab = browser.new_context(accept_downloads=True).new_page()
    tab.goto(f"{address}/_stcore/health")
    yield tab
    tab.context.close()


MEDIA = {"color_scheme", "reduced_motion"}
"""What one tab may have otherwise than those beside it."""


@pytest.fixture
def visit(browser, address, home):
    """Start visits. At the end, the console must hold no errors and no other host may have been requested.

    The first is a tab beside `home` unless it has options of its own browser; any other has a browser of its own.
    """
    visits = []

    def start(*, new: bool = False, alone: bool = False, **context) -> Visit:
        shares = not (visits or alone or context.keys() - MEDIA)
        visits.append(Visit(browser, address, new=new, home=home if shares else None, **({} if shares else context)))
        if shares and context:
            visits[-1].page.emulate_media(**context)
        return visits[-1]

    yield start
    for started in visits:
        started.leave()


@pytest.fixture(scope="module")
def shared_visit(browser, address, home):
    """One visit for all tests of a file, where a page that is open already saves the time of opening it."""
    shared = Visit(browser, address, home=home)
    yield shared
    shared.leave()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Files of tests are dealt out, those of browser tests as one: they share a server, and a Chromium fills a core."""
    from xdist.scheduler import LoadFileScheduling

    if config.getvalue("dist") != "loadfile":
        return None

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "browser" if in_browser(file) else file

    return Scheduling(config, log)


def in_browser(nodeid: str) -> bool:
    """Whether a file of tests, or a test, is one of those that a browser runs."""
    return nodeid.startswith("tests/test_browser_")


def pytest_collection_modifyitems(items):
    """Browser tests come first, since one process has them all; without a Chromium they are skipped."""
    items.sort(key=lambda item: not in_browser(item.nodeid))
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
