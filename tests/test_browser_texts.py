"""Texts that a visitor types, uploads or is offered in the real app, and what becomes of those that cannot be used."""

import re

import pytest
from playwright.sync_api import expect

from tests.app_server import until, until_rests, wait_idle
from tests.visit import HOSTILE

pytestmark = pytest.mark.browser


def test_first_launch_shows_an_example_already_traced(visit):
    page = visit().open()
    expect(page.get_by_text("The fox and the lamp, ")).to_be_visible()
    expect(page.get_by_role("option", selected=True)).to_have_count(1)
    assert page.get_by_role("option").count() > 40
    expect(page.get_by_text("The gates are trained.")).to_be_visible()
    expect(page.get_by_text("Loops per token and layer")).to_be_visible()


def test_typed_text_replaces_the_example(visit):
    here = visit()
    page = here.open()
    here.trace("The cat sat on the mat.")
    expect(page.get_by_text("The cat sat on, ")).to_be_visible()
    until(page, lambda: here.text() == "The cat sat on the mat.")
    expect(page).not_to_have_url(re.compile("example="))


def test_upload_lists_the_prompts_and_traces_the_chosen_one(visit):
    here = visit()
    page = here.open()
    page.locator(".st-key-framebar button").first.click()
    page.get_by_role("button", name="File").or_(page.get_by_role("radio", name="File")).first.click()
    lines = b'{"text": "The first prompt."}\nnot json\n{"prompt": "A second one, longer.", "id": "two"}\n'
    upload = {"name": "prompts.jsonl", "mimeType": "application/json", "buffer": lines}
    page.locator("input[type=file]").set_input_files(upload)
    expect(page.get_by_text("prompts.jsonl, line 2 is not JSON")).to_be_visible()
    expect(page.get_by_text("You can use the other 2 prompts.")).to_be_visible()
    here.submit()
    expect(page.locator(".st-key-framebar button").first).to_contain_text("line 1, ")
    until(page, lambda: here.text() == "The first prompt.")


def test_file_that_cannot_be_used_is_told_and_the_text_kept(visit):
    here = visit()
    page = here.open()
    before = here.text()
    page.locator(".st-key-framebar button").first.click()
    page.get_by_role("button", name="File").or_(page.get_by_role("radio", name="File")).first.click()
    for data, sentence in (
        (b"\x00\x01\x02", "p.txt is a binary file"),
        ("na\u00efve".encode("latin-1"), "p.txt is not UTF-8 text"),
        (b"", "p.txt is empty"),
    ):
        upload = {"name": "p.txt", "mimeType": "text/plain", "buffer": data}
        page.locator("input[type=file]").set_input_files(upload)
        expect(page.get_by_text(sentence)).to_be_visible()
    assert here.text() == before


def test_text_is_traced_though_the_reader_clicks_on_meanwhile(visit):
    """A click stops the run that the model works in."""
    here = visit()
    page = here.open()
    text = ("The king rode out to the river and the people were glad. " * 300).strip()  # so long that a click fits in
    here.type(text)
    page.get_by_role("button", name="Trace", exact=True).click()
    expect(page.get_by_text("Loading the model and tracing the text")).to_be_visible()
    page.get_by_role("radio", name="Examples").click()
    expect(page.locator(".st-key-framebar button").first).to_contain_text("The king rode out", timeout=60_000)
    until(page, lambda: here.text() == text)


def test_figures_of_the_text_before_are_dimmed_while_a_run_takes_long_and_only_then(visit):
    """Streamlit's sign that it runs, with its Stop, covers no button of the frame meanwhile."""
    here = visit()
    page = here.open("gate", "Gate")
    page.evaluate(
        """() => {
          window.seen = new Set();
          const look = () => {
            const left = document.querySelector('[data-stale=true]:has(.js-plotly-plot)');
            if (left) seen.add(getComputedStyle(left).opacity);
            const sign = document.querySelector('[data-testid=stStatusWidget]')?.getBoundingClientRect();
            for (const button of sign?.width ? document.querySelectorAll('.st-key-framebar button') : []) {
              const box = button.getBoundingClientRect();
              const beside = box.right < sign.left || sign.right < box.left;
              seen.add(beside || box.bottom < sign.top || sign.bottom < box.top ? "apart" : "covered");
            }
            requestAnimationFrame(look);
          };
          look();
        }"""
    )
    page.get_by_role("radio", name="Loops").click()
    wait_idle(page)
    here.tokens().nth(5).click()
    expect(page.locator(".readout")).to_contain_text("token ‹5›")
    wait_idle(page)
    assert "1" in page.evaluate("() => [...seen]")
    here.trace("The king rode out to the river. " * 480)
    seen = page.evaluate("() => [...seen]")
    assert "0.55" in seen and "covered" not in seen
    expect(page.locator("[data-long-run]")).to_have_count(0)


