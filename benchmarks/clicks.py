"""What a click on a token costs with a larger model, on every page: the time until all in sight shows it, the time of
processors that the server needs for it, and the server's memory in the end. First of all, what a new text costs.

python -m benchmarks.clicks [--tokens 256] [--clicks 7] [--pages "Recursion lens" Geometry]

The model is the one with which the explorer opens. On a busy machine the seconds of the server tell more than the wait.
"""

import argparse
import os
import statistics
import tempfile
from collections.abc import Iterable
from pathlib import Path

from playwright.sync_api import Page

from app.pages import PAGES
from benchmarks.browser import NOTES, QUIET_MS, click_token, open_first_page, submit, text_of
from tests.app_server import app_server, chromium, wait_idle

GROUPS = ("Read", "Explain", "Intervene")
NAMES = [page.name for page in PAGES if page.group in GROUPS]


def server_seconds(pid: int) -> float:
    """Seconds that a process has kept processors busy."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def peak_mb(pid: int) -> float:
    """The most memory that a process has had so far, in megabytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


def turn_to(page: Page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).click()
    page.get_by_role("heading", name=name, exact=True, level=2).wait_for()
    wait_idle(page, 300)
    page.wait_for_timeout(QUIET_MS)


def clicks_on(page: Page, pid: int, tokens: Iterable[int]) -> tuple[list[float], list[float]]:
    """Waits until all in sight shows each token, and seconds of the server."""
    waits, busy = [], []
    for token in tokens:
        before = server_seconds(pid)
        waits.append(click_token(page, token)[0])
        busy.append(server_seconds(pid) - before)
    return waits, busy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--clicks", type=int, default=7)
    parser.add_argument("--pages", nargs="+", choices=NAMES, default=NAMES)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, app_server(Path(folder) / "log") as address, chromium() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.add_init_script(NOTES)
        open_first_page(page, address)
        submit(page, text_of(20, 50))  # loads the model
        before = server_seconds(address.pid)
        wait = submit(page, text_of(args.tokens, 0))
        print(f"load {os.getloadavg()[0]:.1f}; a new text of {args.tokens} tokens to complete Overview: ", end="")
        print(f"{wait:.2f} s, server {server_seconds(address.pid) - before:.2f} s")
        print("medians and the longest        wait, ms        server, ms     load")
        for name in args.pages:
            turn_to(page, name)
            step = args.tokens // (args.clicks + 1)
            tokens = range(step, step * (args.clicks + 1), step)
            waits, busy = ([round(1e3 * each) for each in found] for found in clicks_on(page, address.pid, tokens))
            columns = (f"{statistics.median(found):6.0f} {max(found):6d}   " for found in (waits, busy))
            print(f"{name:24s} {'  '.join(columns)} {os.getloadavg()[0]:8.1f}", flush=True)
        print(f"the server's most memory: {peak_mb(address.pid):,.0f} MB")


if __name__ == "__main__":
    main()
