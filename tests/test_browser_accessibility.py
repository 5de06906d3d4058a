"""axe, the automatic accessibility check, on what opens over a page; tests/test_browser_every_page.py has the pages."""

import pytest
from playwright.sync_api import Page, expect

from tests.app_server import wait_idle
from tests.axe import THEMES, severe

pytestmark = pytest.mark.browser


def export(page: Page) -> None:
    page.get_by_role("button", name="Export").click()
    page.get_by_role("dialog").locator(".js-plotly-plot .main-svg").first.wait_for()
    page.get_by_role("dialog").get_by_role("button", name="Copy link").wait_for()


def find(page: Page) -> None:
    page.get_by_role("button", name="Find").click()
    page.get_by_text("No search yet.").wait_for()


def pick(way: str, seen: str):
    """Opens a tab of the text picker; `seen` is there once it is drawn."""

    def opened(page: Page) -> None:
        page.locator(".st-key-framebar button").first.click()
        page.get_by_role("radio", name=way, exact=True).click()
        page.locator(seen).first.wait_for()

    return opened


def glossary(page: Page) -> None:
    page.get_by_role("button", name="Glossary").click()
    page.get_by_role("dialog").get_by_text("hard difficulty").first.wait_for()


def tour(page: Page) -> None:
    page.get_by_role("button", name="Tour", exact=True).click()
    page.get_by_role("button", name="End the tour").wait_for()
    page.get_by_role("heading", name="Overview", exact=True, level=2).wait_for()


def behind(tab: str, seen: str):
    """Opens what is behind the figure of the gate; `seen` is there once the tab is drawn."""

    def opened(page: Page) -> None:
        page.locator(".st-key-gate_levels-behind button").first.click()
        page.get_by_role("tab", name=tab).click()
        page.get_by_test_id("stPopoverBody").locator(seen).first.wait_for()

    return opened


OPENED = {
    "Export": export,
    "Find": find,
    "Type": pick("Type", ".st-key-typed textarea"),
    "Examples": pick("Examples", ".st-key-example-echo button"),
    "File": pick("File", "[data-testid=stFileUploader] button"),
    "Glossary": glossary,
    "the tour": tour,
    "Data behind this": behind("Data behind this", "[data-testid=stDataFrame] canvas"),
    "Code that makes this": behind("Code that makes this", "pre code"),
}


def close(page: Page) -> None:
    """Close what was opened, by the key or the button that a reader has."""
    end = page.get_by_role("button", name="End the tour")
    end.click() if end.count() else page.keyboard.press("Escape")
    expect(page.get_by_role("dialog").or_(page.get_by_test_id("stPopoverBody")).filter(visible=True)).to_have_count(0)
    page.get_by_role("heading", name="Gate", exact=True, level=2).wait_for()
    wait_idle(page)


@pytest.mark.parametrize("theme", THEMES)
def test_nothing_that_opens_over_a_page_has_a_serious_finding(visit, theme):
    here, found = visit(color_scheme=theme), []
    page = here.open("gate", "Gate")
    for name, opened in OPENED.items():
        opened(page)
        wait_idle(page)
        found += severe(page, name, theme)
        close(page)
    page = here.open("gate?model=nowhere", "Gate")
    page.locator(".st-key-problem").get_by_role("button", name="Dismiss").wait_for()
    found += severe(page, "a told problem", theme)
    assert not found, "\n".join(found)
