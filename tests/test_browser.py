"""The real app in a real Chromium: what a visitor does, step by step."""

import csv
import io
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import expect

from hooks.trace import RoutingTrace
from tests.app_server import wait_idle

pytestmark = pytest.mark.browser
PAGES = ("Overview", "Difficulty", "Gate", "Experts", "Recursion")
CLOCKS = """window.clocks = new Set();
const { setInterval: start, clearInterval: stop } = window;
window.setInterval = (...args) => { const clock = start(...args); clocks.add(clock); return clock; };
window.clearInterval = (clock) => { clocks.delete(clock); stop(clock); };"""
"""Keeps a list of the clocks that tick in a page."""
DRAWINGS = """window.drawings = [];
let plotly;
Object.defineProperty(window, "Plotly", {
  get: () => plotly,
  set: (given) => {
    const { react } = (plotly = given);
    given.react = (figure, content, ...rest) => {
      const { top, height } = figure.getBoundingClientRect();
      const name = figure.closest("[class*=st-key-figure-]").className.match(/st-key-(figure-\\w+)/)[1];
      drawings.push({ name, inSight: top < innerHeight, stays: height === content.layout?.height });
      return react(figure, content, ...rest);
    };
  },
});"""
"""Keeps a list of the charts that Plotly was made to draw, with what held just before."""
HOSTILE = "<script>alert(1)</script> <b>bold</b> $x$ **stars** 🙂 مرحبا 你好\n\ttab"


def test_first_launch_shows_an_example_already_traced(visit):
    page = visit().open()
    expect(page.get_by_text("The fox and the lamp, ")).to_be_visible()
    assert page.get_by_role("option").count() > 40
    assert page.get_by_role("option", selected=True).count() == 1
    expect(page.get_by_text("Gates trained.")).to_be_visible()
    expect(page.get_by_text("Loops per token and layer")).to_be_visible()


def test_typed_text_replaces_the_example(visit):
    here = visit()
    page = here.open()
    here.trace("The cat sat on the mat.")
    expect(page.get_by_text("The cat sat on, ")).to_be_visible()
    assert here.text() == "The cat sat on the mat."
    assert "example=" not in page.url


def test_token_click_selects_it_on_every_page(visit):
    here = visit()
    page = here.open()
    here.tokens().nth(5).click()
    expect(page.locator(".readout")).to_contain_text("token ‹5›")
    wait_idle(page)
    text = here.tokens().nth(5).inner_text().strip()
    for name in PAGES[1:]:
        page.get_by_role("link", name=name, exact=True).click()
        page.get_by_role("heading", name=name, exact=True).wait_for()
        wait_idle(page)
        expect(page.locator(".readout")).to_contain_text("token ‹5›")
        assert page.get_by_role("option", selected=True).inner_text().strip().startswith(text)
        assert "token=5" in page.url and "example=fox" in page.url


def test_arrow_keys_move_token_and_layer(visit):
    here = visit()
    page = here.open("?layer=2&token=5")
    here.tokens().nth(5).click()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    expect(page.locator(".readout")).to_contain_text("token ‹6›")
    expect(page.locator(".readout")).to_contain_text("layer ‹3›")
    page.keyboard.press("End")
    expect(page.locator(".readout")).to_contain_text(f"token ‹{here.tokens().count() - 1}›")
    page.keyboard.press("Home")
    expect(page.locator(".readout")).to_contain_text("token ‹0›")


def test_keys_pressed_while_an_answer_is_on_its_way_are_not_lost(visit):
    here = visit()
    page = here.open("gate?layer=2&token=5", "Gate")
    here.tokens().nth(5).click()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(170)  # longer than the pause after which a selection is sent, shorter than its answer
    expect(page.locator(".readout")).to_contain_text("token ‹11›")
    wait_idle(page)
    expect(page.locator(".readout")).to_contain_text("token ‹11›")


def test_token_clicked_before_the_page_of_a_link_is_there_is_selected_on_that_page(visit):
    here = visit()
    page = here.open()
    for number, name in ((30, "Gate"), (31, "Overview"), (32, "Experts")):
        token = here.tokens().nth(number).element_handle()
        page.get_by_role("link", name=name, exact=True).evaluate(
            "(link, token) => { link.click(); token.click() }", token
        )
        expect(page.get_by_role("heading", name=name, exact=True, level=2)).to_be_visible()
        expect(page.locator(".readout")).to_contain_text(f"token ‹{number}›")
        wait_idle(page)


