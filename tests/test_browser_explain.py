"""Pages of the group Explain in a real browser: what they draw, what a click does to it, and how it leaves."""

import re
from functools import cache, partial
from pathlib import Path

import plotly.graph_objects as go
import pytest
from playwright.sync_api import expect

import sample_models
from analysis.catalogue import FigureSpec, spec
from analysis.explain.embedding import Embedding
from analysis.explain.near_miss import TwoPrecisions
from analysis.export.tables import read_csv
from analysis.texts import study as studies
from app.pages import PAGES
from hooks.depth_effects import DepthEffects
from hooks.frontier_record import Frontier, GateSweep
from tests.app_server import until, wait_idle
from tests.visit import Visit

pytestmark = pytest.mark.browser
ON_DEMAND = (Embedding, TwoPrecisions, DepthEffects, Frontier, GateSweep)
"""Drawn once the reader asked for it: tests/test_app_umap.py, tests/test_app.py."""
TOKEN, LAYER = 30, 2
SHOWN = """at => { const figure = document.querySelector(at);
    return figure && JSON.stringify([figure.data, figure.layout.annotations, figure.layout.xaxis]); }"""


@pytest.fixture(scope="module")
def drawn_by(tmp_path_factory):
    """Runs a snippet in an empty folder; the figure that it made, from few draws of chance."""
    load = cache(sample_models.load_model)

    def run(code: str) -> go.Figure:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path_factory.mktemp("snippet"))
            patch.setattr(sample_models, "load_model", load)
            patch.setattr(studies, "study", partial(studies.study, draws=9))
            # The real one writes five megabytes of plotly.js.
            patch.setattr(go.Figure, "write_html", lambda figure, file: Path(file).write_text(figure.to_json()))
            names: dict = {}
            exec(compile(code, "snippet", "exec"), names)
        return names["figure"]

    return run


@pytest.mark.parametrize("row", [row for row in PAGES if row.group == "Explain"], ids=lambda row: row.url_path)
def test_page_is_drawn_says_how_to_read_it_follows_clicks_and_leaves_the_app(visit, row, drawn_by, tmp_path):
    here = visit()
    page = here.open(f"{row.url_path}?layer={LAYER}&token={TOKEN}", row.name)
    here.unfold()
    specs = [found for found in map(spec, row.figures) if found.of not in ON_DEMAND]
    for found in specs:
        page.locator(f"{drawing(found)} .main-svg").first.wait_for()
    wait_idle(page)
    for found in specs:
        page.wait_for_function("at => document.querySelector(at).data.length", arg=drawing(found))
        expect(page.get_by_role("heading", name=found.title)).to_be_visible()
    expect(page.get_by_text("How to read.").first).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)
    follows_the_selection(here, specs)
    if row.name == "Walkthrough":
        expect(page.get_by_text(f"Token {TOKEN - 7} “")).to_contain_text(f"enters layer {LAYER + 1} ")
    follows_its_choices(here, specs)
    expect(page.get_by_test_id("stAlert")).to_have_count(0)
    data_and_code_are_those_of_the_figure(here, specs[0], drawn_by, tmp_path)


def drawing(spec: FigureSpec) -> str:
    return f".st-key-figure-{spec.name} .js-plotly-plot"


def changed(here: Visit, spec: FigureSpec, before: str) -> None:
    here.page.wait_for_function(f"([at, before]) => ({SHOWN})(at) !== before", arg=[drawing(spec), before])


def follows_the_selection(here: Visit, specs: list[FigureSpec]) -> None:
    before = [here.page.evaluate(SHOWN, drawing(spec)) for spec in specs]
    here.tokens().nth(TOKEN - 7).click()
    expect(here.page.locator(".readout")).to_contain_text(f"token ‹{TOKEN - 7}›")
    here.page.get_by_role("button", name="next layer").click()
    expect(here.page.locator(".readout")).to_contain_text(f"layer ‹{LAYER + 1}›")
    for found, shown in zip(specs, before, strict=True):
        if found.follows:
            changed(here, found, shown)
    wait_idle(here.page)


