"""Windows of several widths: no label of a figure is cut or lies over another, and no page scrolls sideways."""

from pathlib import Path

import pytest
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError
from playwright.sync_api import expect

from tests.app_server import until, until_rests, wait_idle

pytestmark = pytest.mark.browser
LABELS = (Path(__file__).parent / "labels.js").read_text(encoding="utf-8")
STACKED = """() => {
  const boxes = [...document.querySelectorAll(".js-plotly-plot")].map((plot) => plot.getBoundingClientRect());
  return boxes.every(({ width, x }) => width && Math.abs(x - boxes[0].x) < 2);
}"""
WATCHED = """const look = () => {
  const sidebar = document.querySelector("[data-testid=stSidebar]");
  window.sidebar_was_seen ||= sidebar?.getBoundingClientRect().right > 1;
  requestAnimationFrame(look);
};
look();"""
SIDEWAYS = "main => main.scrollWidth - main.clientWidth"
LONG = "The king rode out to the river. " * 60
CASES = {"example": (None, (900, 1920)), "two tokens": ("Hi", (1440,)), "long text": (LONG, (1280,))}
"""Text (none: the example) and widths of the window in pixels."""
PAGES = ("Overview", "Difficulty", "Gate", "Experts", "Recursion", "Write ledger", "Cost", "What decides")


def problems(page, timeout_s: float = 30) -> list[str]:
    """What is wrong with the labels once the figures rest: they are drawn again where the width asks for it."""
    wait_idle(page)
    try:
        page.wait_for_function(f"() => !({LABELS})().length", timeout=timeout_s * 1000)
    except PlaywrightTimeoutError:
        return page.evaluate(LABELS)
    return []


def widen(page, width: int, height: int = 1000) -> None:
    page.set_viewport_size({"width": width, "height": height})


@pytest.mark.parametrize(("text", "widths"), CASES.values(), ids=CASES)
def test_no_label_is_cut_or_lies_over_another(shared_visit, text, widths):
    here, found = shared_visit, []
    widen(here.page, widths[0])
    page = here.opened()
    if text:
        here.trace(text)
    for number, name in enumerate(PAGES):
        here.turn_to(name)
        page.locator(".js-plotly-plot .main-svg").first.wait_for()
        here.unfold()
        for i, width in enumerate(widths[:: -1 if number % 2 else 1]):  # the next page begins with the present width
            if i:
                with here.asking():  # to be drawn for the new width
                    widen(page, width)
            found += [f"{name} at {width} px: {problem}" for problem in problems(page)]
            until(page, lambda: page.get_by_test_id("stMain").evaluate(SIDEWAYS) <= 1)
    assert not found, "\n".join(found)


def test_leaving_a_page_while_the_window_is_made_narrower_opens_the_other(shared_visit):
    here = shared_visit
    widen(here.page, 1440)
    page = here.open("?example=fox")
    for width, name in ((900, "Models"), (1440, "Gate"), (1000, "Overview"), (1300, "Experts")):
        with here.asking():  # to be drawn for the new width
            widen(page, width)
        here.turn_to(name)
        expect(page.get_by_test_id("stException")).to_have_count(0)


def test_a_narrow_window_stacks_columns_and_lets_the_frame_scroll_away(shared_visit):
    here = shared_visit
    widen(here.page, 900)
    page = here.open("recursion?example=fox", "Recursion")
    here.unfold()
    assert not problems(page)
    page.wait_for_function(STACKED)  # the run that draws for this width may just be under way
    expect(page.locator(".frame-wrapper")).to_have_css("position", "static")
    until(page, lambda: page.locator(".st-key-framebar").bounding_box()["height"] < 90)