def test_search_underlines_what_it_finds_and_steps_through_it_by_keys(visit):
    here = visit()
    page = here.open("?token=0&layer=2")
    page.get_by_role("button", name="Find").click()
    page.get_by_label("Text", exact=True).fill("mill")
    page.keyboard.press("Enter")
    expect(page.locator(".matches")).to_contain_text("“mill”")
    found = page.locator(".token.found")
    assert "mill" in found.first.inner_text() and "found" in found.first.get_attribute("aria-label")
    expect(page.locator(".matches")).to_contain_text(f"{found.count()} of {here.tokens().count()} tokens")
    first = int(found.first.get_attribute("data-token"))
    page.keyboard.press("Escape")
    here.tokens().nth(first + 1).focus()
    page.keyboard.press("n")
    expect(page.locator(".readout")).to_contain_text(f"token ‹{first}›")
    page.get_by_role("button", name="end the search").click()
    expect(page.locator(".matches")).to_be_hidden()
    expect(found).to_have_count(0)


def test_by_words_a_second_click_steps_to_the_next_piece(visit):
    here = visit()
    page = here.open("recursion?token=0&layer=3", "Recursion")
    tokens = here.tokens().count()
    page.get_by_role("button", name="words").click()
    word = page.get_by_role("option").filter(has_text="miller's").first
    word.click()
    assert here.tokens().count() < tokens and "mean over 3 pieces" in word.get_attribute("aria-label")
    first = int(word.get_attribute("data-token"))
    expect(page.locator(".readout")).to_contain_text(f"token ‹{first}›")
    wait_idle(page)
    word.click()
    expect(page.locator(".readout")).to_contain_text(f"token ‹{first + 1}›")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".readout")).to_contain_text(f"token ‹{first + 3}›")


def test_steppers_of_the_readout_move_the_selection(visit):
    page = visit().open("?layer=2&token=5")
    page.get_by_role("button", name="next token").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".readout")).to_contain_text("token ‹6›")
    wait_idle(page)
    page.keyboard.press("Enter")
    expect(page.locator(".readout")).to_contain_text("token ‹7›")
    page.get_by_role("button", name="previous layer").click()
    expect(page.locator(".readout")).to_contain_text("layer ‹1›")


def test_strip_stays_in_sight_and_clickable_when_the_page_is_scrolled(visit):
    here = visit()
    page = here.open("recursion", "Recursion")
    page.locator(".st-key-figure-loop_shares").scroll_into_view_if_needed()
    page.mouse.wheel(0, 3000)
    page.wait_for_timeout(500)
    assert abs(page.locator(".st-key-frame").bounding_box()["y"]) < 40
    here.tokens().nth(3).click()
    expect(page.locator(".readout")).to_contain_text("token ‹3›")


def test_clicks_leave_no_clocks_behind(visit):
    """The bridge to the figures looks about several times a second: one clock, however often the script has run."""
    here = visit()
    here.page.add_init_script(CLOCKS)
    page = here.open()
    at_first = page.evaluate("clocks.size")
    for token in range(5, 12):
        here.tokens().nth(token).click()
        wait_idle(page)
    page.get_by_role("link", name="Gate", exact=True).click()
    page.get_by_role("heading", name="Gate", exact=True).wait_for()
    wait_idle(page)
    page.wait_for_function("most => clocks.size <= most", arg=at_first)
    assert page.evaluate("clocks.size"), "the bridge still looks about"


def drawn_here(page) -> list[dict]:
    """The drawings since the list was emptied, without late ones of the page before."""
    return [each for each in page.evaluate("drawings") if page.locator(f".st-key-{each['name']}").count()]


def test_a_page_that_is_opened_draws_each_chart_once(visit):
    here = visit()
    here.page.add_init_script(DRAWINGS)
    page = here.open()
    for name in ("Gate", "Experts", "Overview"):
        page.evaluate("() => { drawings.length = 0 }")
        page.get_by_role("link", name=name, exact=True).click()
        page.get_by_role("heading", name=name, exact=True, level=2).wait_for()
        wait_idle(page)
        page.wait_for_timeout(500)
        drawn = [each["name"] for each in drawn_here(page)]
        assert len(drawn) == page.locator(".js-plotly-plot").count()
        assert len(set(drawn)) == len(drawn)


