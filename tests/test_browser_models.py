"""The Models page in a real browser: reading the training runs by itself, and its slider redraws in place."""

import pytest

from tests.app_server import wait_idle
from tests.axe import severe

pytestmark = pytest.mark.browser

MAP = ".st-key-figure-training_map .js-plotly-plot"
BAND = "() => document.querySelector('.st-key-figure-training_course .js-plotly-plot')?.layout?.shapes?.[0]?.x0"


def test_training_is_read_by_itself_and_its_slider_redraws_in_place(visit):
    here = visit()
    page = here.open("models?model=versatile-4l-0.4m&example=fox", "Models")
    here.unfold()
    page.get_by_role("button", name="Trace at every step").click()
    slider = page.get_by_role("slider", name="Step of the training")
    slider.wait_for()
    page.locator(MAP).wait_for()
    page.get_by_text("At step 3,000 the model had seen 6,144,000 tokens of this training").wait_for()
    page.wait_for_function(f"({BAND})() === 7")
    wait_idle(page)
    page.locator(MAP).evaluate("plot => { plot.seen = true }")
    before = page.locator(MAP).evaluate("plot => JSON.stringify(plot.data[0].z)")
    slider.focus()
    page.keyboard.press("Home")
    page.get_by_text("At step 0 the model had seen 0 tokens of this training").wait_for()
    wait_idle(page)
    page.wait_for_function(f"({BAND})() === 0")
    changed = "([at, before]) => JSON.stringify(document.querySelector(at)?.data[0].z) !== before"
    page.wait_for_function(changed, arg=[MAP, before])
    assert page.locator(MAP).evaluate("plot => plot.seen === true"), "the chart was thrown away"
    assert not severe(page, "here")
