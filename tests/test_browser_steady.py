"""A click on a token or a cell moves nothing on the page: no row of the strip, no line of the read-out, no figure."""

import pytest
from playwright.sync_api import expect

from tests.app_server import until, until_rests, wait_idle

pytestmark = pytest.mark.browser
MOST_PX = 4
BOXES = """() => Object.fromEntries(
  [...document.querySelectorAll('.st-key-frame, [class*="st-key-title-"], .js-plotly-plot')].map((element, i) => {
    const { x, y, width, height } = element.getBoundingClientRect();
    return [i, [x, y, width, height]];
  })
)"""
"""Places and sizes of the frame, and of all titles and figures, in pixels."""


def moved(before: dict, after: dict) -> float:
    assert before.keys() == after.keys()
    return max(abs(a - b) for name in before for a, b in zip(before[name], after[name], strict=True))


def test_a_click_on_a_token_or_a_step_to_another_layer_moves_nothing(visit):
    here = visit()
    page = here.open("experts?example=fox&layer=3&token=10", "Experts")
    for name in ("Experts", "Recursion"):  # where numbers stand after the tokens of the strip
        if name != "Experts":
            here.turn_to(name)
        until_rests(page, BOXES)
        at_first = page.evaluate(BOXES)
        assert len(at_first) > 2
        for act, told in (
            (lambda: here.tokens().filter(has_text="wondered").click(), "wondered"),
            (lambda: page.get_by_role("button", name="next layer").click(), "layer ‹4›"),
        ):
            act()
            expect(page.locator(".readout")).to_contain_text(told)
            wait_idle(page)
            until_rests(page, BOXES)
            assert moved(at_first, page.evaluate(BOXES)) <= MOST_PX, f"{name}: {told}"
        page.get_by_role("button", name="previous layer").click()
        here.tokens().nth(10).click()
        expect(page.locator(".readout")).to_contain_text("layer ‹3›")


def test_one_choice_reads_the_loops_of_both_figures(visit):
    page = visit().open("recursion_lens?layer=3&token=10", "Recursion lens")
    for folded in page.locator("summary").filter(has_text="each loop of the selected layer").all():
        folded.click()
        wait_idle(page)
    note = page.locator(".st-key-figure-lens_layer .annotation-text").filter(has_text="likeliest next tokens")
    expect(note).not_to_contain_text("had it exited there")
    assert page.get_by_role("radio", name="Exit here").or_(page.get_by_role("button", name="Exit here")).count() == 1
    page.get_by_text("Exit here", exact=True).click()
    expect(note).to_contain_text("had it exited there")


def test_hover_cards_write_the_minus_sign_of_axes_and_cells(visit):
    page = visit().open()
    written = "() => document.querySelector('.js-plotly-plot')._fullLayout._d3locale.numberFormat('.2f')(-1.5)"
    until(page, lambda: page.evaluate(written) == "−1.50")
