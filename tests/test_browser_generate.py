"""The page Generate in a real browser: text that appears token by token, a stop, a branch, and opening it."""

import re
import time

import pytest
from playwright.sync_api import expect

from tests.app_server import wait_idle

pytestmark = pytest.mark.browser
WANTED = 500
"""So many that there is time to stop."""
STOP_S = 10.0
"""A stop takes one second on a machine that does nothing else; this is room for busy ones."""
HOSTILE = "<b>$x$</b> The **fox** ran to the"


def test_text_is_written_live_stopped_branched_and_opened(visit):
    here = visit()
    page = here.page
    page.goto(f"{here.address}/generate?layer=2")
    page.get_by_role("button", name="Generate", exact=True).wait_for()
    wait_idle(page)
    page.get_by_label("Prompt", exact=True).fill(HOSTILE)
    page.get_by_label("Tokens to write").fill(str(WANTED))
    page.get_by_label("Tokens to write").press("Enter")
    wait_idle(page)
    page.get_by_role("button", name="Generate", exact=True).click()
    strip = page.locator(".st-key-generated_strip")
    written = strip.locator(".token.generated")
    written.first.wait_for()
    count = written.count()
    expect(written).not_to_have_count(count)  # it grows without a click
    expect(page.get_by_role("button", name="Stop")).to_have_count(1)
    began = time.monotonic()
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Generate", exact=True).wait_for()
    assert time.monotonic() - began < STOP_S
    wait_idle(page)
    count = written.count()
    assert 0 < count < WANTED and not strip.locator(".token b").count()
    expect(strip.locator(".token").first).to_have_attribute("aria-label", re.compile("^token 0: <"))
    expect(strip.locator(".border")).to_have_text("generated")
    assert written.nth(1).evaluate("cell => getComputedStyle(cell).textDecorationStyle") == "dotted"
    expect(written.nth(1)).to_have_attribute("aria-label", re.compile(", generated$"))
    written.nth(1).click()
    expect(strip.locator(".readout")).to_contain_text(f"token ‹{strip.locator('.token').count() - count + 1}›")
    page.get_by_role("button", name="Branch from").click()
    page.get_by_role("heading", name="Two branches compared").wait_for()
    expect(page.get_by_text("Branch B: ")).to_be_visible()
    page.get_by_role("button", name="A", exact=True).click()  # while B may still be written
    expect(page.get_by_text("Branch A: ")).to_be_visible()
    wait_idle(page)
    text = strip.locator(".token").all_inner_texts()
    page.get_by_role("button", name="Open in the explorer").click()
    page.get_by_role("heading", name="Overview", exact=True, level=2).wait_for()
    wait_idle(page)
    expect(here.tokens()).to_have_count(len(text))
    expect(page.get_by_text("on were generated (greedy)")).to_be_visible()
