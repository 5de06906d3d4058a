"""What outlives a reload, a restart of the server and a lost connection; copied links; Back and Forward."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.app_server import app_server, free_port, until, wait_idle
from tests.visit import Visit

pytestmark = pytest.mark.browser
OWN = "The cat sat on the mat and slept."
SOCKETS = """window.sockets = [];
  window.WebSocket = class extends WebSocket { constructor(...of) { super(...of); sockets.push(this); } };"""
"""To cut connections: a browser that goes offline keeps those that it has."""
SERVER_AWAY = re.compile(r"WebSocket|ERR_|Failed to fetch|server is not responding")
"""Errors of a browser whose server was stopped on purpose."""
LIST = "A red fox ran.\nTwo and two make four.\nThe king was glad."


class Restartable:
    """A server that can be stopped and started again at the same address."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        self.start()

    def start(self) -> None:
        self.running = app_server(self.folder / "log.txt", port=self.port)
        self.address = self.running.__enter__()

    def stop(self) -> None:
        self.running.__exit__(None, None, None)


@pytest.fixture
def server(tmp_path) -> Iterator[Restartable]:
    running = Restartable(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def here(visit) -> Visit:
    return visit()


def selected(page: Page, token: int) -> None:
    expect(page.locator(".readout")).to_contain_text(f"token ‹{token}›", timeout=60_000)
    wait_idle(page)


def until_text(here: Visit, text: str) -> None:
    until(here.page, lambda: here.text() == text)
    wait_idle(here.page)


def bring_list(here: Visit) -> None:
    """Paste a list and compare it, which traces it."""
    page = here.page
    here.type(LIST)
    page.get_by_role("radio", name="One prompt per line").click()
    page.get_by_role("button", name="Compare all 3").click()
    expect(page.get_by_text("3 of 3 prompts traced.")).to_be_visible(timeout=60_000)  # the server may load a model
    wait_idle(page)


def test_reload_keeps_text_selection_and_choices(here):
    page = here.open("recursion?layer=2", "Recursion")
    here.trace(OWN)
    here.tokens().nth(4).click()
    selected(page, 4)
    page.get_by_role("radio", name="Surprisal").click()
    words = page.get_by_role("button", name="words")
    words.click()
    expect(words).to_have_attribute("aria-pressed", "true")  # the app has it, and not the browser alone
    wait_idle(page)
    shown = here.text()
    page.reload()
    selected(page, 4)
    assert here.text() == shown and OWN in shown
    expect(page.locator(".readout")).to_contain_text("layer ‹2›")
    expect(page.get_by_role("radio", name="Surprisal")).to_be_checked()
    expect(words).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".st-key-problem")).to_have_count(0)


def test_back_and_forward_undo_and_redo_selections_texts_and_pages(here):
    page = here.page
    page.goto("about:blank")
    page.goto(f"{here.address}/")
    here.tokens().first.wait_for()
    wait_idle(page)
    expect(page).to_have_url(re.compile("token="))
    assert page.evaluate("history.length") == 2, "opening the app is one step"
    fox = here.text()
    for token in (3, 5):
        here.tokens().nth(token).click()
        selected(page, token)
    here.trace(OWN)
    here.tokens().nth(2).click()
    selected(page, 2)
    here.turn_to("Gate")
    page.go_back()
    page.get_by_role("heading", name="Overview", exact=True, level=2).wait_for()
    selected(page, 2)
    page.go_back()
    page.go_back()
    until_text(here, fox)  # the first of these steps may have the same token
    selected(page, 5)
    page.go_back()
    selected(page, 3)
    page.go_forward()
    selected(page, 5)
    page.go_forward()
    page.go_forward()
    until_text(here, OWN)
    selected(page, 2)
    page.go_forward()
    page.get_by_role("heading", name="Gate", exact=True, level=2).wait_for()
    selected(page, 2)


