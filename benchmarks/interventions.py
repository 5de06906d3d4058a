"""What a visitor waits for on the pages of Intervene: a click of What if, and the progress and the stop of a sweep.

python -m benchmarks.interventions [--model versatile-6l-4m] [--tokens 64] [--rounds 7]

Asked on a quiet machine: a click of What if is in sight within half a second, and a sweep shows its progress within a
second and stops within a second. The first click is counted by itself. A sweep reads a text of four times the tokens,
so that it is not finished before it is stopped.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser

from benchmarks.browser import text_of
from tests.app_server import app_server, chromium, wait_idle
from tests.test_browser_what_if import BANNER, click_cell
from tests.visit import Visit

SWEEPS = {
    "Forced depth": ("Force every depth", "forced to every depth in every layer"),
    "Expert knock-outs": ("Drop experts", "Dropping experts from the width path: "),
}
"""Page -> its button, and words of its progress."""
TOLD = "at => document.querySelector(at)?.innerText ?? ''"
ENDED = "() => document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'"
WATCHED_MS = 1500
"""How long a sweep runs before it is stopped."""


@contextmanager
def visit(browser: Browser, address: str, model: str, text: str) -> Iterator[Visit]:
    """A visitor who has traced a text."""
    here = Visit(browser, address)
    here.open(f"?model={model}")
    here.trace(text)
    yield here
    here.leave()


def clicks(here: Visit, tokens: range) -> list[float]:
    """Seconds from each click on a cell until the banner tells of it and the script has ended."""
    page = here.page
    here.turn_to("What if")
    page.get_by_text("Set with every click").click()
    wait_idle(page)
    waits = []
    for token in tokens:
        before = page.evaluate(TOLD, BANNER)
        page.evaluate("() => addEventListener('click', () => (window.clicked = performance.now()), { capture: true })")
        click_cell(page, layer=2, token=token)
        page.wait_for_function(f"([at, before]) => ({TOLD})(at) !== before", arg=[BANNER, before], polling=10)
        page.wait_for_function(ENDED, polling=10)
        waits.append(page.evaluate("performance.now() - clicked") / 1e3)
        page.wait_for_timeout(500)
    return waits


def sweep(here: Visit, name: str) -> tuple[float, float]:
    """Seconds until a sweep shows its progress, and from the click on Stop until it has stopped."""
    page, (start, words) = here.page, SWEEPS[name]
    here.turn_to(name)
    button, stop = (page.get_by_role("button", name=label, exact=True) for label in (start, "Stop"))
    button.click()
    began = time.perf_counter()
    page.get_by_text(words).first.wait_for()
    shown = time.perf_counter() - began
    page.wait_for_timeout(WATCHED_MS)
    stop.click()
    began = time.perf_counter()
    stop.wait_for(state="hidden")
    return shown, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="versatile-6l-4m")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, app_server(Path(folder) / "log") as address, chromium() as browser:
        with visit(browser, address, args.model, text_of(args.tokens, 0)) as here:
            first, *waits = clicks(here, range(20, 21 + args.rounds))
        print(f"{args.model}, {args.tokens} tokens; medians of {args.rounds} rounds, the slowest in brackets")
        print(f"What if, first click of a new server: {first * 1e3:.0f} ms")
        print(f"What if, click: {statistics.median(waits) * 1e3:.0f} ms ({max(waits) * 1e3:.0f})")
        for name in SWEEPS:
            moments = []
            for number in range(3):
                with visit(browser, address, args.model, text_of(4 * args.tokens, 1 + number)) as here:
                    moments.append(sweep(here, name))
            shown, stopped = zip(*moments, strict=True)
            print(f"{name}, progress: {statistics.median(shown) * 1e3:.0f} ms ({max(shown) * 1e3:.0f})")
            print(f"{name}, stop: {statistics.median(stopped) * 1e3:.0f} ms ({max(stopped) * 1e3:.0f})")


if __name__ == "__main__":
    main()
