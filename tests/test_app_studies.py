"""Pages over several texts, run in-process: the choice of the texts, what is told of them, what is kept for whom."""

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from analysis.catalogue import spec
from analysis.export.snippet import snippet
from analysis.models.faithfulness import digest_of_texts, provenance
from analysis.runs.filters import TokenFilter
from analysis.runs.run import Run
from analysis.texts.sample_texts import SAMPLE_TEXTS
from analysis.texts.study import study
from analysis.view import DEFAULT_VIEW
from app.server import captures, models, runs, sample_studies
from app.session import run_choice, run_study, state, text_study
from app.texts.prompt_files import PromptList
from app.texts.prompts import Prompt
from tests.app_in_process import turn_to, unfolded
from tests.runs import make_run, read_traces

MAIN = Path(__file__).parents[1] / "app" / "main.py"
TEXTS = ["The fox ran to the river.", "7 + 5 = 12", "A boat lay there.", "She said no.", "Then it was night."]


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """Chance from few draws: what is tested here does not hang on it. What comes of them is not left to other tests."""
    for module in (text_study, run_study):
        monkeypatch.setattr(module, "study", lambda texts, **named: study(texts, draws=9, **named))
    known: dict = {}
    monkeypatch.setattr(sample_studies, "sample_studies", lambda: known)


def opened(*texts: str, view: str = "validity") -> AppTest:
    """A visitor on a page over several texts who has chosen the own list: these texts, or none."""
    app = unfolded(AppTest.from_file(str(MAIN), default_timeout=120)).run()
    if texts:
        bring(app, *texts)
    app.session_state[f"reading-{text_study.SAMPLE}"] = False  # as the button Stop does
    turn_to(app, view)
    return choose(app, text_study.OWN)


def choose(app: AppTest, texts: str) -> AppTest:
    app.segmented_control(key=text_study.CHOICE_KEY).select(texts).run()
    assert not app.exception
    return app


def bring(app: AppTest, *texts: str) -> None:
    app.session_state.prompt_list = PromptList("mine.csv", [Prompt(f"p{i}", t) for i, t in enumerate(texts)], [], [])


def read(app: AppTest) -> AppTest:
    next(button for button in app.button if button.label == "Trace these texts").click().run()
    assert not app.exception
    return app


def captions(app: AppTest) -> str:
    return "\n".join(caption.value for caption in app.caption).replace("\\", "")


def notes(app: AppTest) -> list[str]:
    """Every text that stands in a chart of the page."""
    specs = [json.loads(element.proto.spec) for element in app.get("plotly_chart")]
    return [note["text"].replace("<br>", " ") for spec in specs for note in spec["layout"]["annotations"]]


def test_without_a_list_the_page_says_how_to_bring_one_and_draws_nothing():
    app = opened()
    assert "You have no list yet." in captions(app) and not app.get("plotly_chart")
    read(choose(app, text_study.SAMPLE))
    assert len(app.get("plotly_chart")) == 3


@pytest.mark.parametrize("view", ["what_decides", "validity"])
def test_own_list_is_read_once_asked_for_and_every_figure_counts_it(view):
    app = opened(*TEXTS, view=view)
    assert "mine.csv: 5 texts, not yet traced for this page." in captions(app)
    assert not app.get("plotly_chart")
    read(app)
    tokens = app.session_state.list_study.study.tokens
    assert f"The numbers come from 5 texts of mine.csv ({tokens:,} tokens)" in captions(app)
    assert notes(app).count(f"5 texts, {tokens} tokens") == 3
    assert "the 95% intervals come from leaving out one text at a time" in captions(app).lower()


def test_other_page_finds_the_study_made_and_runs_no_model():
    app = read(opened(*TEXTS))
    calls = []
    model = models.loaded_model(app.session_state[state.MODEL_KEY]).model
    handle = model.register_forward_hook(lambda *_: calls.append(1))
    turn_to(app, "gate")
    assert app.session_state[text_study.CHOICE_KEY] == text_study.OWN, "an export made here holds the own study too"
    turn_to(app, "what_decides")
    handle.remove()
    assert not app.exception and not calls
    assert "of mine.csv" in captions(app) and len(app.get("plotly_chart")) == 3


