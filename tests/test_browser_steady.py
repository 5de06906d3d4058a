"""A click on a token, a layer or a link of an answer moves nothing on any page: no heading, no figure, no fold."""

import pytest
from playwright.sync_api import expect

from tests.app_server import until, until_rests, wait_idle

pytestmark = pytest.mark.browser
MOST_PX = 4
BOXES = """() => Object.fromEntries(
  [...document.querySelectorAll(
    '.st-key-framebar, [data-testid=stMain] :is(h2, h3, summary, .js-plotly-plot, [data-testid=stDataFrame])'
  )].map((element, i) => {
    const { x, y, width, height } = element.getBoundingClientRect();
    const name = element.matches("h2, h3, summary") ? element.innerText : element.className;
    return [i + " " + name, [x, y, width, height]];
  })
)"""
"""Places and sizes of the bar of the frame, and of all headings, folds, figures and tables, in pixels."""
LAST_SEEN = """box => [...box.querySelectorAll("[role=option]")].findLastIndex(
  (token) => token.getBoundingClientRect().bottom <= box.getBoundingClientRect().bottom
)"""
TOKENS = (14, 10)
"""Of the fox: one that did not route in most layers, and one that routed in most."""
AT_REST, AFTER_A_CLICK = 30, 8
"""Drawn frames in which nothing changes any more; formulas and their fonts come last when a page is turned to."""


def moved(before: dict, after: dict) -> list[str]:
    """What moved, in its order on the page; the names of some headings change with the selection."""
    assert len(before) == len(after)
    places = zip(before.items(), after.values(), strict=True)
    return [name for (name, old), new in places if max(abs(a - b) for a, b in zip(old, new, strict=True)) > MOST_PX]


def boxes(page, frames: int = AFTER_A_CLICK) -> dict:
    wait_idle(page)
    page.evaluate("() => document.fonts.ready.then(() => null)")
    until_rests(page, BOXES, frames)
    return page.evaluate(BOXES)


def test_a_click_moves_nothing_on_any_page(shared_visit):
    from app.pages import PAGES

    here, found = shared_visit, []
    page = here.open("?example=fox&layer=3&token=10")
    readout, links = page.locator(".readout"), page.locator(".st-key-answer_line p button:not(.opens)")
    for number, name in enumerate(each.name for each in PAGES):
        if number:
            here.turn_to(name)
        before = boxes(page, AT_REST)
        assert len(before) > 2
        token = TOKENS[number % 2]
        here.tokens().nth(token).click()
        expect(readout).to_contain_text(f"token ‹{token}›")
        layer = int(
            page.get_by_role("button", name="previous layer").locator("xpath=following-sibling::b").inner_text()
        )
        step, to = ("next", layer + 1) if layer < 4 else ("previous", layer - 1)
        page.get_by_role("button", name=f"{step} layer").click()
        expect(readout).to_contain_text(f"layer ‹{to}›")
        selected = boxes(page)
        found += [f"{name}, another token and layer: {each}" for each in moved(before, selected)]
        if links.count():
            with here.asking():
                links.last.click()
            found += [f"{name}, a link of the answer: {each}" for each in moved(selected, boxes(page))]
    assert not found, "\n".join(found)


def test_a_token_that_is_clicked_stays_under_the_pointer(shared_visit):
    here = shared_visit
    page = here.opened()
    page.set_viewport_size({"width": 900, "height": 1000})
    here.turn_to("Experts")  # where the text has more rows than are seen
    here.tokens().first.click()
    expect(here.tokens().first).to_have_attribute("aria-selected", "true")
    strip = page.get_by_role("listbox")
    assert strip.evaluate("box => box.scrollHeight - box.clientHeight") > 24
    token = here.tokens().nth(strip.evaluate(LAST_SEEN))
    before = token.bounding_box()["y"]
    token.click()
    expect(token).to_have_attribute("aria-selected", "true")
    wait_idle(page)
    assert token.bounding_box()["y"] == before
    page.set_viewport_size({"width": 1440, "height": 1000})


def test_in_a_narrow_window_the_readout_and_the_steps_of_the_drawing_keep_their_room(shared_visit):
    here, places, steps = shared_visit, set(), set()
    page = here.open("walkthrough?example=fox&layer=3&token=10", "Walkthrough")
    buttons, heading = page.locator(".stepper .buttons"), page.get_by_role("heading", level=2)
    for width in (800, 420):
        page.set_viewport_size({"width": width, "height": 1000})
        for token in TOKENS:
            here.tokens().nth(token).click()
            expect(page.locator(".readout")).to_contain_text(f"token ‹{token}›")
            wait_idle(page)
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
    assert page.get_by_role("radio", name="Exit here").or_(page.get_by_role("button", name="Exit here")).count() == 1
    page.get_by_text("Exit here", exact=True).click()
    expect(note.filter(has_text="had it exited there").first).to_be_visible()  # the figure before may still be there


def test_hover_cards_write_the_minus_sign_of_axes_and_cells(shared_visit):
    page = shared_visit.opened()
    written = "() => document.querySelector('.js-plotly-plot')._fullLayout._d3locale.numberFormat('.2f')(-1.5)"
    until(page, lambda: page.evaluate("() => Boolean(document.querySelector('.js-plotly-plot')?._fullLayout)"))
    assert page.evaluate(written) == "−1.50"
