"""What only a browser shows of a first visit: the drawing step by step, what the tour points at, and what is kept."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.app_server import until, until_rests, wait_idle

pytestmark = pytest.mark.browser
DRAWING = ".st-key-figure-layer_schematic .js-plotly-plot"
FAINT = """figure => {
  const groups = [...figure.querySelectorAll('.shapelayer .shape-group')];
  const faint = groups.filter((node) => Number(node.style.opacity || 1) < 1);
  return [...new Set(faint.map((node) => figure._fullLayout.shapes[node.dataset.index].name))].sort();
}"""
"""Steps of a drawing that are faint."""
TOURED = (
    "() => [...document.querySelectorAll('[data-toured]')].map((each) => each.className.match(/st-key-([\\w-]+)/)[1])"
)
"""Keys of what the tour points at."""
PLACES = """() => ['[data-toured]', '.st-key-tour'].map(
  (each) => document.querySelector(each)?.getBoundingClientRect()
)"""
"""Where the tour points at, and where its box is."""


def faint_steps(page: Page) -> list[int]:
    return [int(name.split()[1]) for name in page.locator(DRAWING).evaluate(FAINT)]


def test_the_drawing_is_shown_step_by_step_by_button_and_by_key_and_follows_the_selection(visit):
    here = visit(reduced_motion="reduce")
    page = here.open("walkthrough?layer=3&token=10", "Walkthrough")
    page.locator(".st-key-figure-layer_schematic .shape-group").first.wait_for()
    buttons = page.get_by_role("group", name=re.compile("^Steps of the drawing"))
    expect(buttons.get_by_role("button", name="Play")).to_be_hidden()  # nothing moves by itself
    assert faint_steps(page) == []
    buttons.get_by_role("button", name="2 Depth head").click()
    until(page, lambda: faint_steps(page) == [3, 4, 5, 6, 7])
    expect(page.locator(".said .shown")).to_contain_text("3 of at most 4 loops")
    page.keyboard.press("ArrowRight")
    until(page, lambda: faint_steps(page) == [4, 5, 6, 7])
    expect(buttons.get_by_role("button", name="3 Width path")).to_be_focused()
    here.tokens().nth(7).click()  # Plotly draws its parts anew
    expect(page.locator(".said .shown")).to_contain_text("slices")
    wait_idle(page)
    until(page, lambda: min(faint_steps(page), default=0) == 4)
    buttons.get_by_role("button", name="Whole").click()
    until(page, lambda: faint_steps(page) == [])
    told = page.get_by_role("list", name="The drawing in words").get_by_role("listitem")
    assert told.count() == buttons.get_by_role("button").count()  # Play is hidden: the whole, and every step


def test_the_drawing_plays_by_itself_on_demand_and_ends_whole(visit):
    page = visit(alone=True).open("walkthrough?layer=3&token=10", "Walkthrough")
    page.clock.install()  # for all tabs of a browser
    page.clock.pause_at(page.evaluate("Date.now()") + 1_000)  # else the drawing goes on while it is looked at
    page.get_by_role("button", name="Play", exact=True).click()
    until(page, lambda: faint_steps(page) == [2, 3, 4, 5, 6, 7])
    page.clock.run_for(3_100)
    until(page, lambda: faint_steps(page) == [3, 4, 5, 6, 7])
    page.clock.run_for(30_000)
    until(page, lambda: faint_steps(page) == [])
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()


def test_the_tour_points_at_what_it_speaks_of_and_gives_everything_back(visit):
    here = visit(new=True, reduced_motion="reduce")
    page = here.open("gate?layer=1&token=7", "Gate")
    page.get_by_role("button", name="Take the tour").click()
    for number, key in enumerate(("token_strip", "figure-", "figure-", "figure-", "figure-layer_schematic"), 1):
        expect(page.get_by_text(f"Tour, {number} of 5")).to_be_visible()
        wait_idle(page)
        until(page, lambda key=key: [at.startswith(key) for at in page.evaluate(TOURED)] == [True])
        until_rests(page, PLACES)
        element, box = (page.locator(each).bounding_box() for each in ("[data-toured]", ".st-key-tour"))
        assert 0 <= element["y"] < box["y"] and box["y"] + box["height"] <= 1000, "in sight, above the tour's box"
        if number < 5:
            page.get_by_role("button", name="Next", exact=True).click()
    page.get_by_role("button", name="End the tour").click()
    expect(page.get_by_role("heading", name="Gate", exact=True, level=2)).to_be_visible()
    wait_idle(page)
    expect(page.locator(".readout")).to_contain_text("token ‹7›")
    expect(page.locator(".readout")).to_contain_text("layer ‹1›")
    until(page, lambda: page.evaluate(TOURED) == [])
    here.turn_to("Overview")
    page.get_by_role("button", name="Put away").click()
    expect(page.locator(".st-key-figure-layer_schematic")).to_have_count(0)
    wait_idle(page)
    until(page, lambda: "schematic.tour" in page.evaluate("document.cookie"))
    here.open()
    expect(page.get_by_role("button", name="Put away")).to_have_count(0)
    expect(page.get_by_role("button", name="Take the tour")).to_have_count(0)
