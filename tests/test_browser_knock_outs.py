"""The page Expert knock-outs in a real browser: progress at once, a stop at once, and what was measured stays."""

import re
import time

import pytest
from playwright.sync_api import expect

from tests.app_server import wait_idle
from tests.axe import severe

pytestmark = pytest.mark.browser

MAP = ".st-key-figure-knock_out_map .js-plotly-plot"
ENDED = """() => {
  const there = document.querySelector(".st-key-stop-knock-outs button");
  window.gone = there ? undefined : (window.gone ?? performance.now());
  return !there && performance.now() - window.gone > 500;
}"""
"""Whether the button Stop stays away: it must not be missed between two runs of the script."""
AT_ONCE_S = 10.0
"""Within 1 s on a machine that nobody else uses; this is room for busy ones."""
MANY = "A fox that nobody had seen before ran over the frozen river, and the miller saw it. " * 8


def test_experts_are_dropped_with_progress_and_a_stop_at_once_and_the_rest_is_continued(visit):
    here = visit()
    page = here.open("experts?model=versatile-4l-0.4m&example=fox", "Experts")
    here.trace(MANY)
    here.turn_to("Expert knock-outs")
    button, stop = (page.get_by_role("button", name=name, exact=True) for name in ("Drop experts", "Stop"))
    button.click()
    began = time.monotonic()
    page.get_by_text("Dropping experts from the width path: ").wait_for()
    assert time.monotonic() - began < AT_ONCE_S
    page.get_by_test_id("stProgress").get_by_text(re.compile(r": (?!0\.0%)[\d.]+%…")).wait_for()
    stop.click()
    began = time.monotonic()
    page.get_by_text("% measured. What was measured stays.").wait_for()
    assert time.monotonic() - began < AT_ONCE_S
    page.locator(MAP).wait_for()
    expect(stop).to_have_count(0)  # else the next lines see the one that was pressed
    page.get_by_role("button", name="Continue", exact=True).click()
    expect(stop).to_be_visible()
    page.wait_for_function(ENDED, timeout=180_000)
    wait_idle(page)
    expect(page.get_by_role("button", name="Continue", exact=True)).to_have_count(0)
    expect(page.locator("[class*=answer]").first).to_contain_text("thousandths of a nat per token")
    here.unfold()
    expect(page.locator(".st-key-figure-knock_out_pairs .js-plotly-plot")).to_have_count(1, timeout=60_000)
    wait_idle(page)
    page.reload()
    page.locator(MAP).wait_for()
    wait_idle(page)
    assert not page.get_by_role("button", name="Continue", exact=True).count(), "all is still known"
    assert not severe(page, "here")
