"""A visitor of the app in a real browser."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, WebSocket, expect

from tests.app_server import until, until_rests, wait_idle

# Console errors that are Streamlit's own: it probes its endpoints below the address of a sub-page and gets a 404.
# It also requests the file of every download button without a click, when file or server may be gone, and says so.
OWN_PROBE = re.compile(r"/_stcore/|/media/|Download Button (source|fetch) error")
FOLD = "[class*=st-key-fold-] details"
HOSTILE = "<script>alert(1)</script> <b>bold</b> $x$ **stars** 🙂 مرحبا 你好\n\ttab"
"""A text that must be shown literally everywhere."""


def opened_from(home: Page) -> Page:
    """A new tab of the same browser, in the same process."""
    home.evaluate("localStorage.clear()")
    with home.context.expect_page() as opened:
        home.evaluate("() => void window.open('about:blank')")
    return opened.value


class Visit:
    """A browser page with its own session; collects console errors and requests to other hosts.

    Without `new` the visitor has been here before and has put away what greets a new one. `home` is a tab at the app's
    address: the page is then opened from it and shares its process, which has the app's scripts compiled already, and
    nothing else. Without it the page is the first of a browser of its own with these options of Playwright's contexts.
    """

    def __init__(self, browser: Browser, address: str, *, new: bool = False, home: Page | None = None, **context):
        from app.session.put_away import COOKIE, KNOWN  # Streamlit takes a second to import

        self.context = home.context if home else browser.new_context(accept_downloads=True, **context)
        self.context.clear_cookies()
        self.context.clear_permissions()
        if not new:
            self.context.add_cookies([{"name": COOKIE, "value": ".".join(KNOWN), "url": address}])
        self.page: Page = opened_from(home) if home else self.context.new_page()
        self.page.set_viewport_size({"width": 1440, "height": 1000})
        self._home = home
        self.address = address
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._note)
        self.page.on("request", self._watch)
        self._sockets: list[WebSocket] = []
        self.page.on("websocket", lambda socket: self._sockets.append(socket))
        self.page.set_default_timeout(90_000)

    def leave(self) -> None:
        """Close the page, or its whole browser if it has one of its own; nothing may have gone wrong."""
        self.page.close() if self._home else self.context.close()
        assert not self.errors
        assert not self.foreign

    def _note(self, message):
        said = f"{message.text} {message.location.get('url', '')}"
        if message.type == "error" and not OWN_PROBE.search(said):
            self.errors.append(said)

    def _watch(self, request):
        if not request.url.startswith((self.address, "data:", "blob:", self.address.replace("http", "ws"))):
            self.foreign.append(request.url)

    def open(self, path: str = "", heading: str = "Overview") -> Page:
        self.page.goto(f"{self.address}/{path}")
        self.page.get_by_role("heading", name=heading, exact=True, level=2).wait_for()
        self.page.locator(".js-plotly-plot .main-svg").first.wait_for()  # only then are charts known to `wait_idle`
        wait_idle(self.page)
        return self.page

    def opened(self) -> Page:
        """The page as it is; if nothing is open yet, the app is opened."""
        return self.open() if self.page.url == "about:blank" else self.page

    def turn_to(self, name: str) -> None:
        """Go to a page by its link and wait until it is drawn."""
        self.page.get_by_role("link", name=name, exact=True).click()
        self.page.get_by_role("heading", name=name, exact=True, level=2).wait_for()
        wait_idle(self.page)

    def unfold(self) -> None:
        """Open everything that the page folds away, all at once, and wait until it is drawn.

        Between the reading of several texts and what is drawn of them the script rests for a moment, without folds.
        """
        inside = "each.open && each.querySelector('[data-testid=stExpanderDetails]')?.innerText.trim()"
        while True:
            self.page.wait_for_function("() => !document.querySelector('.st-key-stop-reading')")
            wait_idle(self.page)
            until_rests(self.page, f"() => document.querySelectorAll('{FOLD}').length", 4)
            self.page.evaluate(
                f"() => document.querySelectorAll('{FOLD}:not([open]) > summary').forEach(each => each.click())"
            )
            self.page.wait_for_function(f"() => [...document.querySelectorAll('{FOLD}')].every(each => {inside})")
            wait_idle(self.page)
            if self.page.evaluate(f"() => [...document.querySelectorAll('{FOLD}')].every(each => {inside})"):
                return

    def trace(self, text: str) -> None:
        """Type a text, trace it, and wait until the strip shows another text or a problem is shown."""
        self.type(text)
        self.submit()

    def type(self, text: str) -> None:
        """Open the text field and fill it, once it shows the current text."""
        self.page.locator(".st-key-framebar button").first.click()
        field = self.page.get_by_label("Text to trace")
        expect(field).not_to_have_value("")
        wait_idle(self.page)
        field.fill(text)
        expect(field).to_have_value(text)

    def submit(self) -> None:
        """Press Trace and wait until the strip shows another text or a problem is shown."""
        before = self.text()
        self.page.get_by_role("button", name="Trace", exact=True).click()
        until(self.page, lambda: self.text() != before or self.page.locator(".st-key-problem").count(), 60)
        wait_idle(self.page)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Return from the block as soon as its action was sent to the server, before the answer is drawn."""
        with self._sockets[-1].expect_event("framesent"):
            yield

    def text(self) -> str:
        """The text as the strip shows it, once it shows one."""
        self.tokens().first.wait_for()
        return "".join(self.tokens().all_inner_texts()).replace("\xa0", " ")

    def tokens(self):
        return self.page.get_by_role("option")

    def readout(self) -> str:
        return self.page.locator(".readout").inner_text()