def test_empty_text_is_told_and_the_earlier_one_kept(visit):
    here = visit()
    page = here.open()
    before = here.text()
    here.trace("   ")
    expect(page.get_by_text("The text is empty: type at least one word")).to_be_visible()
    expect(page.get_by_text("Nothing has changed.")).to_be_visible()
    assert here.text() == before


BADGE_BEHIND = """cells => cells.filter(cell => cell.querySelector('.badge')).map(cell => {
  const badge = cell.querySelector('.badge'), text = document.createRange();
  text.setStart(cell, 0);
  text.setEndBefore(badge);
  return badge.getBoundingClientRect().left - text.getBoundingClientRect().right;
})"""
"""How far the badge of every token that has one stands behind the token's text, in px."""


def test_hostile_text_is_shown_literally_on_every_page(visit):
    here = visit()
    page = here.open()
    here.trace(HOSTILE)
    shown = here.text()
    for part in ("<script>", "<b>", "$x$", "**", "🙂", "你", "م", "↵", "⇥"):
        assert part in shown.replace(" ", ""), part
    expect(page.locator(".st-key-framebar button").first).to_contain_text("<script>alert(1)</scri")
    for name in ("Overview", "Difficulty", "Experts", "Recursion", "Gate"):
        here.turn_to(name)
        if name == "Experts":  # a badge stands behind its token, also where letters run from right to left
            assert min(here.tokens().evaluate_all(BADGE_BEHIND)) > -1
        expect(page.locator(".js-plotly-plot .main-svg").first).to_be_attached()
        expect(page.locator(".st-key-answer_line p")).to_contain_text(".")
        expect(page.locator(".st-key-answer_line p :not(button, span.unbroken)")).to_have_count(0)
    here.unfold()
    ticks = page.locator(".st-key-figure-gate_map .xtick text")
    expect(ticks.first).to_be_visible()
    labels = "".join(ticks.all_text_contents())
    assert "🙂" in labels and "<" in labels and "$" in labels
    expect(page.locator(".st-key-figure-gate_map .MathJax, .st-key-figure-gate_map mjx-container")).to_have_count(0)


def test_long_text_says_how_it_was_read_and_its_maps_show_a_part(visit):
    here = visit()
    page = here.open("gate", "Gate")
    here.unfold()
    here.trace("The king rode out to the river. " * 200)
    expect(page.get_by_text("windows of 512 tokens, each overlapping the former by 256")).to_be_visible()
    until(page, lambda: here.tokens().count() > 1400)
    here.tokens().nth(10).click()
    page.keyboard.press("End")
    expect(page.locator(".readout")).to_contain_text(f"token ‹{here.tokens().count() - 1}›")
    last = here.tokens().count() - 1
    page.wait_for_function(
        """last => {
          const map = document.querySelector('.st-key-figure-gate_map .js-plotly-plot');
          const [from, to] = map?._fullLayout?.xaxis.range ?? [];
          return to - from === 256 && from <= last && last <= to;
        }""",
        arg=last,
    )


def test_in_a_narrow_window_with_the_sidebar_closed_nothing_covers_the_text_button(visit):
    page = visit().open("gate", "Gate")
    page.set_viewport_size({"width": 900, "height": 700})
    page.get_by_test_id("stSidebar").hover()
    page.get_by_test_id("stSidebarCollapseButton").get_by_role("button").click()
    opener, button = page.get_by_test_id("stExpandSidebarButton"), page.locator(".st-key-framebar button").first
    opener.wait_for()
    until_rests(page, "() => document.querySelector('.st-key-framebar button').getBoundingClientRect().x")

    box = opener.bounding_box()
    assert button.bounding_box()["x"] >= box["x"] + box["width"]
    button.click()
    expect(page.get_by_label("Text to trace")).to_be_visible()


def test_two_sessions_do_not_see_each_others_text(visit):
    one, other = visit(), visit()
    one.open()
    other.open()
    before = other.text()
    one.trace("Only the first visitor wrote this.")
    until(one.page, lambda: one.text() == "Only the first visitor wrote this.")
    other.tokens().nth(5).click()
    expect(other.page.locator(".readout")).to_contain_text("token ‹5›")
    wait_idle(other.page)
    assert other.text() == before and "first visitor" not in other.page.content()
    other.page.reload()
    other.page.get_by_role("heading", name="Overview", exact=True).wait_for()
    wait_idle(other.page)
    assert other.text() == before and "first visitor" not in other.page.content()
