"""Models of other families in the app: every page that applies is drawn, the others say why they are not there."""

import json

import pytest

from analysis.catalogue import CATALOGUE
from analysis.parts import ALL, DEPTH, FIGURES, GATE, KINDS, PAGES, WIDTH, why_lacking
from app.pages import PAGES as ROWS
from app.server import models
from sample_models.adapter_families import family_of
from tests.app_in_process import captions, charts, new_app, plain_texts, press, trace_text, turn_to, unfolded
from tests.other_models import save_other

DRAWN = {
    "mixtral": {"overview": 1, "experts": 7, "recursion_lens": 3, "attention": 1, "what_if": 2, "prompts": 1},
    "llama": {"recursion_lens": 3, "attention": 1, "prompts": 1},
    "looped_llama": {**{"overview": 1, "difficulty": 3, "recursion": 5, "near_misses": 2, "what_if": 2, "prompts": 1}},
}
"""Model type -> pages with charts, and how many."""


def answered(app) -> list[str]:
    """The pieces of the answers of the page; a link is one."""
    drawn = [each.proto for each in app.get("bidi_component") if each.proto.component_name == "answer_line"]
    return [text for each in drawn for _, pieces in json.loads(each.json)["rows"] for text, _, _ in pieces]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("others")
    for kind in DRAWN:
        save_other(folder / f"tiny {kind}", kind)
    return folder


@pytest.mark.parametrize("kind", DRAWN)
def test_every_page_is_drawn_or_says_why_not(root, monkeypatch, kind):
    monkeypatch.setenv(models.ROOTS_VARIABLE, str(root))
    app = unfolded(new_app())
    app.query_params["model"] = f"tiny {kind}"
    app.run()
    parts = {"mixtral": ["width"], "llama": [], "looped_llama": ["depth"]}[kind]
    meta = {"parts": parts, "family": family_of(kind)}
    for page in ROWS:
        turn_to(app, page.url_path)
        assert not app.exception, page.name
        if page.about == "run":  # of a model of its own
            assert charts(app), page.name
            continue
        lacks = page.why_lacking(meta)
        asked = {lead.page for lead in page.leads_to if lead.is_asked(meta)}
        assert asked <= ({"Recursion"} if "depth" in parts else set()), page.name
        told = any(each.value.startswith("This ") for each in app.info)
        assert told == bool(lacks), page.name
        assert len(charts(app)) == DRAWN[kind].get(page.url_path, 0), page.name
        (export,) = (button for button in app.button if button.label == "Export")
        offered = [each for each in page.exported(meta) if not each.why_lacking(meta)]
        assert export.disabled or offered, page.name
        assert not export.disabled or page.about == "list" or not charts(app), page.name
        assert "Trace in bfloat16" not in [button.label for button in app.button], page.name
        texts = [each.value for each in (*app.markdown, *app.caption, *app.metric)]
        untrue = ["λ was 0", "?.", "“Read the state”", "the layer's FFN", "The page Validity", "up to 0."]
        assert not any(word in text for word in untrue for text in texts), page.name
        assert parts or not any("routing may mean" in text for text in texts), page.name
        answers = answered(app)
        assert "depth" in parts or not any("loop" in text for text in answers), page.name
        links = {text for text in answers if text in (each.name for each in ROWS)}
        assert not any(row.why_lacking(meta) for row in ROWS if row.name in links), page.name
        heads = [*(each.value for each in app.subheader), *(each.label for each in app.expander)]
        assert "depth" in parts or why_lacking(page.needs, meta) or not any("loop" in each for each in heads), page.name
        unsaid = ["width share", *([] if "depth" in parts else ["loops %{"])]
        assert not any(word in str(chart) for word in unsaid for chart in charts(app)), page.name
    (colours,) = (each for each in app.segmented_control if each.label == "Colour tokens by")
    decided = {"width": ["Experts"], "depth": ["Difficulty", "Loops"]}
    assert colours.options == [*(each for part in parts for each in decided[part]), "Surprisal"]


def test_what_if_decides_experts_otherwise_and_a_switch_of_models_keeps_going(root, monkeypatch):
    monkeypatch.setenv(models.ROOTS_VARIABLE, str(root))
    app = unfolded(new_app())
    app.run()
    turn_to(app, "what_if")
    app.sidebar.selectbox[0].select("tiny mixtral").run()
    assert not app.exception
    trace_text(app, "Hello there, little fox")
    (decide,) = (box for box in app.selectbox if box.label == "Decide")
    assert decide.options == ["experts", "number of experts", "without an expert", "without experts"]
    (words,) = (field for field in app.text_input if field.label == "Or in words")
    assert words.placeholder == "layer 2: experts 1 and 4"
    decide.select("without experts").run()
    press(app, "Set")
    assert any(text.startswith("no experts; layer") for text in plain_texts(app))
    press(app, "Undo")
    (decide,) = (box for box in app.selectbox if box.label == "Decide")
    decide.select("without an expert").run()
    press(app, "Set")
    assert len(charts(app)) == 2 and any("by expert" not in text for text in captions(app))
    banner = next(each.value for each in app.text if each.value.startswith("Under interventions"))
    assert "no expert 0, then repick;" in banner and "width path" not in banner
    assert "Experts and weights are what ran" in banner and "λ" not in banner
    app.sidebar.selectbox[0].select("tiny llama").run()
    assert not app.exception and any("decides nothing" in each.value for each in app.info)


def test_the_table_of_parts_names_pages_and_figures_that_exist():
    assert set(PAGES) <= {page.url_path for page in ROWS}
    of_runs = {figure.name for page in ROWS for figure in page.run_figures}
    assert set(FIGURES) <= {figure.name for figure in CATALOGUE} | of_runs
    assert set(KINDS) <= {figure.of.__name__ for figure in CATALOGUE}
    assert {*PAGES.values(), *FIGURES.values(), *KINDS.values()} <= {ALL, DEPTH, GATE, WIDTH}
    assert why_lacking(ALL, {}) is why_lacking(DEPTH, {}) is None
