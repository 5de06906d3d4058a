"""One walk through every page: nothing moves at a click, all is drawn on the theme's paper, and axe finds nothing."""

from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Page, expect

from app.pages import PAGES
from tests.app_server import until_rests, wait_idle
from tests.axe import THEMES, severe
from tests.visit import Visit

pytestmark = pytest.mark.browser
MOST_PX = 4
BOXES = """() => Object.fromEntries(
  [...document.querySelectorAll(
    '.st-key-framebar, [data-testid=stMain] :is(h2, h3, summary, .js-plotly-plot, [data-testid=stDataFrame])'
  )].map((element, i) => {
    const { x, y, width, height } = element.getBoundingClientRect();
    const name = element.matches("h2, h3, summary") ? element.innerText : element.className;
    return [i + " " + name, [x, y, width, height]];
  })
)"""
"""Places and sizes of the bar of the frame, and of all headings, folds, figures and tables, in pixels."""
PAPERS = """() => [...document.querySelectorAll('.stApp, .js-plotly-plot .main-svg:first-child')].map(
  (figure) => getComputedStyle(figure).backgroundColor
)"""
COLOURS = """() => [...document.querySelectorAll('.stApp :is(p, span, b, button)')].map(
  (element) => getComputedStyle(element).color
).join()"""
"""Colours of all words."""
TOKENS = (14, 10)
"""Of the fox: one that did not route in most layers, and one that routed in most."""
AT_REST, AFTER_A_CLICK = 30, 8
"""Drawn frames in which nothing changes any more; formulas and their fonts come last when a page is turned to."""


@dataclass
class Walk:
    """What was found on the way, and how much was looked at."""

    moved: list[str] = field(default_factory=list)
    severe: dict[str, list[str]] = field(default_factory=lambda: {theme: [] for theme in THEMES})
    papers: dict[str, set[str]] = field(default_factory=lambda: {theme: set() for theme in THEMES})
    pages: int = 0
    figures: int = 0


@pytest.fixture(scope="module")
def walk(browser, address, home) -> Walk:
    """A new visitor's, with the theme changed on every page."""
    found, themes = Walk(), list(THEMES)
    here = Visit(browser, address, home=home, new=True)
    here.page.emulate_media(color_scheme=themes[0])
    page = here.open("?example=fox&layer=3&token=10")
    expect(page.get_by_role("link", name="Recursion", exact=True)).to_be_visible()
    offered = page.locator("[data-testid=stSidebarNav] a").all_inner_texts()
    assert sorted(offered) == sorted(each.name for each in PAGES)
    for number, name in enumerate(offered):
        if number:
            here.turn_to(name)
        found.moved += moved_by_clicks(here, name, TOKENS[number % 2])
        here.unfold()
        for theme in themes:
            page.emulate_media(color_scheme=theme)
            page.wait_for_function(f"paper => ({PAPERS})().every(each => each === paper)", arg=THEMES[theme])
            # A page without figures has the theme's paper before the app is asked to draw for it.
            expect(page.locator(".st-key-frame")).to_have_css("background-color", THEMES[theme])
            wait_idle(page)
            until_rests(page, COLOURS, AFTER_A_CLICK)
            found.papers[theme] |= set(page.evaluate(PAPERS))
            found.severe[theme] += severe(page, name, theme)
        themes.reverse()  # the next page begins in the theme that this one ended with
        found.pages += 1
        found.figures += len(page.evaluate(PAPERS)) - 1  # the page itself
    here.leave()
    return found


def moved_by_clicks(here: Visit, name: str, token: int) -> list[str]:
    """What a click on a token, a layer or a link of the answer moves."""
    page = here.page
    readout, links = page.locator(".readout"), page.locator(".st-key-answer_line p button:not(.opens)")
    before = boxes(page, AT_REST)
    assert len(before) > 2
    here.tokens().nth(token).click()
    expect(readout).to_contain_text(f"token ‹{token}›")
    layer = int(page.get_by_role("button", name="previous layer").locator("xpath=following-sibling::b").inner_text())
    step, to = ("next", layer + 1) if layer < 4 else ("previous", layer - 1)
    page.get_by_role("button", name=f"{step} layer").click()
    expect(readout).to_contain_text(f"layer ‹{to}›")
    selected = boxes_after(page, before)
    found = [f"{name}, another token and layer: {each}" for each in moved(before, selected)]
    if links.count():
        with here.asking():
            links.last.click()
        found += [f"{name}, a link of the answer: {each}" for each in moved(selected, boxes_after(page, selected))]
    return found


def boxes_after(page: Page, before: dict) -> dict:
    """The boxes after a click; if anything seems to have moved, once the page rests as long as it did before."""
    after = boxes(page)
    return boxes(page, AT_REST) if moved(before, after) else after


def moved(before: dict, after: dict) -> list[str]:
    """What moved, in its order on the page; the names of some headings change with the selection."""
    if len(before) != len(after):
        return [f"{len(before)} parts of the page, then {len(after)}"]
    places = zip(before.items(), after.values(), strict=True)
    return [name for (name, old), new in places if max(abs(a - b) for a, b in zip(old, new, strict=True)) > MOST_PX]


def boxes(page: Page, frames: int = AFTER_A_CLICK) -> dict:
    wait_idle(page)
    page.evaluate("() => document.fonts.ready.then(() => null)")
    until_rests(page, BOXES, frames)
    return page.evaluate(BOXES)


def test_a_click_moves_nothing_on_any_page(walk):
    assert walk.pages > 10 and not walk.moved, "\n".join(walk.moved)


@pytest.mark.parametrize("theme", THEMES)
def test_no_page_has_a_serious_finding_and_all_figures_are_drawn_on_the_theme_s_paper(walk, theme):
    assert not walk.severe[theme], "\n".join(walk.severe[theme])
    assert walk.papers[theme] == {THEMES[theme]} and walk.figures > walk.pages
