"""A file of the visitor's own in the real app: upload, progress, Stop, Go on, and the run on the page."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
PROMPTS = 3_000
TEXTS = "\n".join(f"The fox went home and met hen number {i}." for i in range(PROMPTS))
"""So many that there is time to stop."""


def test_a_file_is_run_stopped_and_gone_on_with(visit):
    here = visit()
    page = here.open("atlas?model=versatile-4l-0.4m", "Atlas")
    page.get_by_text("How does it route a file of your own?").click()
    upload = {"name": "foxes.txt", "mimeType": "text/plain", "buffer": TEXTS.encode()}
    page.locator(".st-key-own-run-file input[type=file]").set_input_files(upload)
    page.get_by_role("button", name="Make the run").click()
    progress = page.get_by_test_id("stProgress")
    expect(progress).to_contain_text("tokens…")
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text("The run was stopped. What was read so far is kept.")).to_be_visible()
    page.get_by_role("button", name="Go on").click()
    expect(progress).to_contain_text("tokens…")
    expect(page.get_by_text(f"{PROMPTS:,} prompts with")).to_be_visible(timeout=300_000)
    expect(page.locator(".st-key-answer_line p")).to_contain_text(f"of {PROMPTS:,} prompts")
