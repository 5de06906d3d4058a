"""The page Compare in a real browser: a minimal pair, the switch, a click on B's text, reload, and a hostile text."""

import pytest
from playwright.sync_api import expect

from tests.app_server import until, wait_idle

pytestmark = pytest.mark.browser
MAP = ".st-key-figure-compare_loops"
TITLES = f"""() => document.querySelector("{MAP} .js-plotly-plot")?._fullData?.map(each => each.name ?? "").join()"""
KEPT = "sessionStorage.getItem('versatileffn-work')"
HOSTILE = "The <script>alert(1)</script> **men** near the $x$ gate"


def test_a_pair_is_set_switched_reloaded_and_a_typed_text_comes_back(shared_visit):
    page = shared_visit.open("?model=versatile-4l-0.4m")
    shared_visit.turn_to("Compare")
    page.get_by_role("button", name="He or she", exact=True).click()
    page.locator(f"{MAP} .main-svg").first.wait_for()
    wait_idle(page)
    until(page, lambda: "compare=pair.gender" in page.url and "example=pair-gender" in page.url)
    page.reload()
    page.locator(f"{MAP} .main-svg").first.wait_for()
    wait_idle(page)
    expect(page.get_by_text("B is “When the doctor came home, she")).to_be_visible()
    page.locator(MAP).scroll_into_view_if_needed()
    of_b = page.locator(".st-key-compare_strip").get_by_role("option")
    of_b.nth(14).click()
    until(page, lambda: "token=14" in page.url)
    wait_idle(page)
    before = page.evaluate(TITLES)
    page.get_by_role("radio", name="B", exact=True).first.click()
    until(page, lambda: page.evaluate(TITLES) not in (None, before))
    wait_idle(page)
    kept = page.evaluate(KEPT)
    page.get_by_label("Or a second text (B)").fill(HOSTILE)
    page.get_by_role("button", name="Compare", exact=True).click()
    until(page, lambda: "compare=own.1" in page.url)
    until(page, lambda: page.evaluate(KEPT) != kept)  # the tab keeps the text at the end of the run
    wait_idle(page)
    page.reload()
    wait_idle(page)
    expect(page.get_by_text("B is “The <script>alert(1)</script> **men** near")).to_be_visible()
    expect(page.get_by_label("Or a second text (B)")).to_have_value(HOSTILE)
    page.go_back()
    until(page, lambda: "compare=pair.gender" in page.url)
