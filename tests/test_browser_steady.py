"""What keeps its place while a reader clicks in narrow windows, and what figures share."""

import pytest
from playwright.sync_api import expect

from tests.app_server import until, until_rests, wait_idle

pytestmark = pytest.mark.browser
LAST_SEEN = """box => [...box.querySelectorAll("[role=option]")].findLastIndex(
  (token) => token.getBoundingClientRect().bottom <= box.getBoundingClientRect().bottom
)"""
PLACES = """() => ["h2", ".st-key-token_strip"].map(
  (each) => document.querySelector(`[data-testid=stMain] ${each}`)?.getBoundingClientRect()
)"""
TOKENS = (14, 10)
"""Of the fox: one that did not route in most layers, and one that routed in most."""


def test_a_token_that_is_clicked_stays_under_the_pointer(shared_visit):
    here = shared_visit
    page = here.opened()
    with here.asking():  # to be drawn for the new width
        page.set_viewport_size({"width": 900, "height": 1000})
    here.turn_to("Experts")  # where the text has more rows than are seen
    here.tokens().first.click()
    expect(here.tokens().first).to_have_attribute("aria-selected", "true")
    wait_idle(page)
    until_rests(page, PLACES)
    strip = page.get_by_role("listbox")
    assert strip.evaluate("box => box.scrollHeight - box.clientHeight") > 24
    token = here.tokens().nth(strip.evaluate(LAST_SEEN))
    before = token.bounding_box()["y"]
    token.click()
    expect(token).to_have_attribute("aria-selected", "true")
    wait_idle(page)
    until_rests(page, PLACES)
    assert token.bounding_box()["y"] == before
    page.set_viewport_size({"width": 1440, "height": 1000})


def test_in_a_narrow_window_the_readout_and_the_steps_of_the_drawing_keep_their_room(shared_visit):
    here, places, steps = shared_visit, set(), set()
    page = here.open("walkthrough?example=fox&layer=3&token=10", "Walkthrough")
    buttons, heading = page.locator(".stepper .buttons"), page.get_by_role("heading", level=2)
    for width in (800, 420):
        with here.asking():  # to be drawn for the new width
            page.set_viewport_size({"width": width, "height": 1000})
        for token in TOKENS:
            here.tokens().nth(token).click()
            expect(page.locator(".readout")).to_contain_text(f"token ‹{token}›")
            wait_idle(page)
            until_rests(page, PLACES)
            steps.add(buttons.get_by_role("button").count())
            places.add((width, heading.bounding_box()["y"], buttons.bounding_box()["height"]))
    page.set_viewport_size({"width": 1440, "height": 1000})
    assert len(steps) == 2 and len(places) == 2


def test_one_choice_reads_the_loops_of_both_figures(shared_visit):
    page = shared_visit.open("recursion_lens?layer=3&token=10", "Recursion lens")
    for folded in page.locator("summary").filter(has_text="each loop of the selected layer").all():
        folded.click()
        wait_idle(page)
    note = page.locator(".st-key-figure-lens_layer .annotation-text").filter(has_text="likeliest next tokens")
    expect(note).not_to_contain_text("had it exited there")
    choice = page.get_by_role("radio", name="Exit here").or_(page.get_by_role("button", name="Exit here"))
    expect(choice).to_have_count(1)
    page.get_by_text("Exit here", exact=True).click()
    expect(note.filter(has_text="had it exited there").first).to_be_visible()  # the figure before may still be there


def test_hover_cards_write_the_minus_sign_of_axes_and_cells(shared_visit):
    page = shared_visit.opened()
    written = "() => document.querySelector('.js-plotly-plot')._fullLayout._d3locale.numberFormat('.2f')(-1.5)"
    until(page, lambda: page.evaluate("() => Boolean(document.querySelector('.js-plotly-plot')?._fullLayout)"))
    until(page, lambda: page.evaluate(written) == "−1.50")  # soon after the figure is drawn
