"""What a visitor waits for, in a browser that has nothing cached: the first page of a server just started; on a warm
one first page, a new text, every page opened again, and a token click on it. What a page captures is captured before.

python -m benchmarks.browser [--rounds 9] [--tokens 256] [--pages "Write ledger" Geometry]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page

from app.texts.examples import EXAMPLES
from tests.app_server import DRAWN, app_server, chromium, wait_idle

PAGES = (
    "Overview", "Difficulty", "Gate", "Experts", "Recursion", "Walkthrough", "Write ledger", "Recursion lens",
    "Geometry", "Attention", "Near misses", "Cost", "What decides", "Validity",
)  # fmt: skip
# Notes which chart was drawn when. To watch the whole page change costs a tenth of a second by itself.
NOTES = """window.drawn = [];
let plotly;
Object.defineProperty(window, "Plotly", {
  get: () => plotly,
  set: (given) => {
    const { react } = (plotly = given);
    given.react = (figure, ...rest) => react(figure, ...rest).then((result) => {
      drawn.push([figure, performance.now()]);
      return result;
    });
  },
});"""
# Milliseconds from a click until the first chart is drawn, until all charts in sight are and the selection is shown (by
# the read-out and by the marks over the charts), and until all charts are and the script has ended. Half a second
# without any of it ends the wait.
CLICK = """([selector, quiet]) => new Promise(resolve => {
  const roots = [document, ...[...document.querySelectorAll('*')].map(element => element.shadowRoot)].filter(Boolean);
  const find = (wanted) => roots.map(root => root.querySelector(wanted)).find(Boolean);
  const app = document.querySelector('[data-testid=stApp]');
  const since = performance.now(), ended = { shown: since, script: since };
  const watch = (what) => new MutationObserver(() => (ended[what] = performance.now()));
  const shown = watch('shown'), script = watch('script');
  for (const part of [find('.readout'), ...document.querySelectorAll('svg.selection')]) {
    if (part) shown.observe(part, { childList: true });
  }
  script.observe(app, { attributeFilter: ['data-test-script-state'] });
  const sees = (figure) => {
    const { top, bottom } = figure.getBoundingClientRect();
    return figure.isConnected && bottom > 0 && top < innerHeight;
  };
  drawn.length = 0;
  const clock = setInterval(() => {
    const moments = drawn.map(([, at]) => at), last = Math.max(...moments, ended.shown, ended.script);
    const now = performance.now(), began = ended.script !== since;
    if (began ? app.dataset.testScriptState !== 'notRunning' : now - since < 5000) return;
    if (now - last < quiet) return;
    clearInterval(clock);
    shown.disconnect();
    script.disconnect();
    const seen = Math.max(...drawn.filter(([figure]) => sees(figure)).map(([, at]) => at), ended.shown);
    resolve([Math.min(...moments, last), seen, last].map(at => at - since));
  }, 100);
  find(selector).click();
})"""
QUIET_MS = 500


def text_of(tokens: int, start: int) -> str:
    """A text of exactly so many tokens that differs for every `start`, so that nothing is cached."""
    from sample_models import load_model

    tokenizer = load_model().tokenizer
    words = " ".join(prompt.text for prompt in EXAMPLES.values()).split()
    story = " ".join(words[start:] + words * (2 + tokens // 200))
    ids = tokenizer(f"{start}: {story}", verbose=False)["input_ids"][:tokens]
    return tokenizer.decode(ids)


def open_first_page(page: Page, address: str) -> float:
    began = time.perf_counter()
    page.goto(address)
    page.locator(".js-plotly-plot .main-svg").first.wait_for()  # before it there is no chart to be waited for
    page.wait_for_function(DRAWN)
    return time.perf_counter() - began


def submit(page: Page, text: str) -> float:
    page.locator(".st-key-framebar button").first.click()
    page.get_by_label("Text to trace").fill(text)
    before = page.locator(".st-key-framebar button").first.inner_text()
    button = page.get_by_role("button", name="Trace", exact=True)
    began = time.perf_counter()
    button.click()
    page.wait_for_function(
        "before => document.querySelector('.st-key-framebar button').innerText !== before", arg=before
    )
    page.wait_for_function(DRAWN)
    return time.perf_counter() - began


def click_token(page: Page, token: int) -> tuple[float, float]:
    """From the click until all in sight is drawn, and until all is; the read-out proves that the answer came."""
    _, seen, settled = page.evaluate(CLICK, [f'[data-token="{token}"]', QUIET_MS])
    answered = page.locator(".readout").inner_text().replace("\n", "")
    assert f"token ‹{token}›" in answered, f"the page settled before the server answered: {answered}"
    return seen / 1e3, settled / 1e3


def open_page(page: Page, name: str) -> tuple[float, float, float]:
    """From the click on a page's link until its first figure is drawn, until all in sight is, and until all is."""
    link = page.get_by_role("link", name=name, exact=True)
    moments = page.evaluate(CLICK, [f'a[href="{link.get_attribute("href")}"]', QUIET_MS])
    shown = page.get_by_role("heading", name=name, exact=True).is_visible()
    assert shown and page.evaluate(DRAWN), f"{name} settled before all was drawn"
    first, seen, settled = (moment / 1e3 for moment in moments)
    return first, seen, settled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--pages", nargs="+", choices=PAGES, default=PAGES)
    args = parser.parse_args()
    rounds = args.rounds
    texts = [text_of(args.tokens, start) for start in range(rounds)]
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, app_server(Path(folder) / "log") as address, chromium() as browser:
        warm = browser.new_page()
        seconds["first page of a server just started"] = [open_first_page(warm, address)]
        submit(warm, "A text of no example loads the model.")
        warm.close()
        for number in range(rounds):
            page = browser.new_page(viewport={"width": 1440, "height": 1000})
            page.add_init_script(NOTES)
            seconds.setdefault("first page", []).append(open_first_page(page, address))
            seconds.setdefault(f"new text of {args.tokens} tokens to complete Overview", []).append(
                submit(page, texts[number])
            )
            for name in args.pages:
                for opened in (name, "Overview" if name != "Overview" else "Gate"):
                    page.get_by_role("link", name=opened, exact=True).click()
                    page.get_by_role("heading", name=opened, exact=True).wait_for()
                    wait_idle(page)
                    page.wait_for_timeout(QUIET_MS)
                for what, value in zip(
                    ("first figure", "all in sight", "all drawn"), open_page(page, name), strict=True
                ):
                    seconds.setdefault(f"{name}, opened again: {what}", []).append(value)
                for token in (20 + number, 150 + number):
                    for what, value in zip(("all in sight", "all drawn"), click_token(page, token), strict=True):
                        seconds.setdefault(f"{name}, token click: {what}", []).append(value)
            page.close()
    print(f"{args.tokens} tokens, medians of {rounds} rounds")
    for name, values in seconds.items():
        print(f"{name:46s} {statistics.median(values) * 1e3:7.0f} ms   (slowest {max(values) * 1e3:.0f})")


if __name__ == "__main__":
    main()
