"""The page Atlas in-process: filter, texts behind a number, SQL, and runs that cannot be shown."""

import os
import shutil

import pytest
from streamlit.testing.v1 import AppTest

from analysis.figures.runs.atlas import ATLAS_FIGURES
from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.runs.run import Run
from app.server import runs
from app.session import run_choice, run_sql, run_texts
from tests.app_in_process import captions, charts, new_app, plain_texts, press, turn_to, unfolded
from tests.runs import make_run, random_traces
from tests.traces import HOSTILE, random_trace


@pytest.fixture
def app():
    found = unfolded(new_app()).run()
    return turn_to(found, "atlas")


@pytest.fixture(scope="module")
def shipped():
    with Run(runs.SHIPPED) as run:
        yield run


def field(app, label):
    """The field of the filter with this label."""
    return next(each for kind in (app.text_input, app.selectbox, app.multiselect, app.slider, app.checkbox)
                for each in kind if each.label == label)  # fmt: skip


def shown(app) -> TokenFilter:
    return app.session_state[run_choice.FILTER]


def counted(app, layer: int) -> dict[int, int]:
    """Number of loops -> how many tokens of a layer are drawn at it."""
    bars = next(chart for chart in charts(app) if chart["data"][0].get("name") == "loops 1")["data"]
    drawn = [bar["customdata"][layer] for bar in bars if bar["type"] == "bar"]
    return {part[1]: tokens for part, at, tokens in drawn if at == layer}


def test_the_form_filters_every_panel_and_each_part_can_be_removed(app, shipped):
    app.session_state["run-filter"] = True
    app.run()
    field(app, "Token has").set_value("the")
    field(app, "kind").set_value("story")
    field(app, "Layer").set_value(2)
    field(app, "Loops there").set_value([1, 2])
    field(app, "Positions, such as 0-9").set_value("3-40")
    press(app, "Apply")
    chosen = TokenFilter(text="the", others=(("kind", "story"),), layer=2, loops=(1, 2), positions=(3, 40))
    assert shown(app) == chosen
    where, values = chosen.where(shipped.sizes)
    question = f"SELECT loops[1] AS n, count(*) AS tokens FROM tokens WHERE {where} GROUP BY n"
    expected = shipped.ask(question, values).set_index("n")["tokens"]
    assert counted(app, 0) == {n: expected.get(n, 0) for n in (1, 2, 3, 4)}
    assert any(f"{expected.sum():,} tokens, 1 to" in told for told in captions(app))
    chips = [button.label for button in app.button if (button.key or "").startswith("chip-")]
    assert chips == ["kind\\: story", "token has “the”", "1 or 2 loops", "in layer 2", "positions 3 to 40"]
    press(app, "1 or 2 loops")
    assert shown(app) == TokenFilter(text="the", others=(("kind", "story"),), layer=2, positions=(3, 40))
    assert field(app, "Loops there").value == [] and field(app, "Token has").value == "the"


def test_a_filter_that_leaves_nothing_says_what_to_do(app):
    app.session_state[run_choice.FILTER] = TokenFilter(text="no token has this")
    app.run()
    assert not app.exception
    drawn = [chart["layout"]["annotations"][0]["text"] for chart in charts(app)]
    assert len(drawn) >= 4 and set(drawn) == {"No token of the run is left by the filter."}
    assert any("Remove a part of the filter" in text.value for text in app.markdown)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"filter": {"layer": 1, "expert": 3}}, TokenFilter(layer=1, expert=3)),
        ({"filter": {"layer": "x"}, "name": "../../etc"}, None),
        ({"filter": [], "name": 5}, None),
        (7, ALL_TOKENS),
    ],
)
def test_the_filter_of_a_link_or_a_tab_is_taken_if_it_is_one(given, found):
    def script():
        import streamlit as st

        from app.session import kept_choices, run_choice

        kept_choices.choose({"run": st.session_state["given"]})
        st.session_state["found"] = st.session_state.get(run_choice.FILTER)
        st.session_state["kept"] = kept_choices.chosen().get("run")

    app = AppTest.from_function(script, default_timeout=30)
    app.session_state["given"] = given
    app.run()
    assert not app.exception and app.session_state["found"] == found
    assert app.session_state["kept"] == (given if found not in (None, ALL_TOKENS) else None)


