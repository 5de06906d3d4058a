"""The page Atlas in the real app: filter, a click on a bar, its texts, one opened in the explorer, SQL, and notes."""

import json
import re

import pytest
from playwright.sync_api import expect

from tests.app_server import until, until_rests, wait_idle

pytestmark = pytest.mark.browser
ROW_PX, HEAD_PX = 33, 33


def answer(page) -> str:
    return page.locator(".st-key-answer_line p").inner_text()


def place(css: str) -> str:
    """JavaScript: the place and size of the first element that a CSS selector finds."""
    return f"() => document.querySelector('{css}')?.getBoundingClientRect()"


def tick_row(page, row: int, table) -> None:
    """Tick the box of a row of a table, which is drawn on a canvas, once that rests."""
    table.get_by_test_id(f"glide-cell-1-{row}").wait_for(state="attached")
    table.scroll_into_view_if_needed()
    until_rests(page, place("[role=dialog] [data-testid=stDataFrame]"), 12)
    table.click(position={"x": 16, "y": HEAD_PX + ROW_PX * row + ROW_PX // 2})


def test_a_run_is_filtered_a_bar_shows_its_tokens_and_one_opens_in_the_explorer(visit, tmp_path):
    here = visit()
    page = here.open("atlas", "Atlas")
    expect(page.locator(".st-key-figure-run_loops .bars .point")).to_have_count(24)
    whole = answer(page)
    page.get_by_role("button", name="Filter").click()
    page.get_by_label("Prompt has").fill("fox")
    page.get_by_role("button", name="Apply").click()
    chip = page.get_by_role("button", name="prompt has “fox”")
    chip.wait_for()
    page.keyboard.press("Escape")
    wait_idle(page)
    until(page, lambda: answer(page) != whole and " of the run, read by" in answer(page))
    expect(page.get_by_test_id("stPopoverBody").filter(visible=True)).to_have_count(0)
    until_rests(page, place(".st-key-figure-run_loops .bars"), 12)

    page.locator(".st-key-figure-run_loops .bars .point path").nth(14).click(force=True)  # two loops in layer 2
    window = page.get_by_role("dialog", name="Behind this number")
    expect(window.get_by_text("3 loops, in layer 2")).to_be_visible()
    wait_idle(page)
    tick_row(page, 1, window.get_by_test_id("stDataFrame"))
    opener = window.get_by_role("button", name="Open in the explorer")
    expect(opener).to_be_enabled()
    window.get_by_role("button", name="Bookmark").click()
    expect(page.get_by_text("It is among your notes")).to_be_visible()
    opener.click()
    page.get_by_role("heading", name="Overview", exact=True).wait_for()
    expect(page.locator(".readout")).to_contain_text(re.compile(r"layer\s*‹\s*2\s*›\s*loops\s*●●●○\s*3"))
    expect(page.locator(".st-key-framebar")).to_contain_text("sample texts, prompt")

    wait_idle(page)  # a run of the whole page closes a dialog
    page.get_by_role("button", name="Notes").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download notes").click()
    waiting.value.save_as(tmp_path / "notes.json")
    (note,) = json.loads((tmp_path / "notes.json").read_text("utf-8"))["notes"]
    assert note["layer"] == 2 and note["name"].startswith("sample texts, prompt")
    page.keyboard.press("Escape")

    page.get_by_role("link", name="Atlas").click()
    page.get_by_role("heading", name="Atlas", exact=True).wait_for()
    wait_idle(page)
    chip.click()
    until(page, lambda: answer(page) == whole)


def test_sql_is_asked_and_its_answer_downloaded(visit, tmp_path):
    here = visit()
    page = here.open("atlas", "Atlas")
    page.get_by_text("What else do you want to know, in SQL?").click()
    box = page.get_by_label("Question in SQL")
    box.wait_for()
    wait_idle(page)
    box.fill("SELECT layer, max(loops) AS most FROM choices GROUP BY layer ORDER BY layer")
    box.press("Control+Enter")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_text("6 rows.")).to_be_visible()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="CSV", exact=True).click()
    waiting.value.save_as(tmp_path / "answer.csv")
    assert (tmp_path / "answer.csv").read_text("utf-8-sig").splitlines()[:2] == ['"layer","most"', "0,4"]
    box.fill("DELETE FROM tokens")
    box.press("Control+Enter")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_text("Only one SELECT is answered at a time")).to_be_visible()