def follows_its_choices(here: Visit, specs: list[FigureSpec]) -> None:
    """Take the last of every choice: the figure with its control follows, and so do those that share it."""
    for name in dict.fromkeys(each.choice.set_at or each.name for each in specs if each.choice):
        sharing = [each for each in specs if each.choice and name in (each.name, each.choice.set_at)]
        before = [here.page.evaluate(SHOWN, drawing(each)) for each in sharing]
        control = here.page.get_by_role("radiogroup", name=spec(name).choice.name)
        expect(control).to_have_count(1)
        control.get_by_role("radio").last.click()
        for each, shown in zip(sharing, before, strict=True):
            changed(here, each, shown)
    wait_idle(here.page)


def but_rounding(note: str) -> str:
    """A note without its residual: the page follows the shipped trace of the example, the code traces the text anew."""
    return re.sub(r"\d(\.\d)?e−0\d", "rounding", note)


def data_and_code_are_those_of_the_figure(here: Visit, spec: FigureSpec, drawn_by, folder: Path) -> None:
    page = here.page

    def download(button, file: str) -> Path:
        with page.expect_download() as waiting:
            button.click()
        waiting.value.save_as(folder / file)
        return folder / file

    page.locator(f".st-key-{spec.name}-behind button").click()
    table = read_csv(download(page.get_by_role("button", name="Download CSV"), "behind.csv"))
    made = drawn_by(page.get_by_test_id("stPopoverBody").locator("pre code").text_content())
    notes = [note.text for note in made.layout.annotations]
    shown = "figure => figure.layout.annotations.map(note => note.text)"
    assert notes
    until(
        page, lambda: [*map(but_rounding, page.locator(drawing(spec)).evaluate(shown))] == [*map(but_rounding, notes)]
    )
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Export").click()
    dialog = page.get_by_role("dialog")
    dialog.locator(".js-plotly-plot .main-svg").first.wait_for()
    wait_idle(page)
    assert read_csv(download(dialog.get_by_role("button", name="CSV", exact=True), "export.csv")).equals(table)
    svg = download(dialog.get_by_role("button", name="SVG", exact=True), "figure.svg").read_text("utf-8")
    assert svg.startswith("<svg") and spec.title.split("?")[0] in svg


def test_target_goes_with_the_token_unless_the_reader_named_one(visit):
    here = visit()
    page = here.open("write_ledger?example=fox&layer=2&token=30", "Write ledger")
    here.unfold()
    picker, problem = page.get_by_role("combobox", name="Token to follow"), page.get_by_test_id("stAlert")
    expect(picker).to_have_value("likeliest next token")
    name = page.locator("label").filter(has_text="Token to follow")
    before = name.inner_text()
    here.tokens().nth(20).click()
    expect(name).not_to_have_text(before)
    wait_idle(page)
    expect(picker).to_have_value("likeliest next token")
    expect(problem).to_have_count(0)
    picker.fill(" the")
    page.keyboard.press("Enter")
    figure = ".st-key-figure-logit_attribution .js-plotly-plot"
    until(page, lambda: "“␣the” against" in (page.evaluate(SHOWN, figure) or ""))  # none while it is drawn anew
    wait_idle(page)
    here.tokens().nth(25).click()
    expect(page.locator(".readout")).to_contain_text("token ‹25›")
    wait_idle(page)
    expect(picker).to_have_value("␣the")
    expect(problem).to_have_count(0)


def test_an_own_list_that_was_traced_is_read_at_once_and_that_can_be_stopped(visit):
    here = visit()
    page = here.open()
    here.type("".join(f"{'The fox ran to the river. ' * 20}{i}.\n" for i in range(40)))
    page.get_by_role("radio", name="One prompt per line").click()
    page.get_by_role("button", name="Compare all 40").click()
    page.get_by_role("heading", name="Prompts", exact=True).wait_for()
    page.get_by_text("40 of 40 prompts traced.").wait_for()
    page.get_by_role("link", name="What decides", exact=True).click()
    page.get_by_role("radio", name="Your list").click()
    page.get_by_text("comparing 40 texts with each other").wait_for()
    stop = page.get_by_role("button", name="Stop")
    expect(stop).to_have_count(1)  # of two, one would be Streamlit's own
    stop.click()
    page.get_by_role("button", name="Trace these texts").wait_for()
    wait_idle(page)
    expect(page.locator(".js-plotly-plot")).to_have_count(0)
