"""Many visitors at once on one server: are they kept apart, how long do they wait, does memory stay flat?

python -m benchmarks.visitors [--visitors 16] [--minutes 10] [--pause 4]

Every visitor is a browser session of its own with a text of its own, in one Chromium on this machine, which shares its
cores with the server. A visitor clicks a token or changes the page, reads for `pause` seconds, and goes on; every tenth
time it traces a new text. After every answer its strip must hold its own text and the read-out its own token.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright
from playwright.async_api import TimeoutError as PlaywrightTimeoutError

from app.texts.examples import EXAMPLES
from tests.app_server import ARGS, DRAWN, app_server
from tests.browser_setup import find_browser

PAGES = ("Overview", "Difficulty", "Gate", "Experts", "Recursion")
SHOWN = """() => [...[...document.querySelectorAll('*')].map(e => e.shadowRoot?.querySelector('.strip')).find(Boolean)
  .querySelectorAll('.token')].map(token => token.firstChild.textContent).join('').replaceAll(/[␣\\xa0]/g, ' ')"""
"""The text as the strip shows it."""
CLICK = """token => new Promise(resolve => {
  const shadows = [...document.querySelectorAll('*')].map(element => element.shadowRoot).filter(Boolean);
  const began = performance.now();
  shadows.map(shadow => shadow.querySelector(`[data-token="${token}"]`)).find(Boolean).click();
  const look = () => {
    const said = shadows.map(shadow => shadow.querySelector('.readout')?.textContent).find(Boolean);
    const rests = document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning';
    const waited = performance.now() - began;
    if ((said.includes(`token ‹${token}›`) && rests) || waited > 60_000) resolve(waited);
    else setTimeout(look, 40);
  };
  look();
})"""
"""Milliseconds from a click on a token to the end of the answer: the read-out names it and the script has ended."""


def resident_mib(pid: int) -> float:
    """Memory of a process and its children."""
    pages = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
            number = int(status.parent.name)
            if number == pid or int(fields[1]) == pid:
                pages += int((status.parent / "statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
    return pages * 4096 / 2**20


class Visitor:
    """One session: what it did, how long it waited, what went wrong."""

    def __init__(self, number: int, page: Page):
        self.number, self.page = number, page
        self.random = random.Random(number)
        self.clicks: list[float] = []
        self.texts: list[float] = []
        self.errors: list[str] = []
        self.text = ""
        self.left = False
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    async def begin(self, address: str) -> None:
        try:
            await self.page.goto(address)
            await self.page.get_by_role("heading", name="Overview", exact=True).wait_for()
            await self.trace()
        except PlaywrightTimeoutError as error:
            self.leave(error)

    def leave(self, why: PlaywrightTimeoutError) -> None:
        """Note that nothing came, and stay away from now on."""
        self.errors.append(f"waited in vain: {str(why).splitlines()[0]}")
        self.left = True

    async def trace(self) -> None:
        words = [word for prompt in EXAMPLES.values() for word in prompt.text.split() if word.isascii()]
        start = self.random.randrange(len(words) - 120)
        self.text = f"Visitor {self.number} reads: " + " ".join(words[start : start + 110])
        await self.page.locator(".st-key-framebar button").first.click()
        await self.page.get_by_label("Text to trace").wait_for()
        await self.page.wait_for_function(DRAWN)  # no reader writes before the field shows the text before
        await self.page.get_by_label("Text to trace").fill(self.text)
        began = time.perf_counter()
        await self.page.get_by_role("button", name="Trace", exact=True).click()
        # Seldom: looking takes time itself, from the same cores.
        await self.page.wait_for_function(f"text => ({SHOWN})() === text", arg=self.text, polling=200)
        self.texts.append(time.perf_counter() - began)

    async def click(self) -> None:
        token = self.random.randrange(4, 100)
        self.clicks.append(await self.page.evaluate(CLICK, token) / 1e3)
        said = (await self.page.locator(".readout").inner_text()).replace("\n", "")
        if f"token ‹{token}›" not in said:
            self.errors.append(f"asked for token {token}, was told {said[:60]}")

    async def turn_page(self) -> None:
        name = self.random.choice(PAGES)
        await self.page.get_by_role("link", name=name, exact=True).click()
        await self.page.get_by_role("heading", name=name, exact=True).wait_for()

    async def visit(self, until: float, pause: float) -> None:
        while time.monotonic() < until and not self.left:
            await asyncio.sleep(pause * self.random.uniform(0.5, 1.5))
            action = self.random.random()
            try:
                await (self.trace() if action < 0.1 else self.turn_page() if action < 0.25 else self.click())
            except PlaywrightTimeoutError as error:
                self.leave(error)
                return
            shown = await self.page.evaluate(f"({SHOWN})()")
            if shown != self.text:
                self.errors.append(f"shows another text: {shown[:60]}")


async def watch(pid: int, until: float, memory: list[float]) -> None:
    while time.monotonic() < until:
        memory.append(resident_mib(pid))
        await asyncio.sleep(15)


async def open_visitor(browser: Browser, number: int, address: str) -> Visitor:
    page = await browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(120_000)
    visitor = Visitor(number, page)
    await visitor.begin(address)
    return visitor


async def soak(address: str, pid: int, visitors: int, minutes: float, pause: float) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_browser(), args=ARGS)
        everyone = [await open_visitor(browser, number, address) for number in range(visitors)]
        memory: list[float] = []
        until = time.monotonic() + 60 * minutes
        await asyncio.gather(watch(pid, until, memory), *(each.visit(until, pause) for each in everyone))
        await browser.close()
    clicks = sorted(wait for each in everyone for wait in each.clicks)
    texts = sorted(wait for each in everyone for wait in each.texts[1:])
    errors = [f"visitor {each.number}: {error}" for each in everyone for error in each.errors]
    print(f"{visitors} visitors, {minutes:g} minutes, pause of {pause:g} s")
    for what, waits in (("token click", clicks), ("new text", texts)):
        if waits:
            slow = waits[int(0.95 * (len(waits) - 1))]
            print(f"{what}: {len(waits)}, median {statistics.median(waits):.2f} s, 95 % within {slow:.2f} s")
    quarter = max(len(memory) // 4, 1)
    first, last = statistics.mean(memory[:quarter]), statistics.mean(memory[-quarter:])
    print(f"server's memory: first quarter {first:.0f} MiB, last quarter {last:.0f} MiB, most {max(memory):.0f} MiB")
    print(f"errors and mix-ups: {len(errors)}", *errors[:10], sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--pause", type=float, default=4)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, app_server(Path(folder) / "log") as server:
        asyncio.run(soak(server, server.pid, args.visitors, args.minutes, args.pause))


if __name__ == "__main__":
    main()