def test_charts_in_sight_are_drawn_first_and_the_others_by_themselves_without_moving_anything(visit):
    here = visit()
    here.page.add_init_script(DRAWINGS)
    page = here.open()
    page.evaluate("() => { drawings.length = 0 }")
    page.get_by_role("link", name="Geometry", exact=True).click()
    page.get_by_role("heading", name="Geometry", exact=True, level=2).wait_for()
    wait_idle(page)
    drawn = drawn_here(page)
    assert len(drawn) == page.locator(".js-plotly-plot").count()
    in_sight = [each["inSight"] for each in drawn]
    assert any(in_sight) and not all(in_sight) and in_sight == sorted(in_sight, reverse=True)
    assert all(each["stays"] for each in drawn if not each["inSight"])


def test_heat_map_click_selects_layer_and_token(visit):
    page = visit().open("gate?layer=0&token=0", "Gate")
    page.locator(".st-key-figure-gate_map svg.selection").wait_for(state="attached")  # now it takes clicks
    drags = page.locator(".st-key-figure-gate_map .js-plotly-plot .nsewdrag")
    boxes = [drags.nth(i).bounding_box() for i in range(drags.count())]
    box = max(boxes, key=lambda b: b["width"] * b["height"])
    tokens = page.get_by_role("option").count()
    x, y = box["x"] + box["width"] * (20.5 / tokens), box["y"] + box["height"] * (0.5 / 6)
    page.mouse.click(x, y)
    expect(page.locator(".readout")).to_contain_text("token ‹20›")
    expect(page.locator(".readout")).to_contain_text("layer ‹5›")
    wait_idle(page)
    cell = page.locator(".st-key-figure-gate_map svg.selection rect[stroke-width='2']").bounding_box()
    assert cell["x"] <= x <= cell["x"] + cell["width"] and cell["y"] <= y <= cell["y"] + cell["height"]


def test_upload_lists_the_prompts_and_traces_the_chosen_one(visit):
    here = visit()
    page = here.open()
    page.locator(".st-key-framebar button").first.click()
    page.get_by_role("button", name="File").or_(page.get_by_role("radio", name="File")).first.click()
    lines = b'{"text": "The first prompt."}\nnot json\n{"prompt": "A second one, longer.", "id": "two"}\n'
    upload = {"name": "prompts.jsonl", "mimeType": "application/json", "buffer": lines}
    page.locator("input[type=file]").set_input_files(upload)
    expect(page.get_by_text("prompts.jsonl, line 2 is not JSON")).to_be_visible()
    expect(page.get_by_text("The other 2 prompts can be used.")).to_be_visible()
    here.submit()
    expect(page.locator(".st-key-framebar button").first).to_contain_text("line 1, ")
    assert here.text() == "The first prompt."


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("p.txt", b"\x00\x01\x02", "p.txt is a binary file"),
        ("p.txt", "na\u00efve".encode("latin-1"), "p.txt is not UTF-8 text"),
        ("p.txt", b"", "p.txt is empty"),
    ],
)
def test_file_that_cannot_be_used_is_told_and_the_text_kept(visit, name, data, sentence):
    here = visit()
    page = here.open()
    before = here.text()
    page.locator(".st-key-framebar button").first.click()
    page.get_by_role("button", name="File").or_(page.get_by_role("radio", name="File")).first.click()
    page.locator("input[type=file]").set_input_files({"name": name, "mimeType": "text/plain", "buffer": data})
    expect(page.get_by_text(sentence)).to_be_visible()
    assert here.text() == before


def test_text_is_traced_though_the_reader_clicks_on_meanwhile(visit):
    """A click stops the run that the model works in."""
    here = visit()
    page = here.open()
    text = ("The king rode out to the river and the people were glad. " * 120).strip()
    here.type(text)
    page.get_by_role("button", name="Trace", exact=True).click()
    expect(page.get_by_text("Loading the model and tracing the text")).to_be_visible()
    page.get_by_role("radio", name="Examples").click()
    expect(page.locator(".st-key-framebar button").first).to_contain_text("The king rode out", timeout=60_000)
    wait_idle(page)
    assert here.text() == text


def test_empty_text_is_told_and_the_earlier_one_kept(visit):
    here = visit()
    page = here.open()
    before = here.text()
    here.trace("   ")
    expect(page.get_by_text("The text is empty: type at least one word")).to_be_visible()
    expect(page.get_by_text("What you had is kept.")).to_be_visible()
    assert here.text() == before


