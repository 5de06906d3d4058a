"""What a browser's tab keeps of a visitor's work and gives to the next session, and what Back and Forward return to."""

import json
from types import SimpleNamespace

import pytest
import streamlit as st
import streamlit.web.cli

from analysis.catalogue import CATALOGUE
from analysis.runs.chosen import ChosenTokens
from analysis.runs.filters import TokenFilter
from app import cli
from app.frame import keeping
from app.limits import MAX_CHARACTERS, MAX_PROMPTS, MOST_TEXTS
from app.pages import PAGES
from app.server import captures, web
from app.server.runs import SHIPPED_NAME
from app.server.summary_cache import SummaryCache
from app.session import kept_choices, kept_work, link, text_study
from app.session.folds import OPEN
from app.session.link import FILE_CLOSED, TEXT_ELSEWHERE, TRACE_VARIABLE
from app.texts.examples import DEFAULT_EXAMPLE
from app.texts.kept_prompts import list_from_json, list_to_json, texts_from_json
from app.texts.packing import packed, unpacked
from app.texts.prompt_columns import Columns
from app.texts.prompt_files import PromptList
from app.texts.prompts import Prompt, PromptError
from tests.app_in_process import new_app, plain_texts, press, trace_text, turn_to
from tests.traces import random_trace

OWN, OTHER = "The cat sat on the mat.", "A king rode out."
AWKWARD = PromptList(
    "a, b.csv",
    [Prompt("n\n1", "It's <b>$x$</b> 🙂 مرحبا\n\t"), Prompt("", "x")],
    ["row 2"],
    [],
    Columns(["q"], "q", None),
    {"kind": ["<i>", "0042"]},
)


@pytest.fixture
def tab(monkeypatch):
    """A browser's tab: what it holds in `kept`, given to each session that asks, and `told` what it was told last."""
    tab = SimpleNamespace(kept={"work": None, "list": None, "ended": False}, told=None, answer=None)
    fetch_from_tab = keeping.fetch_from_tab

    def fetch(page):  # at the head of a run, where a callback would be called
        if (give := tab.answer) is not None:
            tab.answer = None
            give(tab.kept)
        fetch_from_tab(page)

    def keeper(page, told, address, on_restore, on_stored):
        tab.told = told
        if not told.restored and (told.waits or any(tab.kept.values())):
            tab.answer = on_restore
            st.rerun()
        if told.restored or not any(tab.kept.values()):
            tab.kept["work"] = told.work
            tab.kept["list"] = told.list or (tab.kept["list"] if told.list_number else None)
            if told.list:
                on_stored({"number": told.list_number, "stored": True})

    monkeypatch.setattr(keeping, "keeper", keeper)
    monkeypatch.setattr(keeping, "fetch_from_tab", fetch)
    return tab


def reloaded(app):
    """A new session, opened with the address of another."""
    new = new_app()
    new._page_hash = app._page_hash
    new.query_params.update(app.session_state[link.LINK])
    new.run()
    assert not new.exception
    return new


def went_to(app, address: dict, monkeypatch):
    """The session after Back or Forward to an address."""
    with monkeypatch.context() as patch:
        patch.setattr(link, "get_script_run_ctx", lambda: SimpleNamespace(is_history_navigation=True))
        app.query_params.clear()
        app.query_params.update(address)
        app.run()
    assert not app.exception
    return app


def test_the_next_session_has_texts_draft_list_choices_and_what_was_asked_for(tab, monkeypatch):
    app = trace_text(new_app().run(), OWN)
    app.session_state.token, app.session_state.level = 4, "word"
    app.session_state.pasted_per = "line"
    app.text_area[0].set_value("The first.\nThe second.").run()
    press(app, "Compare all 2")
    turn_to(app, "prompts")
    while app.session_state.tracing_list:
        app.run()
    app.session_state["near_miss_map-choice"] = next(
        list(each.choice.labels)[1] for each in CATALOGUE if each.name == "near_miss_map"
    )
    app.session_state.half_precision_of = (app.session_state.model, OWN)
    app.session_state["run_filter"] = TokenFilter(among=ChosenTokens([0, 7, 7], [3, 1, 12], SHIPPED_NAME), loops=(2,))
    app.session_state["map-count"], app.session_state["map-blocks"] = 50_000, ["loops"]
    app.run()
    rows = app.session_state.summaries
    assert len(rows) == 2 and app.session_state[text_study.CHOICE_KEY] == text_study.OWN, "studies are of the list now"
    app.session_state[OPEN] = {PAGES[0].folds[0].key, PAGES[2].folds[0].key}
    app.run()
    monkeypatch.setattr(captures, "traces_of", lambda *_: pytest.fail("traced again"))
    again = reloaded(app)
    for key in (
        "prompt",
        "token",
        "layer",
        "level",
        "prompt_list",
        "summaries",
        "half_precision_of",
        "typed",
        "studied",
        "run_filter",
        "map-count",
        "map-blocks",
        OPEN,
    ):
        assert again.session_state[key] == app.session_state[key], key
    assert again.session_state["near_miss_map-choice"] == app.session_state["near_miss_map-choice"]
    assert again.session_state.problem is None and not again.session_state.tracing_list


