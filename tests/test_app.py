"""Every page of the app run in-process: what it draws, that it runs the model once, that bad input is told."""

import json
import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from analysis.catalogue import spec
from analysis.compare.pair import TracePair
from analysis.explain.embedding import Embedding
from analysis.explain.near_miss import TwoPrecisions
from analysis.figures.figure_pair import FigurePair
from analysis.texts.knock_out import KnockOutStudy
from analysis.texts.sample_texts import SAMPLE_TEXTS
from analysis.words.words import word_starts
from app.pages import PAGES
from app.parts.panel import NOT_BY_WORDS
from app.parts.schematic import NAME as SCHEMATIC
from app.server import captures, models
from app.session import state
from app.texts.examples import EXAMPLES
from app.texts.glossary import GROUPS
from hooks.depth_effects import DepthEffects
from hooks.frontier_record import Frontier, GateSweep
from hooks.knock_out_trace import KnockOutTrace
from hooks.training_trace import TrainingTrace
from hooks.transplant_trace import TransplantTrace
from sample_models.registry import DEFAULT_MODEL
from tests.app_in_process import turn_to, unfolded
from tests.olmo_folders import write_olmo

MAIN = Path(__file__).parents[1] / "app" / "main.py"
PRESS = re.compile(r"(?:[Pp]ress (?:the button )?\**|\*\*(?=[^*]+\*\* runs))([A-Z]\w*(?: (?!to |above)[a-zλ]\w*)*)")
LATER = {"Compare all", "Forget my texts"}
"""Buttons that are there once the reader has brought texts."""
ON_DEMAND = (
    *(TrainingTrace, Embedding, TwoPrecisions, KnockOutTrace, KnockOutStudy),
    *(DepthEffects, Frontier, GateSweep, TracePair, FigurePair, TransplantTrace),
)
"""What figures draw only once the reader asked for it: tests/test_app_models.py, tests/test_app_umap.py,
tests/test_app_knock_outs.py, tests/test_app_forced_depth.py, tests/test_app_compare.py, and below."""


@pytest.fixture
def app():
    return AppTest.from_file(str(MAIN), default_timeout=120)


def opened(app: AppTest, view: str) -> AppTest:
    unfolded(app).run()
    if view != "overview":
        turn_to(app, view)
    assert not app.exception
    return app


def charts(app: AppTest) -> list[dict]:
    return [json.loads(element.proto.spec) for element in app.get("plotly_chart")]


def buttons_told(app: AppTest, drawn: list[dict]) -> list[str]:
    """The buttons that the sentences of a page, and those in place of its figures, tell the reader to press."""
    said = [each.value for each in (*app.caption, *app.markdown, *app.text)]
    said += [note["text"] for chart in drawn for note in chart["layout"].get("annotations", ())]
    return [told for text in said for told in PRESS.findall(text)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.url_path)
def test_page_draws_its_figures_and_says_how_to_read_them(app, page):
    opened(app, page.url_path)
    specs = [found for found in map(spec, page.figures) if found.of not in ON_DEMAND]
    specs += [spec(SCHEMATIC)] * (page is PAGES[0])  # for a visitor who has not put it away
    drawn = charts(app)
    # The picture of a list and the figures of a run are not of the catalogue: they are there before anything is traced.
    expected = len(specs) + len(page.run_figures) + (page.about == "list")
    assert len(drawn) == expected or (page.about == "run" and len(drawn) > expected)  # some show the Atlas' figures too
    # A figure that has nothing to draw says so in a sentence.
    sentences = ("Too few tokens", "The picture is drawn", "There is no other run")
    assert all(chart["data"] or chart["layout"]["annotations"][0]["text"].startswith(sentences) for chart in drawn)
    titles = [title.value for title in app.subheader]
    assert [found.title for found in specs if found.title not in titles] == []
    assert app.header[0].value == page.name
    assert page.question in [text.value for text in app.markdown]
    assert not drawn or any(caption.value.startswith("**How to read.**") for caption in app.caption)
    labels = [button.label for button in app.button]
    assert {told for told in buttons_told(app, drawn) if told not in labels} <= LATER, "a button that is named is there"


def test_model_runs_once_per_text_however_many_views_are_opened(app):
    opened(app, "validity")  # the sample texts are read once per model
    loaded = models.loaded_model(app.session_state[state.MODEL_KEY])
    lengths = []
    handle = loaded.model.model.embed_tokens.register_forward_hook(lambda _, args, __: lengths.append(args[0].shape[1]))
    app.text_area[0].set_value("A text that nobody has traced before.").run()
    next(button for button in app.button if button.label == "Trace").click().run()
    for page in PAGES:
        turn_to(app, page.url_path)
        app.session_state.token = 3
        app.run()
        assert not app.exception
    handle.remove()
    assert app.session_state.prompt.text == "A text that nobody has traced before."
    whole = len(loaded.tokenizer(app.session_state.prompt.text)["input_ids"])
    # Whole: the trace, the paths that pages share, the attention, the lens as it is. Then the lens' token alone.
    assert sorted(lengths) == [1, whole, whole, whole, whole]


