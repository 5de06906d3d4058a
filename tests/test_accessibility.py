"""axe, the automatic accessibility check, on every page that the app offers and on what opens over it."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.app_server import wait_idle
from tests.visit import Visit

pytestmark = pytest.mark.browser
SEVERE = ("serious", "critical")
PAPER = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}


FADED = """() => document.getAnimations().every(each => each.playState !== 'running'
    || each.effect.getComputedTiming().endTime === Infinity)"""
"""What opens has its own colours: a spinner turns on, but nothing fades in any more."""


def severe(page: Page, where: str, theme: str) -> list[str]:
    """Serious and critical findings of axe, one line for each place, once the list of pages has its roles.

    Of the dark theme only the contrast is asked about: all else is the same in both.
    """
    page.locator("[data-testid=stSidebarNavItems][role=presentation]").wait_for()
    options = {"resultTypes": ["violations"]} | ({"runOnly": ["color-contrast"]} if theme == "dark" else {})
    violations = Axe().run(page, options=options).response["violations"]
    severe = [each for each in violations if each["impact"] in SEVERE]
    return [f"{where}: {each['id']}: {node['html'][:150]}" for each in severe for node in each["nodes"]]


@pytest.mark.parametrize("theme", PAPER)
def test_no_page_has_a_serious_finding_and_all_are_drawn_on_the_theme_s_paper(visit, theme):
    here = visit(new=True, color_scheme=theme)
    page = here.open()
    expect(page.get_by_role("link", name="Recursion", exact=True)).to_be_visible()
    names = page.locator("[data-testid=stSidebarNav] a").all_inner_texts()
    found, figures = [], 0
    for name in names:
        here.turn_to(name)
        here.unfold()
        found += severe(page, name, theme)
        for figure in page.locator(".js-plotly-plot .main-svg:first-child").all():
            assert figure.evaluate("svg => getComputedStyle(svg).backgroundColor") == PAPER[theme], name
            figures += 1
    assert not found, "\n".join(found)
    assert figures > len(names) > 10


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


def told(page: Page) -> None:
    page.locator(".st-key-problem").get_by_role("button", name="Dismiss").wait_for()


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
    "a told problem": told,
}


@pytest.mark.parametrize("theme", PAPER)
def test_nothing_that_opens_over_a_page_has_a_serious_finding(visit, theme):
    here: Visit = visit(color_scheme=theme)
    found = []
    for name, opened in OPENED.items():
        page = here.open("gate?model=nowhere" if opened is told else "gate", "Gate")
        opened(page)
        wait_idle(page)
        page.wait_for_function(FADED)
        found += severe(page, name, theme)
    assert not found, "\n".join(found)
