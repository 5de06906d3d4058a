"""The answer of a page in a real browser: its links select by click and by key, and folds open and stay open."""

import re

import pytest
from playwright.sync_api import expect

from tests.app_server import until, until_rests, wait_idle

pytestmark = pytest.mark.browser
TORN = """spans => spans.filter(span => {
  const close = document.createRange();
  close.selectNode(span.lastChild);
  return close.getBoundingClientRect().top > [...span.firstChild.getClientRects()].at(-1).bottom;
}).map(span => span.textContent)"""
"""Links whose comma, or what else closes them, stands in the next line."""
MAP_AT = "() => document.querySelector('.st-key-figure-write_stack').getBoundingClientRect().top"


def test_links_select_what_they_name_by_click_and_by_key_and_keep_the_focus(visit):
    here = visit()
    page = here.open("gate?example=fox&layer=0&token=5", "Gate")
    answer = page.locator(".st-key-answer_line")
    layer = answer.get_by_role("button", name=re.compile("^Layer"))
    named = layer.inner_text().split()[1]
    layer.click()
    expect(page.locator(".readout")).to_contain_text(f"layer ‹{named}›")
    here.turn_to("Difficulty")
    token = answer.get_by_role("button").first
    number = re.search(r"\d+", token.get_attribute("title"))[0]
    token.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".readout")).to_contain_text(f"token ‹{number}›")
    wait_idle(page)
    expect(token).to_be_focused()
    here.turn_to("Experts")
    expert = answer.get_by_role("button", name=re.compile("^expert")).first
    sought = expert.inner_text().replace(" ", " = ")
    expert.click()
    expect(page.locator(".matches")).to_contain_text(f"any chosen {sought} in layer")
    until(page, lambda: page.locator(".token.found").count() > 3)
    wait_idle(page)
    closed = answer.locator(".unbroken")
    assert closed.count() >= 2
    for width in range(1440, 900, -45):
        page.set_viewport_size({"width": width, "height": 1000})
        assert closed.evaluate_all(TORN) == []


def test_a_click_changes_the_answer_of_the_token_and_moves_no_figure(visit):
    here = visit()
    page = here.open("write_ledger?example=fox&layer=2&token=30", "Write ledger")
    answer = page.locator(".st-key-answer_line p")
    until_rests(page, MAP_AT)  # formulas and their fonts come last
    said, tops = {answer.inner_text()}, [page.evaluate(MAP_AT)]
    for token in (4, 20, 51):
        here.tokens().nth(token).click()
        until(page, lambda: answer.inner_text() not in said)
        wait_idle(page)
        until_rests(page, MAP_AT, 12)
        said.add(answer.inner_text())
        tops.append(page.evaluate(MAP_AT))
    assert len(said) == 4 and max(tops) - min(tops) <= 4


def test_what_is_folded_opens_with_its_marks_and_stays_open(visit):
    here = visit()
    page = here.open("gate?example=fox&layer=2&token=5", "Gate")
    expect(page.locator(".js-plotly-plot")).to_have_count(1)
    opener = page.get_by_text("What is λ for each token in each layer?")
    opener.focus() if opener.evaluate("each => each.tabIndex >= 0") else opener.locator(
        "xpath=ancestor::summary"
    ).focus()
    page.keyboard.press("Enter")
    page.locator(".st-key-figure-gate_map svg.selection rect").first.wait_for(state="attached")
    here.tokens().nth(9).click()
    expect(page.locator(".readout")).to_contain_text("token ‹9›")
    wait_idle(page)
    here.turn_to("Cost")
    here.turn_to("Gate")
    page.locator(".st-key-figure-gate_map .main-svg").first.wait_for()
    opener.click()
    until(page, lambda: page.locator(".js-plotly-plot").count() == 1)
