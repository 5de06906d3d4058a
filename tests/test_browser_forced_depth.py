"""Forced depth in a browser: start, progress, stop, what is kept, and the figure of a finished sweep."""

import re

import pytest
from playwright.sync_api import expect

from tests.app_server import wait_idle

pytestmark = pytest.mark.browser
START = "Force every depth"
LONG = "A fox that nobody had seen before ran over the frozen river, and the miller saw it. " * 20
"""So long that there is time to stop."""


def test_a_sweep_is_watched_stopped_kept_and_finished(visit):
    here = visit()
    page = here.open("?example=fox")
    here.trace(LONG)
    here.turn_to("Forced depth")
    start, stop = (page.get_by_role("button", name=name, exact=True) for name in (START, "Stop"))
    figure = page.locator(".st-key-figure-regret_map .js-plotly-plot")
    expect(figure).to_have_count(0)
    start.click()
    progress = page.get_by_test_id("stProgress")
    expect(progress).to_contain_text(re.compile(r"[1-9]\d* of \d{3} tokens forced to every depth in every layer…"))
    expect(start).to_have_count(0)
    stop.click()
    expect(stop).to_have_count(0)
    kept = page.get_by_text(re.compile(r"\d+ of \d{3} tokens (were run and are|was run and is) kept"))
    expect(kept).to_be_visible()
    figure.wait_for()
    page.reload()  # as a closed tab does: another session finds what was run
    page.get_by_role("heading", name="Forced depth", exact=True, level=2).wait_for()
    expect(kept).to_be_visible()
    here.trace("The fox ran to the old mill.")
    expect(figure).to_have_count(0)
    start.click()
    expect(page.locator(".st-key-answer_line")).to_contain_text("Forced one at a time in ")
    expect(start).to_have_count(0)
    expect(kept).to_have_count(0)
    figure.wait_for()
    wait_idle(page)
    ran = figure.evaluate(
        "figure => figure.calcdata[0][0].z.map(row => Array.from(row, value => Number.isFinite(value)))"
    )
    assert len(ran) == 6 and all(row[:-1] == [True] * (len(row) - 1) and not row[-1] for row in ran)
    expect(page.get_by_test_id("stException")).to_have_count(0)
