"""What leaves the app, in-process: data and code under a figure, links with a text, the export dialog."""

import base64
import re
import zlib
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from analysis.catalogue import CATALOGUE, spec
from analysis.compare.pair import TracePair
from analysis.explain.embedding import Embedding
from analysis.explain.near_miss import TwoPrecisions
from analysis.export.paper import Paper
from analysis.export.snippet import TRACE_FILE, Needs, snippet, trace_file_name
from analysis.export.snippet_of_result import TEXTS_FILE
from analysis.figures.figure_pair import FigurePair
from analysis.texts.knock_out import KnockOutStudy
from app.frame import export_dialog, report_row
from app.parts import data_and_code
from app.server import sample_studies
from app.texts.examples import DEFAULT_EXAMPLE, EXAMPLES
from app.texts.prompts import PromptError
from app.texts.text_link import text_from_link, text_to_link
from hooks.depth_effects import DepthEffects
from hooks.frontier_record import Frontier, GateSweep
from hooks.knock_out_trace import KnockOutTrace
from hooks.training_trace import TrainingTrace
from hooks.transplant_trace import TransplantTrace
from tests.app_in_process import trace_text, turn_to

MAIN = Path(__file__).parents[1] / "app" / "main.py"


@pytest.fixture
def app():
    return AppTest.from_file(str(MAIN), default_timeout=120)


def test_data_and_code_are_made_only_when_they_are_opened(app, monkeypatch):
    made = []
    monkeypatch.setattr(data_and_code, "snippet", lambda *args, **named: made.append(args) or snippet(*args, **named))
    monkeypatch.setattr(data_and_code, "table_csv", lambda table: made.append(table) or b"")
    app.run()
    turn_to(app, "gate")
    assert not app.exception and not made and not app.code
    app.session_state["gate_levels-behind"] = True
    app.session_state.token = 5
    app.run()
    assert not app.exception and len(made) == 2
    found, drawn, view = made[1]
    assert (found, view.token) == (spec("gate_levels"), 5)
    assert app.code[0].value.strip() == snippet(found, drawn, view).strip()
    assert app.dataframe[-1].value.equals(found.table(drawn).head(20))


def test_code_holds_the_readers_choice(app):
    app.session_state["difficulty_map-choice"] = "hard"
    app.run()
    turn_to(app, "difficulty")
    app.session_state["difficulty_map-behind"] = True
    app.session_state["difficulty_map-choice"] = "hard"
    app.run()
    assert not app.exception and ", kind='hard')" in app.code[0].value


@pytest.mark.parametrize(
    ("needed", "said"),
    [
        (Needs(), "This code runs as it is in this project's folder, with `.venv/bin/python`."),
        (
            Needs((TRACE_FILE,)),
            "once `text.trace.safetensors` is in that folder too (download it under Export, Trace file).",
        ),
        (Needs(model="a_b"), r"once you replace the name a\_b by the path of its folder."),
        (
            Needs((TEXTS_FILE,), "x"),
            "once `texts.json` is in that folder too (download it under Export, Texts) and you replace the name x ",
        ),
    ],
)
def test_page_says_what_the_code_needs(needed, said):
    found = data_and_code._how_to_run(needed)
    assert said in found and ("runs as it is" in found) == (needed == Needs())


def test_code_of_a_long_text_names_the_file_to_export(app):
    app.session_state.typed = "The king rode out to the river. " * 70
    app.run()
    next(button for button in app.button if button.label == "Trace").click().run()
    turn_to(app, "gate")
    app.session_state["gate_levels-behind"] = True
    app.run()
    assert not app.exception and "RoutingTrace.load('The-king-rode-out.trace.safetensors')" in app.code[0].value
    assert any("once `The-king-rode-out.trace.safetensors` is in that folder too" in each.value for each in app.caption)


TEXTS = ["It's <b>$x$</b> & 100 % = 'so'?\n\t🙂 你好 مرحبا", "a", "x" * 1_500, "🙂" * 1_500]


@pytest.mark.parametrize("text", TEXTS)
def test_text_in_a_link_comes_back_as_it_was(text):
    value = text_to_link(text)
    assert re.fullmatch(r"[\w-]+", value, flags=re.ASCII) and text_from_link(value) == text


BOMB = base64.urlsafe_b64encode(zlib.compress(b"x" * 10**7)).decode()
DAMAGED = ["%%%", "abc", "a" * 20_000, text_to_link("A fox ran.")[:-4], BOMB, "é"]
DAMAGED += [base64.urlsafe_b64encode(zlib.compress(each)).decode() for each in (b"\xff\xfe", b"x" * 1_501)]


