"""A list of prompts in the real app: traced in batches, stopped, gone on with, opened row by row."""

import csv
import re

import pytest
from playwright.sync_api import expect

from tests.app_server import until, until_rests, wait_idle

pytestmark = pytest.mark.browser


WATCH_TABLE = """() => {
  window.seen = { gone: 0, tops: [] };
  const look = () => {
    const table = document.querySelector("[data-testid=stDataFrame]");
    const scrolled = document.querySelector("[data-testid=stMain]").scrollTop;
    const top = table && Math.round(table.getBoundingClientRect().top + scrolled);
    if (!table) window.seen.gone += 1;
    else if (!window.seen.tops.includes(top)) window.seen.tops.push(top);
    if (!document.body.innerText.includes("60 of 60")) requestAnimationFrame(look);
  };
  look();
}"""
"""Notes whether the table is ever gone, and every place where it stands, until the list is traced."""
TABLE = "() => document.querySelector('[data-testid=stDataFrame]')?.getBoundingClientRect().top"


def marked_rows(page):
    """The rows of the table that are marked."""
    return page.locator("[data-testid=stDataFrame] [role=row][aria-selected=true]")


def test_list_is_traced_with_a_stop_and_a_row_opens_its_text(visit):
    here = visit()
    page = here.open()
    page.locator(".st-key-framebar button").first.click()
    page.get_by_role("button", name="File").or_(page.get_by_role("radio", name="File")).first.click()
    rows = "".join(f"p{i},{'The fox ran to the river. ' * 20}Prompt {i}.,{100 - i}\n" for i in range(60))
    upload = {"name": "list.csv", "mimeType": "text/csv", "buffer": f"id,text,score\n{rows}".encode()}
    page.locator("input[type=file]").set_input_files(upload)
    page.get_by_role("button", name="Compare all 60").click()
    page.get_by_role("heading", name="Prompts", exact=True).wait_for()
    table = page.get_by_test_id("stDataFrame")
    table.wait_for()
    until_rests(page, TABLE, 8)
    page.evaluate(WATCH_TABLE)
    expect(page.get_by_text(re.compile(r"list.csv: [1-9]\d* of 60 prompts traced…"))).to_be_visible(timeout=180_000)
    stop = page.get_by_role("button", name="Stop")
    expect(stop).to_have_count(1)  # of two, one would be Streamlit's own
    stop.click()
    page.get_by_role("button", name="Continue").wait_for()
    wait_idle(page)
    told = page.get_by_text(re.compile(r"list.csv: \d+ of 60 prompts traced")).inner_text()
    done = int(re.search(r": (\d+) of", told).group(1))
    assert 0 < done < 60
    here.tokens().nth(5).click()  # another run of the page traces no more of them
    expect(page.locator(".readout")).to_contain_text("token ‹5›")
    wait_idle(page)
    expect(page.get_by_text(told)).to_be_visible()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("list.csv: 60 of 60 prompts traced.")).to_be_visible(timeout=180_000)
    wait_idle(page)
    assert page.evaluate("window.seen") == {"gone": 0, "tops": [page.evaluate("window.seen.tops[0]")]}
    table.scroll_into_view_if_needed()
    until_rests(page, TABLE)
    box = table.bounding_box()
    page.mouse.click(box["x"] + 14, box["y"] + 35 + 35 * 2 + 17)  # the box before the third row
    expect(page.locator(".st-key-framebar button").first).to_contain_text("p2, ", timeout=30_000)
    wait_idle(page)
    until(page, lambda: here.text().replace("␣", " ").endswith("Prompt 2."))
    expect(marked_rows(page)).to_have_count(1)

    def names() -> list[str]:
        return [page.get_by_test_id(f"glide-cell-1-{row}").text_content() for row in range(3)]

    until(page, lambda: names() == ["p0", "p1", "p2"])
    table.scroll_into_view_if_needed()
    until_rests(page, TABLE)
    box = table.bounding_box()
    page.mouse.click(box["x"] + 255, box["y"] + 17)  # the head of "score"
    until(page, lambda: names() == ["p59", "p58", "p57"])
    looked_for = page.get_by_placeholder("Show only prompts with this")
    looked_for.fill("Prompt 2")
    looked_for.press("Enter")
    until(page, lambda: names() == ["p29", "p28", "p27"])  # in the same order
    expect(marked_rows(page)).to_have_count(1)
    here.turn_to("Overview")
    here.turn_to("Prompts")
    expect(marked_rows(page)).to_have_count(1)


def test_file_of_another_kind_or_beyond_the_limit_is_refused_before_it_is_read(visit, tmp_path):
    here = visit()
    page = here.open()
    before = here.text()
    page.locator(".st-key-framebar button").first.click()
    page.get_by_role("radio", name="File").click()
    files = page.locator("input[type=file]")
    files.set_input_files({"name": "run.exe", "mimeType": "application/x-msdownload", "buffer": b"MZ"})
    expect(page.get_by_text("files are not allowed")).to_be_visible()
    (tmp_path / "p.txt").write_bytes(b"x\n" * (11 * 2**20))
    files.set_input_files(tmp_path / "p.txt")
    expect(page.get_by_text("File must be 20.0MB or smaller.")).to_be_visible()
    expect(page.get_by_role("button", name="Compare all")).to_have_count(0)
    page.keyboard.press("Escape")
    assert here.text() == before


def test_markup_and_formulas_of_a_list_stay_text_on_the_page_and_in_its_csv(visit, tmp_path):
    here = visit()
    page = here.open()
    alerts = []
    page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    page.locator(".st-key-framebar button").first.click()
    page.get_by_role("radio", name="File").click()
    rows = 'id,text\n=1+1,<img src=x onerror=alert(1)>\n"<b>@SUM(A1)</b>","=HYPERLINK(""http://x"",""y"")"\n'
    upload = {"name": "<i>&amp;.csv", "mimeType": "text/csv", "buffer": rows.encode()}
    page.locator("input[type=file]").set_input_files(upload)
    page.get_by_role("button", name="Compare all 2").click()
    page.get_by_role("heading", name="Prompts", exact=True).wait_for()
    expect(page.get_by_text("<i>&amp;.csv: 2 of 2 prompts traced.")).to_be_visible(timeout=180_000)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="CSV of all prompts").click()
    waiting.value.save_as(tmp_path / "prompts.csv")
    with (tmp_path / "prompts.csv").open(encoding="utf-8-sig", newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["name"], first["text"]) == ("'=1+1", "<img src=x onerror=alert(1)>")
    assert (second["name"], second["text"]) == ("<b>@SUM(A1)</b>", '\'=HYPERLINK("http://x","y")')
    assert not alerts and page.locator("img[src=x]").count() == 0
