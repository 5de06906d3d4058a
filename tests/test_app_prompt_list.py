"""The page of a list of prompts, run in-process: what it traces, shows, keeps and gives away."""

import base64
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from analysis.texts.summary import PromptSummary
from app.parts.data_and_code import table_height
from app.server import captures
from app.session import prompt_list, state, text_study
from app.texts.examples import EXAMPLES
from app.texts.prompt_files import PromptList
from app.texts.prompts import Prompt
from app.views import prompts as prompts_view
from tests.app_in_process import new_app, press, turn_to


@pytest.fixture
def app():
    return new_app()


def of_key(elements, key: str):
    return next(element for element in elements if element.key == key)


def opened(app: AppTest, way: str) -> AppTest:
    app.session_state.way = way
    app.run()
    assert not app.exception
    return app


def list_page(app: AppTest, *texts: str, **others: list[str]) -> AppTest:
    """The Prompts page with these texts as its list, and `others` as the other columns of their file."""
    app.run()
    prompts = [Prompt(f"p{i}", text) for i, text in enumerate(texts)]
    app.session_state.prompt_list = PromptList("mine.txt", prompts, [], [], None, others)
    turn_to(app, "prompts")
    assert not app.exception
    return app


def known(app: AppTest) -> int:
    return int(app.dataframe[0].value["tokens"].notna().sum())


def test_examples_are_the_list_until_the_reader_brings_one(app):
    app.run()
    turn_to(app, "prompts")
    assert app.dataframe[0].value["name"].tolist() == [prompt.name for prompt in EXAMPLES.values()]
    assert app.dataframe[0].value["tokens"].isna().all(), "nothing runs before it is asked for"
    assert any(each.value.startswith("The examples: 11 prompts.") for each in app.caption), (
        "how many are traced is said once, above"
    )


def test_a_number_that_is_not_known_is_a_dash_as_in_every_column_and_bars_come_with_the_last(app):
    def kinds() -> list[str]:
        columns = json.loads(app.dataframe[0].proto.columns)
        return [columns[name]["type_config"]["type"] for name in ("difficulty", "gate", "loss")]

    list_page(app, "The fox ran.", "The hen sat down.")
    assert kinds() == ["number"] * 3
    press(app, "Trace all")
    while app.session_state.tracing_list:
        app.run()
    assert known(app) == 2 and kinds() == ["progress", "progress", "number"]


def test_pasted_list_goes_to_the_table_of_prompts(app):
    opened(app, "Type")
    app.text_area[0].set_value("The first line.\nThe second one.").run()
    app.session_state.pasted_per = "line"
    app.run()
    of_key(app.button, "compare-typed").click().run()
    assert not app.exception
    assert [prompt.text for prompt in state_list(app)] == ["The first line.", "The second one."]
    assert known(app) == 2, "one button brings the list and traces it"


def state_list(app: AppTest) -> list[Prompt]:
    return app.session_state.prompt_list.prompts


def test_list_is_traced_in_batches_can_be_stopped_and_goes_on_where_it_was(app, monkeypatch):
    monkeypatch.setattr(prompt_list, "BATCH_PROMPTS", 2)
    list_page(app, *(f"Prompt number {i}." for i in range(5)))
    assert known(app) == 0
    next(button for button in app.button if button.label == "Trace all").click().run()
    assert len(app.dataframe[0].value) == 5, "the table stays while the first prompts are traced"
    next(button for button in app.button if button.label == "Stop").click().run()
    app.run()
    assert known(app) == 2 and not app.session_state.tracing_list
    next(button for button in app.button if button.label == "Continue").click().run()
    app.run()
    assert known(app) == 5 and not app.session_state.tracing_list
    assert not [button for button in app.button if button.label in ("Trace all", "Continue", "Stop")]


def test_row_is_what_the_trace_of_its_text_says_and_only_the_row_is_kept(app):
    list_page(app, "The fox ran to the river.", "<b>7 + 5</b> = 12")
    next(button for button in app.button if button.label == "Trace all").click().run()
    table = app.dataframe[0].value
    model = app.session_state[state.MODEL_KEY]
    for row, prompt in enumerate(state_list(app)):
        trace = captures.trace_of(model, prompt.text)
        assert table["tokens"].iloc[row] == trace.num_tokens
        np.testing.assert_allclose(table["difficulty"].iloc[row], trace.difficulty_soft.mean(), atol=1e-6)
        np.testing.assert_allclose(table["gate"].iloc[row], trace.gate.mean(), atol=1e-6)
        np.testing.assert_allclose(table["did_not_route"].iloc[row], 1 - trace.width_ran.mean(), atol=1e-6)
        np.testing.assert_allclose(table["loss"].iloc[row], trace.surprisal[1:].mean(), atol=1e-5)
    assert {type(each) for each in app.session_state.summaries.values()} == {PromptSummary}