def test_a_list_that_the_server_has_lost_is_traced_anew(tab, monkeypatch):
    app = new_app().run()
    app.session_state.pasted_per = "line"
    app.text_area[0].set_value("The third.\nThe fourth.").run()
    turn_to(press(app, "Compare all 2"), "prompts")
    while app.session_state.tracing_list:
        app.run()
    monkeypatch.setattr(captures, "_summaries", SummaryCache(9))
    assert len(reloaded(app).session_state.summaries) == 2


def test_an_ended_session_says_so_once_and_gives_the_work_back(tab):
    app = trace_text(new_app().run(), OWN)
    tab.kept["ended"] = True
    again = reloaded(app)
    assert again.session_state.prompt.text == OWN
    assert [each for each in plain_texts(again) if each.startswith(kept_work.ENDED)] == [
        f"{kept_work.ENDED}; your texts, list and choices are back."
    ]
    press(again, "Dismiss")
    assert not [each for each in plain_texts(again.run()) if each.startswith(kept_work.ENDED)]


def test_an_address_with_a_text_of_another_tab_says_so(tab):
    default = new_app().run().session_state.token
    app = new_app()
    app.query_params.update({"own": "3", "token": "2"})
    app.run()
    assert not app.exception and app.session_state.prompt.example == DEFAULT_EXAMPLE
    assert app.session_state.token == default != 2, "token 2 is one of the text that is not there"
    assert any(each.startswith(TEXT_ELSEWHERE) for each in plain_texts(app))


def test_where_nothing_is_kept_the_tab_is_told_nothing_and_gives_nothing(tab, monkeypatch):
    app = trace_text(new_app().run(), OWN)
    monkeypatch.setenv(kept_work.KEEP_VARIABLE, "no")
    again = reloaded(app)
    assert again.session_state.prompt.example == DEFAULT_EXAMPLE and "own_texts" not in again.session_state
    assert (tab.told.work, tab.told.list, tab.told.list_number) == (None, None, 0)
    assert any(each.startswith(TEXT_ELSEWHERE) for each in plain_texts(again))


def test_serve_can_be_told_to_keep_nothing(monkeypatch):
    for name, value in ((kept_work.KEEP_VARIABLE, ""), ("OMP_NUM_THREADS", "1")):
        monkeypatch.setenv(name, value)  # so that both are as before after the test
    monkeypatch.setattr(web, "run", lambda *where: None)
    assert kept_work.is_on()
    assert cli.main(["serve", "--keep-nothing"]) == 0
    assert not kept_work.is_on()


def test_forgetting_removes_texts_and_list_from_session_and_tab_and_keeps_choices(tab):
    app = trace_text(new_app().run(), OWN)
    app.session_state.pasted_per = "line"
    app.text_area[0].set_value("One.\nTwo.").run()
    press(app, "Compare all 2")
    app.session_state.level = "word"
    app.session_state.half_precision_of = app.session_state.model, OWN
    press(app, "Forget my texts").run()
    kept = json.loads(unpacked(tab.kept["work"], 10**6))
    assert kept == {"choices": {"level": "word"}} and tab.kept["list"] is None
    assert app.session_state.prompt.example == DEFAULT_EXAMPLE and "prompt_list" not in app.session_state
    assert OWN not in str(app.session_state._state.filtered_state)


def test_the_last_texts_keep_their_numbers_and_the_oldest_are_forgotten(tab):
    app = new_app().run()
    for i in range(MOST_TEXTS + 2):
        trace_text(app, f"Text {i}.")
    trace_text(app, "Text 5.")
    texts = app.session_state.own_texts
    assert len(texts) == MOST_TEXTS and texts[6].text == "Text 5." and 1 not in texts
    assert app.session_state[link.LINK]["own"] == "6" and list(texts)[-1] == 6


def test_back_returns_to_text_selection_and_model(tab, monkeypatch):
    app = new_app().run()
    first = dict(app.session_state[link.LINK])
    second = dict(trace_text(app, OWN).session_state[link.LINK])
    assert second.keys() == {"layer", "token", "model", "own"}
    trace_text(app, OTHER)
    went_to(app, second | {"token": "3", "layer": "1"}, monkeypatch)
    state = app.session_state
    assert (state.prompt.text, state.token, state.layer, state.typed) == (OWN, 3, 1, OWN)
    went_to(app, first, monkeypatch)
    assert app.session_state.prompt.example == DEFAULT_EXAMPLE and app.session_state[link.LINK] == first
    went_to(app, {}, monkeypatch)
    assert app.session_state[link.LINK] == first, "a path alone changes nothing"
    went_to(app, second | {"own": "77"}, monkeypatch)
    assert app.session_state.problem.startswith(TEXT_ELSEWHERE)


def test_a_click_before_the_address_of_the_last_one_has_arrived_is_no_step_back(app):
    app.run()
    app.session_state.token = 7
    app.run()
    app.query_params["token"] = "3"
    app.run()
    assert app.session_state.token == 7 and app.query_params["token"] == "7"