def test_a_click_shows_the_tokens_behind_it_and_can_narrow_the_filter(app, shipped):
    app.session_state[run_choice.BEHIND] = TokenFilter(layer=4, loops=(4,))
    app.run()
    count = int(shipped.ask("SELECT count(*) AS n FROM tokens WHERE loops[5] = 4")["n"][0])
    assert any(told.startswith(f"{count:,} tokens, 1 to 20 shown; loops, λ") for told in captions(app))
    press(app, "Count only these")
    assert shown(app) == TokenFilter(layer=4, loops=(4,)) and run_choice.BEHIND not in app.session_state
    token_id, expert = map(int, shipped.ask("SELECT token_id, experts[9] FROM tokens WHERE loops[5] = 1").iloc[0])
    app.session_state[run_choice.FILTER] = TokenFilter(layer=4, loops=(1,), token_ids=(token_id,))
    app.session_state[run_choice.BEHIND] = TokenFilter(layer=4, expert=expert)
    press(app.run(), "Count only these")
    assert shown(app) == TokenFilter(layer=4, loops=(1,), expert=expert, token_ids=(token_id,))


def test_a_row_opens_its_text_with_token_and_layer_selected(app, shipped):
    app.session_state["pending"].work = lambda: run_texts.open_place(run_texts.RunPlace(12, 7, 3))
    app.run()
    assert not app.exception
    text, token = shipped.ask("SELECT p.text, t.text FROM prompts p JOIN tokens t USING (prompt) "
                              "WHERE prompt = 12 AND token = 7").iloc[0]  # fmt: skip
    assert app.session_state.prompt.text == text
    assert (app.session_state.token, app.session_state.layer) == (7, 3)
    assert not app.session_state.problem and token


def test_a_text_of_a_run_by_a_model_that_is_not_here_says_so(tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    make_run(folder, [random_trace(layers=3, tokens=12)]).close()
    monkeypatch.setenv(runs.RUNS_VARIABLE, str(folder))
    app = turn_to(unfolded(new_app()).run(), "atlas")
    app.session_state["pending"].work = lambda: run_texts.open_place(run_texts.RunPlace(0, 2, 1))
    app.run()
    assert not app.exception and "The run is of the model tiny" in app.session_state.problem


def test_sql_is_answered_told_and_offered_as_files(app):
    for words in run_sql.EXAMPLES:
        next(box for box in app.selectbox if box.label == "Examples").set_value(words).run()
        press(app, "Ask")
        assert any(" rows" in told for told in captions(app)), words
        assert len(app.session_state[run_sql.ANSWER].table)
    next(area for area in app.text_area if area.key == run_sql.SQL_KEY).set_value("SELECT sql FROM duckdb_views()")
    press(app, "Ask")
    assert "duckdb_views cannot be asked here: only tokens, prompts, choices, routed can." in plain_texts(app)


def test_the_figures_of_the_run_are_exported_with_its_filter(app):
    app.session_state[run_choice.FILTER] = TokenFilter(layer=2, expert=6)
    app.run()
    press(app, "Export")
    choice = next(box for box in app.selectbox if box.label == "Figure of this page")
    assert choice.options == [spec.title for spec in ATLAS_FIGURES]
    drawn = charts(app)[-1]
    told = " ".join(each["text"] for each in drawn["layout"]["annotations"]).replace("<br>", " ")
    assert "Run “sample texts”: " in told and "expert 6, in layer 2, out of 1,863 tokens" in told


def test_a_run_that_goes_away_is_told_on_the_page(tmp_path, monkeypatch):
    traces = [random_trace(layers=3, tokens=24, words=HOSTILE), *random_traces(3, layers=3)]
    make_run(tmp_path / "mine", traces, finished=False).close()
    monkeypatch.setenv(runs.RUNS_VARIABLE, os.pathsep.join([str(tmp_path / "mine")]))
    app = turn_to(unfolded(new_app()).run(), "atlas")
    assert not app.exception and any("not finished" in told for told in captions(app))
    shutil.rmtree(tmp_path / "mine")
    app.run()
    assert not app.exception and "The run “mine” is gone, or was changed while it was read." in plain_texts(app)


def test_without_any_run_the_page_teaches_how_to_make_one(monkeypatch, tmp_path):
    monkeypatch.setattr(runs, "folders", dict)
    app = turn_to(unfolded(new_app()).run(), "atlas")
    assert not app.exception and any("python -m app run prompts.jsonl" in text.value for text in app.markdown)