def test_link_restores_page_example_layer_and_token(visit):
    page = visit().open("recursion?model=versatile-6l-4m&example=sums&layer=4&token=7", "Recursion")
    expect(page.get_by_text("Sums and counting, ")).to_be_visible()
    expect(page.locator(".readout")).to_contain_text("token ‹7›")
    expect(page.locator(".readout")).to_contain_text("layer ‹4›")
    page.reload()
    page.get_by_role("heading", name="Recursion", exact=True).wait_for()
    expect(page.locator(".readout")).to_contain_text("token ‹7›")


@pytest.mark.parametrize("link", ["?layer=99&token=9999", "?layer=x&token=-3&example=none&model=../../etc"])
def test_link_that_names_nothing_here_falls_back(visit, link):
    page = visit().open(link)
    assert page.get_by_role("option", selected=True).count() == 1


def test_hostile_text_is_shown_literally_on_every_page(visit):
    here = visit()
    page = here.open()
    here.trace(HOSTILE)
    shown = here.text()
    for part in ("<script>", "<b>", "$x$", "**", "🙂", "你", "م", "↵", "⇥"):
        assert part in shown.replace(" ", ""), part
    expect(page.locator(".st-key-framebar button").first).to_contain_text("<script>alert(1)</scri")
    for name in PAGES:
        page.get_by_role("link", name=name, exact=True).click()
        page.get_by_role("heading", name=name, exact=True).wait_for()
        wait_idle(page)
        page.locator(".js-plotly-plot .main-svg").first.wait_for()
    page.get_by_role("link", name="Gate", exact=True).click()
    page.get_by_role("heading", name="Gate", exact=True).wait_for()
    ticks = page.locator(".st-key-figure-gate_map .xtick text")
    expect(ticks.first).to_be_visible()
    labels = "".join(ticks.all_text_contents())
    assert "🙂" in labels and "<" in labels and "$" in labels
    assert page.locator(".st-key-figure-gate_map .MathJax, .st-key-figure-gate_map mjx-container").count() == 0


def test_in_a_narrow_window_with_the_sidebar_closed_nothing_covers_the_text_button(visit):
    page = visit().open("gate", "Gate")
    page.set_viewport_size({"width": 900, "height": 700})
    page.get_by_test_id("stSidebar").hover()
    page.get_by_test_id("stSidebarCollapseButton").get_by_role("button").click()
    opener = page.get_by_test_id("stExpandSidebarButton")
    opener.wait_for()
    page.wait_for_timeout(500)
    box, button = opener.bounding_box(), page.locator(".st-key-framebar button").first.bounding_box()
    assert button["x"] >= box["x"] + box["width"]
    page.locator(".st-key-framebar button").first.click()
    page.get_by_label("Text to trace").wait_for()


def test_figure_of_the_token_is_redrawn_in_place_and_equals_a_fresh_one(visit):
    page = visit().open("recursion", "Recursion")
    shown = """() => { const figure = document.querySelector('.st-key-figure-depth_logits .js-plotly-plot');
        const note = figure.querySelector('.annotation-text').textContent;
        return [figure.dataset.same, note, figure.data[0].customdata]; }"""
    page.locator(".st-key-figure-depth_logits .annotation-text").first.wait_for()
    page.evaluate("document.querySelector('.st-key-figure-depth_logits .js-plotly-plot').dataset.same = 'chart'")
    before = page.evaluate(shown)
    page.get_by_role("option").nth(30).click()
    page.wait_for_function(f"before => ({shown})()[1] !== before", arg=before[1])
    redrawn = page.evaluate(shown)
    page.set_viewport_size({"width": 1500, "height": 1000})  # Streamlit then draws its own content again
    page.wait_for_timeout(1000)
    assert page.evaluate(shown) == redrawn and redrawn[0] == "chart"
    page.reload()
    page.locator(".st-key-figure-depth_logits .annotation-text").first.wait_for()
    fresh = page.evaluate(shown)
    assert fresh[1:] == redrawn[1:] and fresh[0] is None