@pytest.mark.parametrize("value", DAMAGED, ids=range(len(DAMAGED)))
def test_damaged_text_of_a_link_is_told_in_one_sentence(value):
    with pytest.raises(PromptError, match="The text in this link is damaged"):
        text_from_link(value)


def test_link_with_a_text_opens_it_and_keeps_it_in_the_address_until_another_text_is_shown(app):
    value = text_to_link("The fox ran home.")
    app.query_params["text"], app.query_params["token"] = value, "2"
    app.run()
    assert not app.exception and app.session_state.prompt.text == "The fox ran home."
    assert app.session_state.token == 2 and app.session_state.link_written["text"] == value
    app.run()
    assert app.query_params["text"] == value and app.query_params["token"] == "2"
    trace_text(app, "Another text.")
    assert "text" not in app.query_params and app.query_params["own"] == "1"


@pytest.mark.parametrize(
    ("value", "why"),
    [("%%%", "The text in this link is damaged"), (text_to_link("🙂" * 1_500), " tokens; the limit is 4,096.")],
    ids=["damaged", "too many tokens"],
)
def test_link_with_a_text_that_cannot_be_shown_opens_the_example_and_says_why(app, value, why):
    app.query_params["text"] = value
    app.run()
    assert not app.exception and app.session_state.prompt.example == DEFAULT_EXAMPLE
    assert [each.value for each in app.text if why in each.value] != []


def test_without_a_browser_pdf_is_greyed_with_the_reason_and_all_else_is_there(app, monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", "/nowhere")
    app.run()
    turn_to(app, "gate")
    next(button for button in app.button if button.label == "Export").click().run()
    assert not app.exception
    pdf = next(button for button in app.button if button.label == "Make PDF")
    assert pdf.disabled and "none was found on this machine" in pdf.help
    labels = {each.proto.label for each in app.get("download_button")}
    assert labels >= {"HTML", "CSV", "Parquet", "JSON", "Trace file", "Routing table"}
    assert any("no Chrome or Chromium" in each.value for each in app.caption)
    assert "Report of the text (HTML)" in labels
    pdf = next(button for button in app.button if button.label == "Make report (PDF)")
    assert pdf.disabled and "any browser prints it" in pdf.help


def the_report():
    """A script with the row of the export dialog for the report."""
    from app.frame.report_row import report_row
    from app.pages import PAGES
    from app.session import link, state

    link.begin_session()
    state.clamp_selection()
    report_row(next(page for page in PAGES if page.name == "Gate"))


def test_the_report_takes_the_choices_of_the_reader_and_is_made_again_when_they_change(monkeypatch):
    made = []
    monkeypatch.setattr(report_row, "browser_path", lambda: "/somewhere")
    monkeypatch.setattr(report_row, "report_of", lambda drawn, view, **how: made.append((view, how)))
    monkeypatch.setattr(report_row, "pdf", lambda report: b"x" * 1_200_000)
    app = AppTest.from_function(the_report, default_timeout=120)
    app.session_state["difficulty_map-choice"] = "hard"
    app.session_state["quantity"], app.session_state["scope"] = "Loops", "layer"
    app.run()
    assert not app.exception and not made, "nothing is made before a click"
    app.button[0].click().run()
    name = EXAMPLES[DEFAULT_EXAMPLE].name
    ((view, how),) = made
    assert how == {
        "name": name,
        "options": {"difficulty_map": {"kind": "hard"}},
        "colour_by": "Loops",
        "of_layer": True,
    }
    assert [each.proto.label for each in app.get("download_button")][1:] == ["Download report (PDF, 1.2 MB)"]
    app.session_state.layer = view.layer + 1
    app.run()
    assert len(app.get("download_button")) == 1, "what was made is of another layer"


def for_a_paper():
    """A script with the part of the export dialog that makes pictures for papers, of one figure."""
    from analysis.catalogue import spec
    from app.frame import export_dialog
    from app.session import link, state

    link.begin_session()
    state.clamp_selection()
    export_dialog._for_a_paper(spec("gate_map"), {})


def test_picture_for_a_paper_has_the_width_and_the_format_that_the_reader_chooses(monkeypatch):
    made = []
    monkeypatch.setattr(export_dialog, "browser_path", lambda: "/somewhere")
    monkeypatch.setattr(export_dialog, "_picture", lambda export, *what: made.append((export.paper, *what)) or b"x")
    app = AppTest.from_function(for_a_paper, default_timeout=120).run()
    (width,) = app.number_input
    assert (width.value, width.min, width.max, width.step) == (85, 60, 300, 5)
    app.button[0].click().run()
    app.number_input[0].set_value(120).run()
    for format in ("svg", "png"):
        next(each for each in app.selectbox if each.label == "Format").select(format).run()
        assert not app.get("download_button"), "what was made has another format"
        assert app.button[0].label == f"Make {format.upper()}"
        app.button[0].click().run()
        labels = [each.proto.label for each in app.get("download_button")]
        assert not app.exception and labels == [f"Download {format.upper()}", "Download caption"]
        assert not app.button, "the download stands in place of the button"
    app.toggle[0].set_value(True).run()
    assert not app.get("download_button"), "what was made does not mark the selection"
    app.button[0].click().run()
    gate, plain = spec("gate_map"), {"selection": False}
    papers = [(85.0, "pdf", plain), (120.0, "svg", plain), (120.0, "png", plain), (120.0, "png", {})]
    assert made == [(Paper(width, **marks), gate, format) for width, format, marks in papers]


def test_dialog_says_from_which_width_on_all_tokens_are_named():
    app = AppTest.from_function(for_a_paper, default_timeout=120).run()  # 75 tokens
    (told,) = [each.value for each in app.caption if each.value.startswith("At ")]
    least = int(
        re.fullmatch(r"At 85 mm one token in 3 has its name; from (\d+) mm on there is room for all names.", told)[1]
    )
    for width, some_are_not in ((least, False), (least - 5, True)):
        app.number_input[0].set_value(width).run()
        told = [each.value for each in app.caption if each.value.startswith("At ")]
        assert not app.exception and bool(told) == some_are_not


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ("prompts", "No figure of this page is drawn yet. Trace the list to draw this."),
        ("validity", "No figure of this page is drawn yet. Press"),
    ],
)
def test_export_that_is_greyed_says_why(app, monkeypatch, page, why):
    monkeypatch.setattr(sample_studies, "sample_studies", dict)  # no visitor before had the samples studied
    app.session_state["reading-sample"] = False  # as the button Stop does
    app.run()
    turn_to(app, page)
    export = next(button for button in app.button if button.label == "Export")
    assert not app.exception and export.disabled and export.help.startswith(why)