@pytest.mark.parametrize("view", ["what_decides", "validity"])
@pytest.mark.parametrize(
    ("count", "why"), [(1, "A single text allows no interval"), (4, "Fewer than 5 texts allow no")]
)
def test_too_few_texts_are_drawn_without_intervals_and_the_reason_is_told(view, count, why):
    app = read(opened(*TEXTS[:count], view=view))
    assert why in captions(app)
    if view == "validity":
        assert sum("fewer than 5 texts: no interval, no p" in note for note in notes(app)) == 3
        study = app.session_state.list_study.study
        for kind in ("soft", "hard"):
            for table in (study.difficulty_validity[kind], study.difficulty_by_class[kind]):
                assert table[["low", "high"]].isna().all(axis=None)
    else:
        assert any("needs at least two texts" in note for note in notes(app)) == (count == 1)


def test_texts_that_cannot_be_read_and_texts_given_twice_are_left_out_and_told(monkeypatch):
    monkeypatch.setattr(text_study, "MOST_TOKENS", 40)
    app = read(opened("🙂" * 5_000, *TEXTS[:2], TEXTS[0], "The fox ran to the river and came back home. " * 3))
    told = captions(app)
    assert "Repeated texts count once, which leaves out 1 text." in told
    assert "This model cannot read 1 of the texts. The first problem: The text has " in told
    assert "A study reads at most 40 tokens, which leaves out 1 text at the end." in told
    assert app.session_state.list_study.study.read == tuple(TEXTS[:2])


def test_list_of_which_nothing_can_be_read_says_so():
    app = read(opened("🙂" * 5_000))
    assert not app.get("plotly_chart")
    assert captions(app).count("This model can read none of the texts of your list.") == 3


def test_another_list_is_another_study():
    app = read(opened(*TEXTS))
    bring(app, *TEXTS[1:])
    app.run()
    assert not app.get("plotly_chart") and "mine.csv: 4 texts, not yet traced" in captions(app)
    read(app)
    assert app.session_state.list_study.study.read == tuple(TEXTS[1:])


def stopping_after(batches: int, monkeypatch) -> list:
    """Texts that are traced, a batch at a time; after so many batches the reader stops once."""
    asked, traces_of = [], captures.traces_of

    def traced(model, texts):
        if len(asked) == batches:
            text_study.start_reading(False)  # as the button does
            asked.append("stop")
            text_study.st.rerun()
        asked.append(texts)
        return traces_of(model, texts)

    monkeypatch.setattr(captures, "traces_of", traced)
    return asked


def test_reading_that_was_stopped_goes_on_where_it_was(monkeypatch):
    app = opened(*TEXTS)
    monkeypatch.setattr(text_study, "prompt_batch", lambda texts: list(texts[:2]))
    asked = stopping_after(1, monkeypatch)
    read(app)
    assert asked == [TEXTS[:2], "stop"] and not app.get("plotly_chart")
    read(app)
    assert asked[2:] == [TEXTS[2:4], TEXTS[4:]] and app.session_state.list_study.study.read == tuple(TEXTS)


def test_sample_texts_are_read_at_once_and_the_reader_may_stop(monkeypatch):
    app = unfolded(AppTest.from_file(str(MAIN), default_timeout=120)).run()
    asked = stopping_after(2, monkeypatch)
    turn_to(app, "validity")
    assert not app.exception and not app.get("plotly_chart") and asked[2:] == ["stop"]
    assert f"sample texts: {len(SAMPLE_TEXTS)} texts, not yet traced" in captions(app)
    read(app)
    assert len(app.get("plotly_chart")) == 3
    assert [text for batch in asked if batch != "stop" for text in batch] == list(SAMPLE_TEXTS), "each was read once"


def test_sample_texts_are_read_once_for_all_visitors(monkeypatch):
    first = unfolded(AppTest.from_file(str(MAIN), default_timeout=120)).run()
    turn_to(first, "validity")
    monkeypatch.setattr(captures, "traces_of", None)  # nobody may ask for it again
    other = unfolded(AppTest.from_file(str(MAIN), default_timeout=120)).run()
    turn_to(other, "what_decides")
    assert not other.exception and len(other.get("plotly_chart")) == 3


def test_what_one_visitor_studies_is_not_there_for_another():
    one, other = read(opened(*TEXTS)), opened()
    assert "of mine.csv" in captions(one)
    assert "You have no list yet." in captions(other) and "mine.csv" not in captions(other)
    bring(other, *TEXTS)
    other.run()
    assert "not yet traced for this page" in captions(other), "the same texts, but not this visitor's study"


