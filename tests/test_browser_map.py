"""The page Token map in a real browser: what is drawn around tokens filters every page about the run."""

import math
import re

import pytest
from playwright.sync_api import expect

from tests.app_server import until, until_rests, wait_idle

pytestmark = pytest.mark.browser
CHART = ".st-key-figure-token_map"
PLACE = f"() => document.querySelector('{CHART} .nsewdrag')?.getBoundingClientRect()"
FIGURE = f"document.querySelector('{CHART} .js-plotly-plot')"
INSIDE = f"""(side) => {{
  const {{ _fullData, layout }} = {FIGURE};
  const found = [...layout.shapes[0].path.matchAll(/(-?[\\d.e-]+),(-?[\\d.e-]+)/g)];
  const corners = found.map(([, x, y]) => [Number(x), Number(y)]);
  const [x0, x1] = [Math.min(...corners.map(([x]) => x)), Math.max(...corners.map(([x]) => x))];
  const [y0, y1] = [Math.min(...corners.map(([, y]) => y)), Math.max(...corners.map(([, y]) => y))];
  return _fullData.flatMap(({{ x, y }}) => [...x].map((each, i) => [each, y[i]]))
    .filter(([x, y]) => x >= x0 && x <= x1 && y >= y0 && y <= y1).length;
}}"""
"""Points within the bounds of what is drawn: all that a box holds, and more than a lasso does."""


def middle(page) -> tuple[float, float, float]:
    """The middle of the plot on the screen once it rests, and a third of its height."""
    page.locator(f"{CHART} .nsewdrag").scroll_into_view_if_needed()
    until_rests(page, PLACE)
    box = page.locator(f"{CHART} .nsewdrag").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box["height"] / 3


def drag(page, places) -> None:
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place)
    page.mouse.up()


def chosen(page) -> int:
    """How many tokens the page says are chosen."""
    told = page.locator("p", has_text=re.compile(r"tokens? of .* chosen\. Below"))
    return int(re.match(r"([\d,]+) token", told.inner_text()).group(1).replace(",", ""))


def test_lasso_box_and_click_filter_the_other_panels_and_open_a_token(shared_visit):
    page = shared_visit.open("token_map", "Token map")
    page.locator(f"{CHART} canvas").first.wait_for()
    expect(page.get_by_text("No tokens are chosen")).to_be_visible()
    page.wait_for_function(f"() => {FIGURE}?.shown")  # only then the app hears of what is drawn
    x, y, radius = middle(page)
    circle = [(x + radius * math.cos(i / 4), y + radius * math.sin(i / 4)) for i in range(25)]
    drag(page, circle)
    expect(page.get_by_text("No tokens are chosen")).to_be_hidden()
    wait_idle(page)
    by_lasso = chosen(page)
    until(page, lambda: page.evaluate(f"() => {FIGURE}?.layout?.shapes?.length") == 1)
    assert 0 < by_lasso < page.evaluate(INSIDE)

    page.get_by_text("Box", exact=True).click()
    until(page, lambda: page.evaluate(f"() => {FIGURE}?.layout?.dragmode") == "drawrect")
    wait_idle(page)
    x, y, radius = middle(page)
    drag(page, [(x - radius, y - radius), (x, y), (x + radius, y + radius)])
    until(page, lambda: chosen(page) != by_lasso)
    wait_idle(page)
    until(page, lambda: page.evaluate(f"() => {FIGURE}?.layout?.shapes?.length") == 1)
    by_box = chosen(page)
    assert by_box == page.evaluate(INSIDE) > by_lasso

    page.get_by_role("link", name="Atlas", exact=True).click()
    expect(page.get_by_text(f"{by_box:,} tokens of ").first).to_be_visible()
    page.get_by_role("link", name="Token map", exact=True).click()
    page.locator(f"{CHART} canvas").first.wait_for()
    until(page, lambda: page.evaluate(f"() => {FIGURE}?.layout?.shapes?.length") == 1)
    wait_idle(page)
    until_rests(page, PLACE)

    at = page.evaluate(
        f"""() => {{
          const figure = {FIGURE}, {{ xaxis, yaxis }} = figure._fullLayout;
          figure.scrollIntoView({{ block: "center" }});
          const {{ left, top }} = figure.getBoundingClientRect(), {{ x, y }} = figure._fullData[3];
          return [left + xaxis._offset + xaxis.l2p(x[0]), top + yaxis._offset + yaxis.l2p(y[0])];
        }}"""
    )
    page.mouse.move(*at)
    page.locator(f"{CHART} .hoverlayer .hovertext").wait_for()
    page.mouse.down()
    page.mouse.up()
    expect(page.locator(".st-key-map-point")).to_contain_text(re.compile(r"Token \d+ of prompt"))
    page.get_by_role("button", name="Choose none").click()
    expect(page.get_by_text("No tokens are chosen")).to_be_visible()
