"""For browser tests: the app as a server process on a free port, and a Chromium."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser_setup import find_browser

ROOT = Path(__file__).parents[1]
START_TIMEOUT_S, STOP_TIMEOUT_S = 120, 60
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SENT_MS = 30
"""So long after a click the browser has surely asked the server for a run."""
DRAWN = """([sent_ms, call]) => {
  const drawn = document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'
    && document.querySelector('[data-testid=stMain] h2')
    && !document.querySelector('[data-testid=stSkeleton]')
    && [...document.querySelectorAll('[data-testid=stPlotlyChart]')].every(chart => chart.querySelector('.main-svg'))
    && [...document.querySelectorAll('.st-key-token_strip')].every(
      strip => strip.querySelector('[data-testid^=stBidi]')?.shadowRoot?.querySelector('[aria-selected=true]'));
  const now = performance.now(), since = window.drawn?.call === call ? window.drawn.since : now;
  window.drawn = drawn ? { call, since } : undefined;
  return Boolean(drawn) && now - since >= sent_ms;
}"""
"""JavaScript: whether the script has ended, all charts are drawn, and the token strip shows its selected token.

Before the first run, and while a page waits for a text that its tab kept, nothing runs either, but it has no heading.
A run that begins another at its end rests for less than `SENT_MS`. Playwright does not await an async function here.
"""


class Server(str):
    """Address of a running server; `pid` is its process."""

    pid: int


@contextmanager
def app_server(log: Path, *options: str, port: int | None = None) -> Iterator[Server]:
    """Start a server of this checkout's app as `make run` does, yield its address, and stop it at the end.

    `options` are further ones of `serve`; the port is a free one unless it is given.
    """
    port = port or free_port()
    address = Server(f"http://127.0.0.1:{port}")
    command = [sys.executable, "-m", "app", "serve", "--port", str(port), *options]
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={"BROWSER_PATH": find_browser() or "", **os.environ},
        )
    try:
        _wait_until_healthy(address, process, log)
        address.pid = process.pid
        yield address
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_S)


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=ARGS)
        try:
            yield browser
        finally:
            browser.close()


def wait_idle(page: Page, timeout_s: float = 60) -> None:
    """Wait until the script has ended and its output is drawn."""
    page.wait_for_function(DRAWN, arg=[SENT_MS, str(time.monotonic_ns())], timeout=timeout_s * 1000)


def until(page: Page, holds: Callable[[], bool], timeout_s: float = 20) -> None:
    """Wait until a condition holds that Playwright's own expectations cannot express.

    A page is drawn piece by piece, so tests should wait for a condition instead of checking it once.
    """
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not so within {timeout_s} s"
        page.wait_for_timeout(50)


def until_rests(page: Page, value: str, frames: int = 30) -> None:
    """Wait until the result of a JavaScript function has not changed for this number of drawn frames."""
    page.evaluate(
        f"""async (frames) => {{
          const value = () => JSON.stringify(({value})());
          for (let before = value(), same = 0, drawn = 0; same < frames; drawn += 1) {{
            if (drawn > 3600) throw new Error("it changes and changes");
            await new Promise(requestAnimationFrame);
            const now = value();
            same = now === before ? same + 1 : 0;
            before = now;
          }}
        }}""",
        frames,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_healthy(address: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended at its start:\n{log.read_text()}")
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=1) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.1)
    raise RuntimeError(f"the server did not answer within {START_TIMEOUT_S} s:\n{log.read_text()}")