NAMES = {
    "The fox and the lamp": "The-fox-and-the-lamp.trace.safetensors",
    "../../etc/passwd": "etc-passwd.trace.safetensors",
    "<b>=1+1</b>\u202e": "b-1-1-b.trace.safetensors",
    "你好 🙂": "你好.trace.safetensors",
    "CON": "text-CON.trace.safetensors",
    "🙂 …": TRACE_FILE,
    "": TRACE_FILE,
}


@pytest.mark.parametrize(("prompt", "file"), NAMES.items())
def test_trace_file_is_named_after_its_text_and_safely(prompt, file):
    assert trace_file_name(prompt) == file
    assert len(trace_file_name(prompt * 100)) < 100


def everything():
    """A script with the part of the export dialog that makes the zip: AppTest closes a dialog at every click."""
    from app.frame import export_dialog
    from app.session import link, state

    link.begin_session()
    state.clamp_selection()
    export_dialog._everything(export_dialog._paper_choices("gate_map"))


def test_everything_is_made_of_all_that_this_text_can_show(monkeypatch):
    made = []
    monkeypatch.setattr(export_dialog, "bundle", lambda export, **told: made.append((export, told)) or b"zip")
    app = AppTest.from_function(everything, default_timeout=120).run()
    assert not app.get("download_button")
    app.number_input[0].set_value(120).run()
    next(each for each in app.selectbox if each.label == "Format").select("png").run()
    next(each for each in app.button if each.label == "Make everything (zip)").click().run()
    assert not app.exception
    ((export, told),) = made
    assert export.paper == Paper(120.0, selection=False), "what was chosen for a paper counts here too"
    assert told["picture_formats"] == ("svg", "pdf", "png")
    # This model kept nothing of its training, and nobody asked for a map by UMAP, another precision or a
    # comparison.
    kept = tuple(
        each
        for each in CATALOGUE
        if each.of
        not in (
            *(TrainingTrace, Embedding, TwoPrecisions, KnockOutTrace, KnockOutStudy),
            *(DepthEffects, Frontier, GateSweep, TracePair, FigurePair, TransplantTrace),
        )
    )
    assert export.specs == kept and told["prompt"] == app.session_state.prompt.name and told["shipped"]
    assert [each.proto.label for each in app.get("download_button")] == ["Download everything"]