def test_restarted_server_and_lost_connection_give_everything_back(browser, server):
    here = Visit(browser, server.address)
    here.page.add_init_script(SOCKETS)
    page = here.open("?model=versatile-4l-0.4m")
    bring_list(here)
    here.type(OWN)
    page.get_by_role("radio", name="One text").click()
    expect(page.get_by_role("button", name="Compare all")).to_have_count(0)  # until then Trace is that of the list
    here.submit()
    until_text(here, OWN)
    here.tokens().nth(4).click()
    selected(page, 4)
    page.reload()
    selected(page, 4)
    expect(page.get_by_text("3 of 3 prompts traced.")).to_be_visible(timeout=60_000)
    wait_idle(page)

    here.context.set_offline(True)
    page.evaluate("sockets.at(-1).close()")
    expect(page.locator("[data-test-connection-state=CONNECTED]")).to_have_count(0)
    here.tokens().nth(5).click()
    here.context.set_offline(False)
    selected(page, 5)
    until_text(here, OWN)

    server.stop()
    expect(page.locator("[data-test-connection-state=CONNECTED]")).to_have_count(0)
    server.start()
    expect(page.get_by_text("The server ended your session.")).to_be_visible(timeout=60_000)
    selected(page, 5)
    until_text(here, OWN)
    expect(page.get_by_text("3 of 3 prompts traced.")).to_be_visible(timeout=60_000)
    here.context.close()
    assert not [error for error in here.errors if not SERVER_AWAY.search(error)]


def test_a_copied_link_brings_text_and_choices_to_a_fresh_browser_and_stays(here, visit):
    here.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = here.open("gate", "Gate")
    here.trace(OWN)
    here.tokens().nth(4).click()
    selected(page, 4)
    words = page.get_by_role("button", name="words")
    words.click()
    expect(words).to_have_attribute("aria-pressed", "true")
    wait_idle(page)
    page.get_by_role("button", name="Export").click()
    page.get_by_role("button", name="Copy link with my text").click()
    page.get_by_role("button", name="Copied").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    fresh = visit()
    fresh.page.goto(link)
    selected(fresh.page, 4)
    fresh.page.reload()
    selected(fresh.page, 4)
    until(fresh.page, lambda: OWN in fresh.text())
    expect(fresh.page.get_by_role("button", name="words")).to_have_attribute("aria-pressed", "true")
    fresh.page.goto(page.url)
    expect(fresh.page.get_by_text("This address names a text that is not in this tab")).to_be_visible()


def test_a_duplicated_tab_begins_alike_and_then_stays_apart_and_forgetting_is_for_one_tab(here):
    page = here.open()
    here.trace(OWN)
    with here.context.expect_page() as opened:
        page.evaluate("() => void window.open(location.href)")
    twin = opened.value
    twin.set_default_timeout(90_000)
    twin.set_viewport_size({"width": 1440, "height": 1000})
    twin.get_by_role("option").first.wait_for()
    wait_idle(twin)
    assert "cat" in "".join(twin.get_by_role("option").all_inner_texts())
    here.trace("Only the first tab has this.")
    page.locator(".st-key-framebar button").first.click()
    page.get_by_role("button", name="Forget my texts").click()
    until(page, lambda: "fox" in here.text())
    wait_idle(page)
    page.reload()
    expect(page.get_by_text("The fox and the lamp, ")).to_be_visible()
    until(page, lambda: page.evaluate("sessionStorage.getItem('versatileffn-work')") is None)
    twin.reload()
    twin.get_by_role("option").first.wait_for()
    wait_idle(twin)
    assert "cat" in "".join(twin.get_by_role("option").all_inner_texts())


def test_the_model_of_a_link_stays_when_a_page_is_opened_before_the_first_is_drawn(here):
    page, overview = here.page, here.page.get_by_role("link", name="Overview", exact=True)
    for pause_ms in (300, 500, 900, 1100):
        page.goto(f"{here.address}/?model=versatile-4l-0.4m&example=fox", wait_until="commit")
        overview.click()
        page.wait_for_timeout(pause_ms)
        overview.click()
        page.get_by_role("heading", name="Overview", exact=True, level=2).wait_for()
        wait_idle(page)
        here.turn_to("Gate")
        expect(page).to_have_url(re.compile("model=versatile-4l-0.4m"))