def test_prompt_that_cannot_be_traced_keeps_its_row_with_the_reason(app):
    list_page(app, "Short.", "🙂" * 5_000)
    next(button for button in app.button if button.label == "Trace all").click().run()
    table = app.dataframe[0].value
    assert table["tokens"].notna().tolist() == [True, False]
    assert "the limit is 4,096" in table["problem"].iloc[1]


def test_texts_that_are_predicted_worse_than_by_guessing_are_told_in_the_list_and_above_the_pages(app):
    list_page(app, "Once there was a little fox.", "从前有一只小狐狸住在黑暗的森林边上。")
    next(button for button in app.button if button.label == "Trace all").click().run()
    assert any("1 prompt has a loss above" in each.value for each in app.caption)
    for number, foreign in enumerate((False, True)):
        app.session_state.prompt = state_list(app)[number]
        app.run()
        assert any(each.value.startswith("The model predicts this text worse than") for each in app.caption) == foreign


def test_filter_finds_names_and_texts(app):
    list_page(app, "The fox ran.", "A boat.", "Another fox.")
    of_key(app.text_input, "prompt-filter").set_value("FOX").run()
    assert app.dataframe[0].value["name"].tolist() == ["p0", "p2"]
    of_key(app.text_input, "prompt-filter").set_value("p1").run()
    assert app.dataframe[0].value["name"].tolist() == ["p1"]


def test_new_list_forgets_what_was_known_of_other_texts_and_the_filter(app):
    list_page(app, "One text.", "Another text.")
    next(button for button in app.button if button.label == "Trace all").click().run()
    opened(app, "Type")
    app.text_area[0].set_value("Another text.\nA third.").run()
    app.session_state.pasted_per = "line"
    app.run()
    of_key(app.text_input, "prompt-filter").set_value("One").run()
    of_key(app.button, "compare-typed").click().run()
    assert {text for _, text in app.session_state.summaries} == {"Another text.", "A third."}
    assert of_key(app.text_input, "prompt-filter").value == "" and len(app.dataframe[0].value) == 2


def traced(app: AppTest) -> AppTest:
    """The list once all of it is traced."""
    next(button for button in app.button if button.label == "Trace all").click().run()
    assert not app.exception and known(app) == len(app.dataframe[0].value)
    return app


def numbers(encoded: dict) -> list[float]:
    """An array of Plotly JSON."""
    return np.frombuffer(base64.b64decode(encoded["bdata"]), encoded["dtype"]).tolist()


def picture(app: AppTest) -> dict:
    (chart,) = app.get("plotly_chart")
    return json.loads(chart.proto.spec)


KINDS = ["story", "sum", "story", "sum"]


def test_columns_of_the_file_stay_and_group_filter_and_leave_with_the_table(app, monkeypatch):
    app = list_page(app, *GROUPED, kind=KINDS, difficulty=["1", "2", "", "30"])
    assert len(picture(app)["data"]) == 0, "nothing is traced, and nothing is drawn as a zero"
    height = picture(app)["layout"]["height"]
    app = traced(app)
    table = app.dataframe[0].value
    assert table["kind"].tolist() == KINDS
    assert table["difficulty (file)"].isna().tolist() == [False, False, True, False]
    assert table["difficulty (file)"].max() == 30, "numbers are sorted as numbers"
    drawn = picture(app)
    assert drawn["layout"]["height"] == height, "nothing moves while the list is traced"
    groups = table.groupby("kind")["difficulty"].mean().sort_values(ascending=False)
    assert drawn["layout"]["yaxis"]["ticktext"] == groups.index.tolist()
    assert numbers(drawn["data"][1]["x"]) == pytest.approx(groups.tolist())
    assert [note["text"] for note in drawn["layout"]["annotations"][1:]] == [f"{g:.2f}, n = 2" for g in groups]
    of_key(app.text_input, "prompt-filter").set_value("sum").run()
    assert app.dataframe[0].value["name"].tolist() == ["p1", "p3"]
    written = []
    monkeypatch.setattr(prompts_view, "table_csv", lambda all: written.append(all) or b"")
    app.run()
    assert written[0]["kind"].tolist() == KINDS, "the file holds all prompts, whatever is looked for"
    of_key(app.selectbox, "prompt-groups").select("no groups").run()
    assert picture(app)["layout"]["annotations"][1]["text"].endswith("n = 4")
    of_key(app.selectbox, "prompt-groups").select("kind").run()
    assert "By kind, “" in str(of_name(app, "answer_line")) and "n = 2" in str(of_name(app, "answer_line"))
    press(app, "Export")
    assert any("mine.txt: 4 prompts, 4 of them traced, grouped by kind." in each for each in titles(app))
    labels = [each.proto.label for each in app.get("download_button")]
    of_text = ["Trace file", "Routing table", "Report of the text (HTML)"]
    assert labels[-7:] == ["HTML", "CSV", "Parquet", "JSON", *of_text]


