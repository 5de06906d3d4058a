"""The page What if in a real browser: set by a click on the map, undone, reloaded, and told on every page."""

import re
from urllib.parse import parse_qs, urlparse

import pytest
from playwright.sync_api import expect

from tests.app_server import until, until_rests, wait_idle

pytestmark = pytest.mark.browser
MAP = ".st-key-figure-what_if_map"
BANNER = ".st-key-intervened"
CLICK_S = 10.0
"""A click answers within half a second on a quiet machine; this is room for busy ones."""
HOVERED = """([at, token, layer]) => {
  const [point] = document.querySelector(`${at} .js-plotly-plot`)?._hoverdata ?? [];
  return point?.x === token && point.y === layer;
}"""


def set_in_link(page):
    """The interventions in the address; None if there are none."""
    return parse_qs(urlparse(page.url).query).get("what_if", [None])[0]


def click_cell(page, layer, token):
    """Click the middle of a cell of the map, once that rests; returns the browser's time before the click, in ms."""
    page.locator(f"{MAP} .main-svg").first.wait_for()
    until_rests(page, f"""() => document.querySelector("{MAP} .js-plotly-plot")?.getBoundingClientRect().top""", 12)
    x, y = page.evaluate(
        """([at, token, layer]) => {
          const figure = document.querySelector(`${at} .js-plotly-plot`);
          figure.scrollIntoView({ block: "center" });
          const { left, top } = figure.getBoundingClientRect();
          const { xaxis, yaxis } = figure._fullLayout;
          return [left + xaxis._offset + xaxis.l2p(token), top + yaxis._offset + yaxis.l2p(layer)];
        }""",
        [MAP, token, layer],
    )
    page.mouse.move(x, y)
    # Plotly takes a click for one on the point that it has hovered, some frames later.
    page.wait_for_function(HOVERED, arg=[MAP, token, layer])
    began = page.evaluate("performance.now()")
    page.mouse.click(x, y)
    return began


def test_a_click_sets_a_cell_and_undo_reload_and_switch_off_do_what_they_say(shared_visit):
    page = shared_visit.open("what_if?layer=2&token=20", "What if")
    page.get_by_role("button", name=re.compile("^What if .* in layer 2")).wait_for()
    click_cell(page, layer=3, token=30)
    until(page, lambda: "token=30" in page.url)
    assert set_in_link(page) is None, "without the switch a click only selects"
    with shared_visit.asking():
        page.get_by_text("Set with every click").click()
    click_cell(page, layer=4, token=31)
    expect(page.locator(BANNER)).to_contain_text("4 loops, λ follows; layer 4, token 31.")
    wait_idle(page)
    began = click_cell(page, layer=4, token=32)
    page.wait_for_function("at => document.querySelector(at)?.innerText.includes('tokens 31, 32')", arg=BANNER)
    assert page.evaluate("performance.now()") - began < 1000 * CLICK_S
    until(page, lambda: "[31,32]" in (set_in_link(page) or ""))
    corners = f"""() => document.querySelector("{MAP} .js-plotly-plot")?._fullData?.at(-1)?.x?.length"""
    until(page, lambda: page.evaluate(corners) == 10)
    page.get_by_role("button", name="Undo").click()
    until(page, lambda: "[31]" in (set_in_link(page) or ""))
    page.reload()
    expect(page.locator(BANNER)).to_contain_text("layer 4, token 31.")
    wait_idle(page)
    until(page, lambda: page.evaluate(corners) == 5)
    shared_visit.turn_to("Recursion")
    expect(page.locator(BANNER)).to_contain_text("4 loops, λ follows; layer 4, token 31.")
    page.get_by_role("button", name="Switch off").click()
    expect(page.locator(BANNER)).to_have_count(0)
    until(page, lambda: set_in_link(page) is None)
    page.go_back()
    expect(page.locator(BANNER)).to_contain_text("layer 4, token 31.")
    until(page, lambda: "[31]" in (set_in_link(page) or ""))