def test_selection_outside_the_text_is_brought_inside(app):
    opened(app, "overview")
    app.session_state.token, app.session_state.layer = 10_000, 99
    app.run()
    trace = captures.trace_of(DEFAULT_MODEL, app.session_state.prompt.text)
    assert not app.exception
    assert (app.session_state.token, app.session_state.layer) == (trace.num_tokens - 1, trace.num_layers - 1)


def test_choosing_an_example_leaves_it_in_the_text_field(app):
    opened(app, "overview")
    app.session_state.way = "Examples"
    app.run()
    next(button for button in app.button if button.label == EXAMPLES["sums"].name).click().run()
    assert not app.exception and app.session_state.prompt == EXAMPLES["sums"]


def test_colour_follows_the_page_until_the_reader_chooses(app):
    opened(app, "difficulty")
    assert app.session_state.quantity == "Difficulty"
    turn_to(app, "experts")
    assert not app.exception
    assert app.session_state.quantity == "Experts"
    app.session_state.quantity, app.session_state.quantity_chosen = "Surprisal", True
    turn_to(app, "gate")
    assert not app.exception and app.session_state.quantity == "Surprisal"


def test_search_finds_by_routing_and_keeps_to_what_another_model_has(app, tmp_path, monkeypatch):
    write_olmo(tmp_path / "authors", kind="pt")
    monkeypatch.setenv(models.ROOTS_VARIABLE, str(tmp_path))
    opened(app, "overview")
    app.session_state.find = True
    app.run()
    app.selectbox(key="find_quantity").select("loops").run()
    app.selectbox(key="find_loops_where").select(5).run()
    app.number_input(key="find_loops_value").set_value(4).run()
    trace = captures.trace_of(DEFAULT_MODEL, app.session_state.prompt.text)
    expected = f"{(trace.loops[5] == 4).sum()} of {trace.num_tokens} tokens match."
    assert expected in [caption.value for caption in app.caption]
    turn_to(app, "gate")
    app.session_state.find = True
    app.run()
    assert expected in [caption.value for caption in app.caption], "another page, the same search"
    app.sidebar.selectbox[0].select("authors").run()
    assert not app.exception and app.selectbox(key="find_loops_where").value == "any"
    next(button for button in app.button if button.label == "Clear").click().run()
    assert not app.exception and "No search yet." in [caption.value for caption in app.caption]


@pytest.mark.parametrize("view", ["difficulty", "recursion", "experts"])
def test_by_words_maps_of_means_merge_their_columns_and_experts_do_not(app, view):
    app.session_state.level = "word"
    opened(app, view)
    trace = captures.trace_of(DEFAULT_MODEL, app.session_state.prompt.text)
    words = len(word_starts(trace))
    columns = charts(app)[0]["data"][0]["z"]["shape"].split(",")[1]
    assert words < trace.num_tokens and int(columns) == (trace.num_tokens if view == "experts" else words)
    assert ("Words, highest difficulty first" in [title.value for title in app.subheader]) == (view == "difficulty")


@pytest.mark.parametrize(
    ("view", "figures"),
    [
        ("gate", ["Each dot"]),
        ("experts", ["Each row is", "Each cell"]),
        ("cost", ["Each cell"]),
        ("recursion", []),
    ],
)
def test_figures_that_do_not_merge_words_say_so_while_the_reader_looks_by_words(app, view, figures):
    opened(app, view)
    assert not any(NOT_BY_WORDS in caption.value for caption in app.caption)
    app.session_state.level = "word"
    app.run()
    told = [caption.value for caption in app.caption if caption.value.endswith(NOT_BY_WORDS)]
    assert [
        text.removeprefix("**How to read.** ")[: len(begin)] for text, begin in zip(told, figures, strict=True)
    ] == figures


def test_glossary_opens_from_every_page(app):
    opened(app, "gate")
    next(button for button in app.button if button.label == "Glossary").click().run()
    assert not app.exception and [title.value for title in app.subheader][-3:] == list(GROUPS)


def test_half_precision_is_traced_on_demand_and_only_for_this_text(app):
    opened(app, "near_misses")
    drawn = len(charts(app))
    next(button for button in app.button if button.label == "Trace in bfloat16").click().run()
    assert not app.exception
    assert len(charts(app)) == drawn + 1
    assert any(caption.value == spec("precision_map").how_to_read for caption in app.caption)
    assert any("In bfloat16 the number of loops changed for " in caption.value for caption in app.caption)
    app.session_state.prompt = EXAMPLES["echo"]
    app.run()
    assert not app.exception and len(charts(app)) == drawn


def test_time_is_measured_on_demand_and_only_for_this_text(app):
    opened(app, "cost")
    assert not app.dataframe
    next(button for button in app.button if button.label == "Measure").click().run()
    assert not app.exception
    table = app.dataframe[0].value.set_index("run")
    assert table.loc["one pass for all", "measured"] == 1 and (table["milliseconds"] > 0).all()
    app.session_state.prompt = EXAMPLES["echo"]
    app.run()
    assert not app.exception and not app.dataframe


def test_pages_over_several_texts_say_how_many_and_why_not_one(app):
    opened(app, "what_decides")
    told = next(caption.value for caption in app.caption if caption.value.startswith("The numbers come from "))
    assert f"{len(SAMPLE_TEXTS)} sample texts" in told and "so texts are the unit" in told