def of_name(app: AppTest, component: str) -> dict:
    found = (each.proto for each in app.get("bidi_component") if each.proto.component_name == component)
    return json.loads(next(found).json)


def titles(app: AppTest) -> list[str]:
    """What stands in the charts beside their marks."""
    specs = [json.loads(each.proto.spec) for each in app.get("plotly_chart")]
    return [note["text"].replace("<br>", " ") for spec in specs for note in spec["layout"]["annotations"]]


GROUPED = ("A long story of the king and his daughter.", "7 + 5 = 12", "The fox ran to the river.", "1 + 1 = 2")


def test_bars_have_the_range_of_their_column_and_the_page_says_which(app):
    app = traced(list_page(app, *GROUPED))
    config = json.loads(app.dataframe[0].proto.columns)
    values = app.dataframe[0].value
    for column, word in (("difficulty", "difficulty"), ("gate", "width share")):
        low, high = (config[column]["type_config"][end] for end in ("min_value", "max_value"))
        assert low <= values[column].min() and values[column].max() <= high
        assert high - low < values[column].max() - values[column].min() + 0.101
        assert any(f"{word} from {low:.2f} to {high:.2f}" in each.value for each in app.caption)


def test_table_ends_below_its_last_row_without_an_empty_one():
    config = tomllib.loads(
        (Path(__file__).parents[1] / "app" / ".streamlit" / "config.toml").read_text(encoding="utf-8")
    )
    row = round(2.1875 * config["theme"]["baseFontSize"])  # as Streamlit makes it
    assert table_height(12, 560) == row * 13 + 2  # its head, its rows and its border
    assert table_height(2000, 560) == 560


def test_opened_prompt_is_marked_whatever_is_looked_for_and_after_another_page(app):
    app = list_page(app, *GROUPED)
    app.session_state.prompt = state_list(app)[2]
    app.session_state.token = 0
    app.run()

    def marked() -> list[int]:
        return list(app.session_state[prompt_list.TABLE]["selection"]["rows"])

    assert marked() == [2]
    of_key(app.text_input, "prompt-filter").set_value("fox").run()
    assert marked() == [0]
    of_key(app.text_input, "prompt-filter").set_value("king").run()
    assert marked() == []
    turn_to(app, "overview")
    turn_to(app, "prompts")
    of_key(app.text_input, "prompt-filter").set_value("").run()
    assert not app.exception and marked() == [2]


def test_pages_over_several_texts_take_what_was_traced_here(app, monkeypatch):
    app = traced(list_page(app, *GROUPED))
    monkeypatch.setattr(captures, "traces_of", lambda *_: pytest.fail("all texts were traced already"))
    app.session_state[text_study.CHOICE_KEY] = text_study.OWN
    turn_to(app, "what_decides")
    assert not app.exception and app.session_state.list_study.study.texts == 4
    assert not [button for button in app.button if button.label == "Trace these texts"]
    assert "list_traces" not in app.session_state, "studied traces are forgotten"


def test_traces_are_kept_only_as_far_as_a_study_reads(app, monkeypatch):
    monkeypatch.setattr(prompt_list, "MOST_TOKENS", 12)
    app = traced(list_page(app, *GROUPED))
    kept = app.session_state.list_traces.values()
    assert 0 < sum(trace.num_tokens for trace in kept) <= 12