def test_an_address_of_a_trace_file_selects_in_it_while_it_is_open_and_tells_when_it_is_not(monkeypatch, tmp_path):
    path = tmp_path / "a.trace.safetensors"
    random_trace(layers=2, tokens=6).save(path)
    app = new_app().run()
    app.session_state.way = "File"
    app.run()
    app.file_uploader[0].upload(path.name, path.read_bytes(), "application/octet-stream").run()
    press(app, "Open the trace file")
    opened = app.session_state[link.LINK]
    assert opened.keys() == {"layer", "token", "file"}
    went_to(app, opened | {"token": "1"}, monkeypatch)
    assert app.session_state.token == 1 and app.session_state.trace_file is not None
    press(app, "Close the trace file")
    went_to(app, opened, monkeypatch)
    assert FILE_CLOSED in plain_texts(app) and app.session_state.prompt.example == DEFAULT_EXAMPLE
    monkeypatch.setenv(TRACE_VARIABLE, str(path))
    served = new_app()
    served.query_params.update({"layer": "1", "token": "4"})
    served.run()
    assert (served.session_state.layer, served.session_state.token) == (1, 4)
    assert served.session_state[link.LINK] == {"layer": "1", "token": "4"}


ODD = [None, 7, "x", [], {}, {"a": 1}, [[1]], [[1, 2, 3]], [[1, "n", ""]], [["x", "n", "t"]], [[-1, "n", "t"]]]
ODD += [[[1, "n", "x" * (MAX_CHARACTERS + 1)]], [[i, "n", "t"] for i in range(1, 30)], [[1, "n", "a\0b"]]]


@pytest.mark.parametrize("answer", [*ODD[:6], {"work": 7, "list": []}, {"work": "%", "list": "abc"}], ids=repr)
def test_an_answer_that_no_tab_of_ours_gives_ends_nothing(tab, answer):
    app = new_app()
    app.query_params["own"] = "1"
    tab.kept = answer if isinstance(answer, dict) else {"odd": answer}
    app.run()
    assert not app.exception and app.session_state.prompt.example == DEFAULT_EXAMPLE


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:40])
def test_damaged_work_is_left_out(tab, odd):
    tab.kept["work"] = packed(json.dumps({"texts": odd, "choices": odd, "asked": odd, "traced": odd, "typed": odd}))
    app = new_app().run()
    assert not app.exception and app.session_state.prompt.example == DEFAULT_EXAMPLE


WRONG = ["", "x", 7, -1, 2.5, True, None, [], {}, "9" * 500, float("nan")]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: repr(wrong)[:20])
def test_choices_that_the_app_does_not_offer_are_left_out_of_a_link(app, wrong):
    keys = [
        *kept_choices._offered(),
        kept_choices.MAP_TOKENS,
        "colouring",
        "folds",
        "step-of-8",
        "prompt",
        "model",
        "__class__",
        "",
    ]
    app.query_params["choices"] = packed(json.dumps(dict.fromkeys(keys, wrong)))
    app.run()
    assert not app.exception and isinstance(app.session_state.prompt, Prompt)
    app.session_state.find = True
    assert not turn_to(app, "write_ledger").exception
    assert not turn_to(app, "token_map").exception


@pytest.mark.parametrize("value", ["%%%", "abc", packed("["), packed("[" * 9_000), packed("x" * 30_000)], ids=range(5))
def test_damaged_choices_of_a_link_are_told(app, value):
    app.query_params["choices"], app.query_params["token"] = value, "2"
    app.run()
    assert not app.exception and app.session_state.token == 2
    assert any(each.startswith("The choices in this link are damaged") for each in plain_texts(app))


def test_a_list_comes_back_as_it_was_and_a_damaged_one_is_told():
    assert list_from_json(list_to_json(AWKWARD)) == AWKWARD
    good = json.loads(list_to_json(AWKWARD))
    row = good["prompts"][0]
    for damage in (
        {"prompts": []},
        {"prompts": [row] * (MAX_PROMPTS + 1)},
        {"prompts": [{"name": "n"}]},
        {"prompts": [row | {"text": "\0"}]},
        {"prompts": [row | {"text": 7}]},
        {"prompts": 7},
        {"name": 7},
        {"notes": [1]},
        {"columns": [1]},
        {"more": 1},
        {"others": {"kind": ["one"]}},
        {"others": {"kind": [1, 2]}},
    ):
        with pytest.raises(PromptError, match="are damaged"):
            list_from_json(json.dumps(good | damage))


@pytest.mark.parametrize("odd", ODD[:3] + ODD[5:], ids=lambda odd: repr(odd)[:40])
def test_damaged_texts_are_told(odd):
    with pytest.raises(PromptError, match="are damaged"):
        texts_from_json(odd)


def test_rows_of_lists_are_found_by_model_and_text_and_the_oldest_go():
    cache = SummaryCache(2)
    for text in ("a", "b", "\ud800"):
        cache.store(("m", text), text)
    assert cache.look_up(("m", "a")) is None and cache.look_up(("n", "b")) is None
    assert cache.look_up(("m", "b")) == "b" and cache.look_up(("m", "\ud800")) == "\ud800"