def test_export_of_an_own_study_holds_its_texts():
    app = read(opened(*TEXTS, view="what_decides"))
    next(button for button in app.button if button.label == "Export").click().run()
    assert not app.exception
    assert "Texts" in {each.proto.label for each in app.get("download_button")}


def line(app: AppTest) -> str:
    """Where the page's numbers come from, as the line under it says."""
    return next(text for text in captions(app).split("\n") if text.startswith("Model ") and ", weights " in text)


@pytest.mark.parametrize("view", ["what_decides", "validity"])
def test_line_under_a_page_names_the_texts_of_the_study_and_not_the_text_above(view):
    app = opened(*TEXTS, view=view)
    above = digest_of_texts([app.session_state.prompt.text])[:12], provenance(state_trace(app))["text"][:12]
    assert line(app).endswith(", no texts have been traced for this page")
    read(app)
    assert line(app).endswith(f", float32, 5 texts of “mine.csv”, digest {digest_of_texts(TEXTS)[:12]}")
    assert not any(digest in line(app) for digest in above)
    app.session_state["faithfulness"] = True
    app.run()
    assert "These measurements are about the text above, not about the texts studied on this page." in captions(app)
    assert f"**Text above** {provenance(state_trace(app))['text']}" in captions(app)


def test_line_under_the_prompts_names_their_list():
    app = opened(*TEXTS)
    turn_to(app, "prompts")
    assert line(app).endswith(f"5 texts of “mine.csv”, digest {digest_of_texts(TEXTS)[:12]}")


def test_line_under_other_pages_names_the_text_above():
    app = opened(*TEXTS)
    turn_to(app, "gate")
    assert line(app).endswith(f", text {provenance(state_trace(app))['text'][:12]}")


def state_trace(app: AppTest):
    return captures.trace_of(app.session_state[state.MODEL_KEY], app.session_state.prompt.text)


@pytest.fixture
def a_run(tmp_path, monkeypatch):
    """A server that offers a run of random texts of two sources."""
    make_run(tmp_path / "night", read_traces(12)).close()
    monkeypatch.setenv(runs.RUNS_VARIABLE, str(tmp_path / "night"))
    known: dict = {}
    monkeypatch.setattr(sample_studies, "run_studies", lambda: known)
    return tmp_path / "night"


def study_run(app: AppTest) -> AppTest:
    next(button for button in app.button if button.label == "Study this run").click().run()
    assert not app.exception
    return app


@pytest.mark.parametrize("view", ["what_decides", "validity"])
def test_the_run_of_the_atlas_is_studied_once_asked_for_and_tells_what_it_lacks(a_run, view):
    app = choose(opened(view=view), text_study.RUN)
    assert "The run “night” of the page Atlas" in captions(app) and not app.get("plotly_chart")
    study_run(app)
    told = captions(app)
    assert "The numbers come from 12 texts of the run “night” (" in told
    assert "A run keeps no entropy of the predictions" in told
    assert len(app.get("plotly_chart")) == 3
    assert any(note.startswith("12 texts, ") for note in notes(app))
    assert "Model tiny, weights 0123456789ab, 12 texts of the run “night”" in told, "not the model chosen for the text"


def test_a_study_of_a_run_obeys_sources_says_so_and_is_made_anew_for_another_filter(a_run):
    app = choose(opened(), text_study.RUN)
    app.session_state[run_choice.FILTER] = TokenFilter(sources=("code.txt",), loops=(2,))
    study_run(app.run())
    assert "The numbers come from 6 texts of the run" in captions(app)
    assert "it follows only the sources and columns" in captions(app)
    app.session_state[run_choice.FILTER] = TokenFilter(sources=("nothing.txt",))
    study_run(app.run())
    assert "The filter of the run leaves no text." in captions(app) and not app.get("plotly_chart")


def test_the_code_of_a_study_of_a_run_opens_the_run(a_run, monkeypatch):
    with Run(a_run) as run:
        found = study(run.texts(TokenFilter(sources=("code.txt",)), most_tokens=60), draws=9, name="night")
    code = snippet(spec("validity_by_layer"), found, DEFAULT_VIEW)
    assert "load_model" not in code and "most_tokens=60" in code
    monkeypatch.chdir(a_run.parent)
    exec(compile(code, "snippet", "exec"), {})
    assert (a_run.parent / "validity_by_layer.html").exists()
