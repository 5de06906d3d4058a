"""The rows of `app.pages`: they fit the catalogue, and a row is all that a page takes beside its figures."""

import re
from pathlib import Path

import pytest

from analysis.catalogue import CATALOGUE, spec
from analysis.export.files import Export, export_files, finished_figure
from analysis.texts.study import Study
from analysis.view import View
from analysis.words.strip import QUANTITIES
from app.frame.tour import STEPS
from app.pages import PAGES
from app.texts.glossary import explained
from tests.capture_results import result_of
from tests.traces import random_trace

ROOT = Path(__file__).parents[1]
SOURCES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for room in ("hooks", "analysis", "app")
    for path in (ROOT / room).rglob("*")
    if path.suffix in (".py", ".js", ".css")
}


def test_every_figure_of_the_catalogue_stands_on_exactly_one_page():
    assert sorted(name for page in PAGES for name in page.figures) == sorted(found.name for found in CATALOGUE)


def test_pages_have_names_and_addresses_of_their_own():
    assert len({page.name for page in PAGES}) == len({page.url_path for page in PAGES}) == len(PAGES)


def test_addresses_that_people_may_have_kept_lead_to_their_pages():
    assert [page.url_path for page in PAGES] == [
        *("overview", "difficulty", "gate", "experts", "recursion", "walkthrough", "write_ledger", "recursion_lens"),
        *("geometry", "attention", "near_misses", "cost", "what_decides", "validity"),
        *("what_if", "forced_depth", "expert_knock_outs", "compare", "generate"),
        *("models", "prompts", "atlas", "expert_cards", "token_map"),
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.url_path)
def test_page_asks_explains_and_colours(page):
    assert page.question.endswith("?")
    assert explained(*page.terms)
    assert page.colour_by in QUANTITIES
    assert (page.about == "study") == any(spec(name).of is Study for name in page.figures)


@pytest.mark.parametrize("page", [page for page in PAGES if page.figures], ids=lambda page: page.url_path)
def test_every_figure_of_a_page_leaves_the_app_with_its_data_and_its_words(page):
    trace, view = random_trace(layers=3, tokens=9), View(layer=1, token=4)
    for found in map(spec, page.figures):
        drawn = result_of(found.of, trace)
        export = Export(trace, view, (drawn,), figures=(found,))
        files = dict(export_files(export, ["csv", "json"]))
        assert len(files[f"{found.name}.csv"].splitlines()) > 1
        assert found.how_to_read.split()[0] in files[f"{found.name}.json"].decode("utf-8")
        figure = finished_figure(found, drawn, view)
        assert figure.layout.title.text == found.title
        assert figure.data or figure.layout.meta["sentence"]


def test_steps_of_the_tour_lead_to_pages():
    assert {step.page for step in STEPS} <= {page.name for page in PAGES}


COMPOSED = {
    **dict.fromkeys(("loop_map", "gate_map", "expert_map"), {"models/training", "what_if", "compare"}),
    "difficulty_map": {"compare"},
    "compare_experts": {"compare_beside"},
}
"""Figures that the maps of a training step, of interventions and of two traces are made of -> the files of these."""


@pytest.mark.parametrize("found", CATALOGUE, ids=lambda found: found.name)
def test_a_figure_is_known_to_its_file_its_export_and_its_page_alone(found):
    """With its numbers and new terms of the glossary, adding a page with one figure so touches at most five places."""
    drawing, name = re.compile(rf"\b{found.figure.__name__}\b"), re.compile(rf"""["']{found.name}["']""")
    drawn = {path for path, source in SOURCES.items() if drawing.search(source)}
    composed = {f"analysis/figures/{file}.py" for file in COMPOSED.get(found.name, ())}
    home = found.figure.__module__.replace(".", "/") + ".py"
    assert drawn - composed == {home, "analysis/figures/__init__.py"}
    named = {path for path, source in SOURCES.items() if path.startswith("app/") and name.search(source)}
    assert "app/pages.py" in named and len(named) <= 2
    assert all(path.startswith(("app/views/", "app/parts/")) for path in named - {"app/pages.py"})
