"""Charts in the real app: each drawn once, in order of sight, redrawn in place, in the reader's theme."""

import pytest
from playwright.sync_api import expect

from tests.app_server import until, until_rests, wait_idle
from tests.axe import THEMES

pytestmark = pytest.mark.browser
CLOCKS = """window.clocks = new Set();
const { setInterval: start, clearInterval: stop } = window;
window.setInterval = (...args) => { const clock = start(...args); clocks.add(clock); return clock; };
window.clearInterval = (clock) => { clocks.delete(clock); stop(clock); };"""
"""Keeps a list of the clocks that tick in a page."""
DRAWINGS = """window.drawings = [];
let plotly;
Object.defineProperty(window, "Plotly", {
  get: () => plotly,
  set: (given) => {
    const { react } = (plotly = given);
    given.react = (figure, content, ...rest) => {
      const { top, height } = figure.getBoundingClientRect();
      const name = figure.closest("[class*=st-key-figure-]").className.match(/st-key-(figure-\\w+)/)[1];
      drawings.push({ name, inSight: top < innerHeight, stays: height === content.layout?.height });
      return react(figure, content, ...rest);
    };
  },
});"""
"""Keeps a list of the charts that Plotly was made to draw, with what held just before."""
DRAWN = "() => [drawings.length, document.querySelectorAll('.js-plotly-plot').length]"


def test_clicks_leave_no_clocks_behind(visit):
    """The bridge to the figures looks about several times a second: one clock, however often the script has run."""
    here = visit()
    here.page.add_init_script(CLOCKS)
    page = here.open()
    page.wait_for_function("() => clocks.size")
    until_rests(page, "() => clocks.size")
    at_first = page.evaluate("clocks.size")
    for token in range(5, 12):
        here.tokens().nth(token).click()
        wait_idle(page)
    here.turn_to("Gate")
    page.wait_for_function("most => clocks.size && clocks.size <= most", arg=at_first)  # the bridge still looks about


def drawn_here(page) -> list[dict]:
    """The drawings since the list was emptied, without late ones of the page before."""
    return [each for each in page.evaluate("drawings") if page.locator(f".st-key-{each['name']}").count()]


def test_a_page_that_is_opened_draws_each_chart_once(visit):
    here = visit()
    here.page.add_init_script(DRAWINGS)
    page = here.open()
    for name in ("Overview", "Experts", "Gate"):
        if name != "Overview":
            here.turn_to(name)
        here.unfold()
    until_rests(page, DRAWN)
    for name in ("Experts", "Overview", "Gate"):
        page.evaluate("() => { drawings.length = 0 }")
        here.turn_to(name)
        until_rests(page, DRAWN)
        drawn = [each["name"] for each in drawn_here(page)]
        assert len(drawn) == page.locator(".js-plotly-plot").count() > 1
        assert len(set(drawn)) == len(drawn)


def test_charts_in_sight_are_drawn_first_and_the_others_by_themselves_without_moving_anything(visit):
    here = visit()
    here.page.add_init_script(DRAWINGS)
    page = here.open("geometry", "Geometry")
    here.unfold()
    here.turn_to("Overview")
    page.evaluate("() => { drawings.length = 0 }")
    here.turn_to("Geometry")
    until_rests(page, DRAWN)
    drawn = drawn_here(page)
    assert len(drawn) == page.locator(".js-plotly-plot").count()
    in_sight = [each["inSight"] for each in drawn]
    assert any(in_sight) and not all(in_sight) and in_sight == sorted(in_sight, reverse=True)
    assert all(each["stays"] for each in drawn if not each["inSight"])


def test_figure_of_the_token_is_redrawn_in_place_and_equals_a_fresh_one(visit):
    here = visit()
    page = here.open("recursion", "Recursion")
    here.unfold()
    shown = """() => { const figure = document.querySelector('.st-key-figure-depth_logits .js-plotly-plot');
        const note = figure.querySelector('.annotation-text').textContent;
        return [figure.dataset.same, note, figure.data[0].customdata]; }"""
    page.locator(".st-key-figure-depth_logits .annotation-text").first.wait_for()
    page.evaluate("document.querySelector('.st-key-figure-depth_logits .js-plotly-plot').dataset.same = 'chart'")
    before = page.evaluate(shown)
    page.get_by_role("option").nth(30).click()
    page.wait_for_function(f"before => ({shown})()[1] !== before", arg=before[1])
    redrawn = page.evaluate(shown)
    page.set_viewport_size({"width": 1500, "height": 1000})  # Streamlit then draws its own content again
    sized = "() => document.querySelector('.st-key-figure-depth_logits .js-plotly-plot')._fullLayout.width"
    until_rests(page, f"() => [({sized})(), ({shown})()]", frames=60)
    until(page, lambda: page.evaluate(shown) == redrawn)
    assert redrawn[0] == "chart"
    wait_idle(page)
    page.reload()
    page.locator(".js-plotly-plot .main-svg").first.wait_for()
    wait_idle(page)
    here.unfold()
    page.locator(".st-key-figure-depth_logits .annotation-text").first.wait_for()
    until(page, lambda: page.evaluate(shown) == [None, *redrawn[1:]])


def test_a_theme_that_changes_while_the_page_is_open_is_followed_by_frame_and_figures(visit):
    page = visit(color_scheme="light").open()
    ink = "() => document.querySelector('.js-plotly-plot .xtick text')?.style.fill"  # none while it is drawn anew
    page.wait_for_function(ink)
    light = page.evaluate(ink)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"light => ![light, undefined].includes(({ink})())", arg=light)
    for paper in (page.get_by_test_id("stApp"), page.locator(".st-key-frame")):
        expect(paper).to_have_css("background-color", THEMES["dark"])