@pytest.mark.parametrize("width", [800, 420])
def test_in_a_small_window_the_sidebar_is_closed_and_nothing_floats_over_the_page(visit, width):
    here = visit(has_touch=width == 420, is_mobile=width == 420)
    widen(here.page, width, 800)
    here.page.add_init_script(WATCHED)
    page = here.open()
    expect(page.get_by_test_id("stSidebar")).to_have_attribute("data-collapsed", "true")
    assert page.evaluate("window.sidebar_was_seen") is False, "not even while the page was loaded"
    header = page.get_by_test_id("stHeader")
    background = page.locator(".frame-wrapper").evaluate("each => getComputedStyle(each).backgroundColor")
    expect(header).to_have_css("background-color", background)
    bottom = header.bounding_box()["y"] + header.bounding_box()["height"]
    bar = page.locator(".st-key-framebar")
    until(page, lambda: bar.bounding_box()["y"] >= bottom)  # the page begins below the header
    assert not problems(page)
    if width == 420:  # fingers do not hover: nothing lies over a chart
        over = page.locator("[class*=st-key-figure-]").locator("[data-testid=stElementToolbar], .modebar-container")
        assert not [each for each in over.all() if each.is_visible()]


def test_data_of_a_figure_opens_whole_and_does_not_grow(shared_visit):
    here = shared_visit
    widen(here.page, 1440, 900)
    page = here.open("gate?example=fox", "Gate")
    page.get_by_role("button", name="Data and code").first.click()
    popover = page.get_by_test_id("stPopoverBody")
    popover.wait_for()
    first = popover.evaluate("each => each.offsetHeight")  # of the layout: it may still be fading or growing in
    popover.get_by_test_id("stDataFrame").wait_for()
    wait_idle(page)
    until_rests(page, "() => document.querySelector('[data-testid=stPopoverBody]').getBoundingClientRect()", 12)
    box, table = popover.bounding_box(), popover.get_by_test_id("stDataFrame").bounding_box()
    assert abs(box["height"] - first) <= 4 and table["height"] > 200
    assert table["y"] + table["height"] <= box["y"] + box["height"] <= 900, "all of it is seen"
    page.keyboard.press("Escape")


def test_the_answer_has_the_height_of_its_own_lines_after_the_window_changed(shared_visit):
    here = shared_visit
    widen(here.page, 1000, 800)
    page = here.open("?example=fox")
    answer = page.locator(".st-key-answer_line p")
    until_rests(page, "() => document.querySelector('[data-testid=stMain] h2').getBoundingClientRect()")
    wide = answer.bounding_box()["height"]
    widen(page, 420, 800)
    until(page, lambda: answer.bounding_box()["height"] > wide)
    widen(page, 1000, 800)
    until(page, lambda: answer.bounding_box()["height"] == wide)


LABELS_OF_ROWS = """() => [...document.querySelectorAll("[class*=-form], .st-key-card-choice")].map((row) => {
  const labels = [...row.querySelectorAll("[data-testid=stWidgetLabel]:not([data-testid=stCheckbox] *)")];
  const boxes = labels.map((each) => each.getBoundingClientRect());
  return boxes.filter(({ height }) => height > 4).map(({ bottom }) => Math.round(bottom));
})"""
"""JavaScript: for every row of fields, where its visible labels end, but for that of a switch, beside it."""


@pytest.mark.parametrize(
    ("page", "heading"), [("what_if", "What if"), ("expert_cards", "Expert cards"), ("token_map", "Token map")]
)
def test_labels_of_a_row_of_fields_stand_at_one_height(shared_visit, page, heading):
    here = shared_visit
    widen(here.page, 1440, 1000)
    here.open(f"{page}?example=fox", heading)
    wait_idle(here.page)
    until_rests(here.page, LABELS_OF_ROWS, 12)
    rows = [labels for labels in here.page.evaluate(LABELS_OF_ROWS) if len(labels) > 1]
    assert rows and all(max(labels) - min(labels) <= 2 for labels in rows), rows


def test_the_buttons_of_a_chart_leave_its_titles_free(shared_visit):
    here = shared_visit
    widen(here.page, 1440, 1000)
    page = here.open("?example=fox")
    figure = page.locator(".st-key-figure-compute_map")
    figure.locator(".infolayer .annotation").first.wait_for(state="attached")
    figure.hover()
    until_rests(page, "() => document.querySelector('.st-key-figure-compute_map .modebar').getBoundingClientRect()", 12)
    buttons = figure.locator(".modebar").bounding_box()
    told = figure.locator(".infolayer .annotation").all()
    boxes = [each.bounding_box() for each in told]
    assert buttons and boxes
    for box in boxes:
        apart = box["y"] + box["height"] <= buttons["y"] or box["x"] + box["width"] <= buttons["x"]
        assert apart or box["y"] >= buttons["y"] + buttons["height"], box
