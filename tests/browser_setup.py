"""Find a Chromium for the browser tests, or install one; if neither is possible, print so.

python -m tests.browser_setup
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
INSTALL_TIMEOUT_S = 300


def find_browser() -> str | None:
    """Path of a Chromium: CHROMIUM from the environment, one on the PATH, or the one Playwright installed."""
    named = os.environ.get("CHROMIUM")
    if named and not shutil.which(named):
        sys.exit(f"CHROMIUM={named} is no program: give the path of a Chromium, or leave it unset")
    if named:
        return named
    on_path = next((path for name in NAMES if (path := shutil.which(name))), None)
    return on_path or _installed_by_playwright()


def _installed_by_playwright() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def install_browser() -> None:
    """Try the system's package manager if we are root, then Playwright's own download."""
    attempts = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if shutil.which("apt-get") and os.geteuid() == 0:
        attempts = [["sh", "-c", "apt-get update -q && apt-get install -yq chromium"], *attempts]
    for command in attempts:
        print(f"No Chromium found. Trying: {' '.join(command)}", flush=True)
        try:
            subprocess.run(command, check=True, timeout=INSTALL_TIMEOUT_S, stdout=subprocess.DEVNULL)
        except (subprocess.SubprocessError, OSError) as error:
            print(f"That failed: {error}", flush=True)
        if find_browser():
            return


if __name__ == "__main__":
    if not find_browser():
        install_browser()
    print(f"Browser for the tests: {find_browser() or 'NONE. The browser tests will be left out.'}", flush=True)
