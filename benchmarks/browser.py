"""What a visitor waits for, in a real browser: the first page of a server just started; on a warm one first page,
a new text, every page opened again, and a token click on it. What a page captures is captured before.

python -m benchmarks.browser [--rounds 9] [--tokens 256] [--pages "Write ledger" Geometry]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page

from app.examples import EXAMPLES
from tests.app_server import DRAWN, app_server, chromium, wait_idle

PAGES = (
    "Overview", "Difficulty", "Gate", "Experts", "Recursion", "Walkthrough", "Write ledger", "Recursion lens",
    "Geometry", "Attention", "Near misses", "Cost",
)  # fmt: skip
# Milliseconds from a click until the page of this title shows its first figure, and until it changes no more (half a
# second without any change ends the wait). What a table puts into its canvas a while later is not counted: nobody sees
# it, it is there for screen readers.
CLICK = """([selector, quiet, title]) => new Promise(resolve => {
  const found = [document, ...[...document.querySelectorAll('*')].map(element => element.shadowRoot)]
    .map(root => root?.querySelector(selector)).find(Boolean);
  const began = performance.now();
  let first = null, last = began, timer;
  const settled = () => { observer.disconnect(); resolve([first === null ? null : first - began, last - began]); };
  const unseen = ({ target }) => (target.closest ? target : target.parentElement)?.closest('canvas');
  const answered = () => document.querySelector('h2')?.innerText === title && document.querySelector('.main-svg');
  const observer = new MutationObserver((changes) => {
    if (changes.every(unseen)) return;
    last = performance.now();
    if (first === null && answered()) first = last;
    clearTimeout(timer);
    timer = setTimeout(settled, quiet);
  });
  observer.observe(document.querySelector('[data-testid=stMain]'), {
    subtree: true, childList: true, attributes: true, characterData: true });
  timer = setTimeout(settled, 5000);
  found.click();
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
    page.get_by_role("heading", name="Overview", exact=True).wait_for()
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


def click_token(page: Page, token: int) -> float:
    """From the click to the last change of the page, measured inside the page; the read-out proves the answer came."""
    _, settled = page.evaluate(CLICK, [f'[data-token="{token}"]', QUIET_MS, None])
    answered = page.locator(".readout").inner_text().replace("\n", "")
    assert f"token ‹{token}›" in answered, f"the page settled before the server answered: {answered}"
    return settled / 1e3


def open_page(page: Page, name: str) -> tuple[float, float]:
    """From the click on a page's link to its first figure, and to the last change; its charts prove the answer."""
    link = page.get_by_role("link", name=name, exact=True)
    first, settled = page.evaluate(CLICK, [f'a[href="{link.get_attribute("href")}"]', QUIET_MS, name])
    shown = page.get_by_role("heading", name=name, exact=True).is_visible()
    assert shown and page.evaluate(DRAWN), f"{name} settled before all was drawn"
    return first / 1e3, settled / 1e3


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
                first, settled = open_page(page, name)
                seconds.setdefault(f"{name}, opened again: first figure", []).append(first)
                seconds.setdefault(f"{name}, opened again: all drawn", []).append(settled)
                for token in (20 + number, 150 + number):
                    seconds.setdefault(f"{name}, token click", []).append(click_token(page, token))
            page.close()
    print(f"{args.tokens} tokens, medians of {rounds} rounds")
    for name, values in seconds.items():
        print(f"{name:46s} {statistics.median(values) * 1e3:7.0f} ms   (slowest {max(values) * 1e3:.0f})")


if __name__ == "__main__":
    main()
