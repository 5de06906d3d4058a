"""Windows of several widths: no label of a figure is cut or lies over another, and no page scrolls sideways."""

from pathlib import Path

import pytest
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError
from playwright.sync_api import expect

from tests.app_server import until, wait_idle

pytestmark = pytest.mark.browser
LABELS = (Path(__file__).parent / "labels.js").read_text(encoding="utf-8")
STACKED = """() => {
  const boxes = [...document.querySelectorAll(".js-plotly-plot")].map((plot) => plot.getBoundingClientRect());
  return boxes.every(({ width, x }) => width && Math.abs(x - boxes[0].x) < 2);
}"""
LONG = "The king rode out to the river. " * 60
CASES = {
    "example, narrow": (None, 900),
    "example, wide": (None, 1920),
    "two tokens": ("Hi", 1440),
    "long text": (LONG, 1280),
}


def problems(page, timeout_s: float = 30) -> list[str]:
    """What is wrong with the labels once the figures rest: they are drawn again where the width asks for it."""
    wait_idle(page)
    try:
        page.wait_for_function(f"() => !({LABELS})().length", timeout=timeout_s * 1000)
    except PlaywrightTimeoutError:
        return page.evaluate(LABELS)
    return []


@pytest.mark.parametrize(("text", "width"), CASES.values(), ids=CASES)
def test_no_label_is_cut_or_lies_over_another(visit, text, width):
    here = visit()
    here.page.set_viewport_size({"width": width, "height": 1000})
    page = here.open()
    if text:
        here.trace(text)
    found = []
    for name in ("Overview", "Difficulty", "Gate", "Experts", "Recursion", "Write ledger", "Cost", "What decides"):
        here.turn_to(name)
        page.locator(".js-plotly-plot .main-svg").first.wait_for()
        here.unfold()
        found += [f"{name}: {problem}" for problem in problems(page)]
        sideways = "main => main.scrollWidth - main.clientWidth"
        assert page.get_by_test_id("stMain").evaluate(sideways) <= 1, name
    assert not found, "\n".join(found)


def test_leaving_a_page_while_the_window_is_made_narrower_opens_the_other(visit):
    here = visit()
    page = here.open()
    for width, name in ((900, "Models"), (1440, "Gate"), (1000, "Overview"), (1300, "Experts")):
        with here.asking():  # to be drawn for the new width
            page.set_viewport_size({"width": width, "height": 1000})
        here.turn_to(name)
        expect(page.get_by_test_id("stException")).to_have_count(0)


def test_a_narrow_window_stacks_columns_and_lets_the_frame_scroll_away(visit):
    here = visit()
    here.page.set_viewport_size({"width": 900, "height": 1000})
    page = here.open("recursion", "Recursion")
    here.unfold()
    assert not problems(page)
    page.wait_for_function(STACKED)  # the run that draws for this width may just be under way
    expect(page.locator(".frame-wrapper")).to_have_css("position", "static")
    until(page, lambda: page.locator(".st-key-framebar").bounding_box()["height"] < 90)


@pytest.mark.parametrize("width", [800, 420])
def test_in_a_small_window_the_sidebar_is_closed_and_nothing_floats_over_the_page(visit, width):
    here = visit(has_touch=width == 420, is_mobile=width == 420)
    here.page.set_viewport_size({"width": width, "height": 800})
    page = here.open()
    expect(page.get_by_test_id("stSidebar")).to_have_attribute("data-collapsed", "true")
    header = page.get_by_test_id("stHeader")
    background = page.locator(".frame-wrapper").evaluate("each => getComputedStyle(each).backgroundColor")
    expect(header).to_have_css("background-color", background)
    bottom = header.bounding_box()["y"] + header.bounding_box()["height"]
    assert page.locator(".st-key-framebar").bounding_box()["y"] >= bottom, "the page begins below the bar"
    assert not problems(page)
    if width == 420:  # fingers do not hover: nothing lies over a chart
        over = page.locator("[class*=st-key-figure-]").locator("[data-testid=stElementToolbar], .modebar-container")
        assert not [each for each in over.all() if each.is_visible()]


def test_data_of_a_figure_opens_whole_and_does_not_grow(visit):
    here = visit()
    here.page.set_viewport_size({"width": 1440, "height": 900})
    page = here.open("gate", "Gate")
    page.get_by_role("button", name="Data and code").first.click()
    popover = page.get_by_test_id("stPopoverBody")
    popover.wait_for()
    first = popover.bounding_box()["height"]
    popover.get_by_test_id("stDataFrame").wait_for()
    wait_idle(page)
    box, table = popover.bounding_box(), popover.get_by_test_id("stDataFrame").bounding_box()
    assert abs(box["height"] - first) <= 4 and table["height"] > 200
    assert table["y"] + table["height"] <= box["y"] + box["height"] <= 900, "all of it is seen"


def test_the_answer_has_the_height_of_its_own_lines_after_the_window_changed(visit):
    here = visit()
    here.page.set_viewport_size({"width": 1000, "height": 800})
    page = here.open()
    answer = page.locator(".st-key-answer_line p")
    wide = answer.bounding_box()["height"]
    page.set_viewport_size({"width": 420, "height": 800})
    until(page, lambda: answer.bounding_box()["height"] > wide)
    page.set_viewport_size({"width": 1000, "height": 800})
    until(page, lambda: answer.bounding_box()["height"] == wide)