def test_a_theme_that_changes_while_the_page_is_open_is_followed_by_frame_and_figures(visit):
    page = visit(color_scheme="light").open()
    ink = "() => document.querySelector('.js-plotly-plot .xtick text').style.fill"
    light = page.evaluate(ink)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"light => ({ink})() !== light", arg=light)
    frame = page.locator(".st-key-frame").evaluate("frame => getComputedStyle(frame).backgroundColor")
    assert frame == page.locator("[data-testid=stApp]").evaluate("app => getComputedStyle(app).backgroundColor")


def test_long_text_says_how_it_was_read_and_its_maps_show_a_part(visit):
    here = visit()
    page = here.open("gate", "Gate")
    here.trace("The king rode out to the river. " * 200)
    expect(page.get_by_text("windows of 512 tokens, each overlapping the former by 256")).to_be_visible()
    assert here.tokens().count() > 1400
    here.tokens().nth(10).click()
    page.keyboard.press("End")
    expect(page.locator(".readout")).to_contain_text(f"token ‹{here.tokens().count() - 1}›")
    last = here.tokens().count() - 1
    page.wait_for_function(
        """last => {
          const [from, to] = document.querySelector('.st-key-figure-gate_map .js-plotly-plot')._fullLayout.xaxis.range;
          return to - from === 256 && from <= last && last <= to;
        }""",
        arg=last,
    )


def test_every_way_out_gives_files_that_hold_the_trace(visit, tmp_path):
    here = visit()
    page = here.open("gate", "Gate")
    here.trace(HOSTILE)
    page.get_by_role("button", name="Export").click()
    page.get_by_role("dialog").locator(".js-plotly-plot .main-svg").first.wait_for()
    wait_idle(page)
    page.wait_for_timeout(500)

    def download(button: str) -> Path:
        with page.expect_download() as waiting:
            page.get_by_role("dialog").get_by_role("button", name=button, exact=True).click()
        path = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(path)
        return path

    trace = RoutingTrace.load(download("Trace file"))
    assert trace.meta["text"] == HOSTILE
    svg = download("SVG")
    assert svg.suffix == ".svg"
    text = "".join(ElementTree.parse(svg).getroot().itertext())
    assert "Width share" in text and trace.meta["weights_sha256"][:12] in text
    for part in ("🙂", "<", "$", "*", "你", "↵", "⇥"):
        assert part in text, part
    png = download("PNG").read_bytes()
    assert png.startswith(b"\x89PNG") and int.from_bytes(png[16:20], "big") > 1000  # pixels wide
    download("HTML")
    rows = list(csv.DictReader(io.StringIO(download("CSV").read_text(encoding="utf-8-sig"))))
    np.testing.assert_allclose([float(row["gate"]) for row in rows], trace.gate.ravel())
    assert pd.read_parquet(download("Parquet")).gate.tolist() == trace.gate.ravel().tolist()
    assert json.loads(download("JSON").read_text("utf-8"))["records"][-1]["text"] == trace.tokens[-1]
    parquet = download("Routing table")

    table = pd.read_parquet(parquet)
    assert table.loops.tolist() == trace.loops.ravel().tolist()
    opened, asked, alerts = here.context.new_page(), [], []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("dialog", lambda dialog: alerts.append(dialog.message))
    opened.goto((tmp_path / "gate_map.html").as_uri())
    opened.locator(".js-plotly-plot .main-svg").first.wait_for()
    labels = "".join(opened.locator(".xtick text").all_text_contents())
    assert all(part in labels for part in ("🙂", "<", "$", "↵"))
    assert not alerts and [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    opened.close()


def test_link_with_the_text_opens_it(visit):
    here = visit(permissions=["clipboard-read", "clipboard-write"])
    page = here.open("gate", "Gate")
    here.trace(HOSTILE)
    page.get_by_role("button", name="Export").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Your own text is in the second link only").wait_for()
    wait_idle(page)
    dialog.get_by_role("button", name="Copy link with my text").click()
    expect(dialog.get_by_role("button", name="Copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(here.address) and "script" not in link
    other = visit()
    other.open(link.removeprefix(f"{here.address}/"), "Gate")
    assert other.text() == here.text() and "text=" not in other.page.url


def test_two_sessions_do_not_see_each_others_text(visit):
    one, other = visit(), visit()
    one.open()
    other.open()
    one.trace("Only the first visitor wrote this.")
    other.page.reload()
    other.page.get_by_role("heading", name="Overview", exact=True).wait_for()
    wait_idle(other.page)
    assert "first visitor" not in other.page.content()
