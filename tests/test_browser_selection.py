"""The selected token and layer in the real app: by click, by key, by search, by link, and kept from page to page."""

import re

import pytest
from playwright.sync_api import expect

from tests.app_server import until, until_rests, wait_idle

pytestmark = pytest.mark.browser
GATE_MAP = ".st-key-figure-gate_map"


def test_token_click_selects_it_on_every_page(visit):
    here = visit()
    page = here.open()
    here.tokens().nth(5).click()
    expect(page.locator(".readout")).to_contain_text("token ‹5›")
    wait_idle(page)
    text = here.tokens().nth(5).inner_text()
    for name in ("Difficulty", "Gate", "Experts", "Recursion"):
        here.turn_to(name)
        expect(page.locator(".readout")).to_contain_text("token ‹5›")
        expect(page.get_by_role("option", selected=True)).to_have_text(re.compile(f"^{re.escape(text)}"))
        expect(page).to_have_url(re.compile(r"\?(?=.*\bexample=fox\b)(?=.*\btoken=5\b)"))


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
        with here.asking():  # the next key comes before the answer
            page.keyboard.press("ArrowRight")
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
    expect(found.first).to_contain_text("mill")
    expect(found.first).to_have_attribute("aria-label", re.compile("found"))
    expect(page.locator(".matches")).to_contain_text(f"{found.count()} of {here.tokens().count()} tokens")
    first = int(found.first.get_attribute("data-token"))
    page.keyboard.press("Escape")
    # What closes gives the focus back to its button.
    expect(page.get_by_test_id("stPopoverBody").filter(visible=True)).to_have_count(0)
    wait_idle(page)
    here.tokens().nth(first + 1).press("n")
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
    expect(word).to_have_attribute("aria-label", re.compile("mean over 3 pieces"))
    until(page, lambda: here.tokens().count() < tokens)
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


def test_the_number_of_a_layer_or_token_can_be_typed(visit):
    page = visit().open("?layer=2&token=5")
    readout = page.locator(".readout")
    for name, typed, shown in (("layer", "4", 4), ("token", "9", 9), ("token", "no number", 9), ("layer", "99", 5)):
        page.get_by_role("button", name=f"type the number of a {name}").click()
        page.get_by_role("textbox", name=f"number of a {name}").fill(typed)
        page.keyboard.press("Enter")
        expect(readout).to_contain_text(f"{name} ‹{shown}›")
        wait_idle(page)
    page.get_by_role("button", name="type the number of a layer").press("Enter")
    page.keyboard.type("0")
    page.keyboard.press("Escape")
    expect(readout).to_contain_text("layer ‹5›")


def test_a_page_that_is_turned_to_begins_at_its_top(visit):
    here = visit()
    page = here.open("recursion", "Recursion")
    main = page.get_by_test_id("stMain")
    until(page, lambda: main.evaluate("box => (box.scrollTo(0, 400), box.scrollTop)") > 300)
    here.turn_to("Gate")
    until(page, lambda: main.evaluate("box => box.scrollTop") == 0)


def test_strip_stays_in_sight_and_clickable_when_the_page_is_scrolled(visit):
    here = visit()
    page = here.open("recursion", "Recursion")
    here.unfold()
    page.locator(".st-key-figure-loop_shares").scroll_into_view_if_needed()
    page.mouse.wheel(0, 3000)
    until(page, lambda: page.get_by_test_id("stMain").evaluate("main => main.scrollTop") > 400)
    until(page, lambda: abs(page.locator(".st-key-frame").bounding_box()["y"]) < 40)
    here.tokens().nth(3).click()
    expect(page.locator(".readout")).to_contain_text("token ‹3›")


def test_heat_map_click_selects_layer_and_token(visit):
    here = visit()
    page = here.open("gate?layer=0&token=0", "Gate")
    here.unfold()
    page.locator(f"{GATE_MAP} svg.selection").wait_for(state="attached")  # now it takes clicks
    drags = page.locator(f"{GATE_MAP} .js-plotly-plot .nsewdrag")
    drags.first.scroll_into_view_if_needed()
    tokens = page.get_by_role("option").count()

    def cell() -> tuple[float, float]:
        """The middle of the cell where it is now: what is drawn above it may still move it."""
        boxes = [drags.nth(i).bounding_box() for i in range(drags.count())]
        box = max(boxes, key=lambda b: b["width"] * b["height"])
        return box["x"] + box["width"] * (20.5 / tokens), box["y"] + box["height"] * (0.5 / 6)

    until_rests(page, f"() => document.querySelector('{GATE_MAP}').getBoundingClientRect().top")
    page.mouse.click(*cell())
    expect(page.locator(".readout")).to_contain_text("token ‹20›")
    expect(page.locator(".readout")).to_contain_text("layer ‹5›")
    wait_idle(page)

    def marked() -> bool:
        (x, y), mark = cell(), page.locator(f"{GATE_MAP} svg.selection rect[stroke-width='2']").bounding_box()
        return mark["x"] <= x <= mark["x"] + mark["width"] and mark["y"] <= y <= mark["y"] + mark["height"]

    until(page, marked)


def test_link_restores_page_example_layer_and_token(visit):
    page = visit().open("recursion?model=versatile-6l-4m&example=sums&layer=4&token=7", "Recursion")
    expect(page.get_by_text("Sums and counting, ")).to_be_visible()
    expect(page.locator(".readout")).to_contain_text("token ‹7›")
    expect(page.locator(".readout")).to_contain_text("layer ‹4›")
    page.reload()
    expect(page.locator(".readout")).to_contain_text("token ‹7›")


@pytest.mark.parametrize(
    ("link", "sentence"),
    [
        ("?layer=99&token=9999", "There is no layer 99 here, only 0 to 5"),
        ("?layer=x&token=-3&example=none&model=../../etc", "There is no example none"),
    ],
)
def test_link_that_names_nothing_here_falls_back_and_says_so(visit, link, sentence):
    page = visit().open(link)
    expect(page.get_by_text(sentence)).to_be_visible()
    expect(page.get_by_role("option", selected=True)).to_have_count(1)
