"""The page Generate, run in-process: writing, stopping, stepping back, branches, and opening what was written."""

import json
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from analysis.answers.of_generation import NOTHING_YET
from app.server import captures, generations, models
from app.session import generating, state
from app.session.generating import AGAINST_KEY, PROMPT_KEY, STORY, TOKENS_KEY
from app.texts.examples import EXAMPLES
from hooks import ForceLoops, Generation, Sampling
from hooks.trace_diff import trace_difference
from sample_models.registry import DEFAULT_MODEL
from tests.app_in_process import captions, new_app, plain_texts, press, turn_to, unfolded

PROMPT = "The fox ran to the"


@pytest.fixture(autouse=True)
def whole_texts_at_a_time(monkeypatch):
    """All tokens in one turn at the models; a test of what lies between sets less."""
    monkeypatch.setattr(generations, "WORK_S", 60)


def opened() -> AppTest:
    app = turn_to(unfolded(new_app()), "generate")
    assert not app.exception
    return app


def written(app: AppTest, tokens: int = 8, prompt: str = PROMPT) -> AppTest:
    app.text_area(key=PROMPT_KEY).set_value(prompt)
    app.number_input(key=TOKENS_KEY).set_value(tokens)
    return finished(press(app, "Generate"))


def finished(app: AppTest) -> AppTest:
    """The page once nothing is being written."""
    for _ in range(20):
        assert not app.exception
        if not story(app).running:
            return app
        app.run()
    raise AssertionError("it goes on and on")


def story(app: AppTest):
    return app.session_state[STORY]


def given(app: AppTest, component: str, key: str = "") -> dict | None:
    """What a component of the page was given to draw."""
    drawn = [each.proto for each in app.get("bidi_component") if each.proto.component_name == component]
    return next((json.loads(each.json) for each in drawn if key in each.id), None)


def said(app: AppTest) -> str:
    ((_, parts),) = given(app, "answer_line")["rows"]
    return "".join(text for text, _, _ in parts)


def branch(app: AppTest, token: int, loops: int = 4) -> AppTest:
    story(app).token = token
    app.segmented_control(key="branch-loops").set_value(loops).run()
    app.button(key="branch").click().run()
    return finished(app)


def expected(tokens: int, **how) -> Generation:
    generation = Generation(models.loaded_model(DEFAULT_MODEL), PROMPT, **how)
    list(generation.steps(tokens))
    return generation


def test_page_without_a_text_teaches_what_it_does_and_offers_the_current_text():
    app = opened()
    assert said(app) == NOTHING_YET and given(app, "token_strip", "generated_strip") is None
    assert app.text_area(key=PROMPT_KEY).value == app.session_state.prompt.text
    assert "Continue" not in [button.label for button in app.button]
    app.session_state.way = "Examples"
    app.run()
    press(app, EXAMPLES["sums"].name)
    assert app.text_area(key=PROMPT_KEY).value == app.session_state.prompt.text, "another text replaces it"


def test_text_is_that_of_a_generation_and_tells_prompt_and_rest_apart():
    app = written(opened())
    own = expected(8)
    trace = story(app).branch.trace
    assert trace_difference(trace, own.trace(), meta=True).lines() == []
    drawn = given(app, "token_strip", "generated_strip")
    assert drawn["first_generated"] == own.prompt_tokens and drawn["tokens"] == len(own.ids) == drawn["token"] + 1
    assert ["text", "dotted: generated"] in drawn["legend"] and not drawn["levels"]
    loops = trace.loops[:, own.prompt_tokens :].mean()
    assert f"has written 8 tokens, which took {loops:.2f} loops per layer" in said(app)
    assert "8 tokens generated\\." in captions(app)


@pytest.mark.parametrize("button", ["show-branch-0", "branch"])
def test_click_in_the_run_in_which_the_text_is_finished_is_not_lost(button):
    app = branch(written(opened()), 6)
    left = story(app).branch
    story(app).branches[1], story(app).running = replace(left, goal=left.tokens + 1), True
    app.button(key=button).click().run()
    assert not app.exception
    assert (story(app).shown, len(story(app).branches)) == ((0, 2) if button == "show-branch-0" else (2, 3))


def test_drawn_tokens_follow_the_options():
    app = opened()
    app.segmented_control(key=generating.WAY_KEY).set_value(generating.DRAWN).run()
    app.number_input(key=generating.SEED_KEY).set_value(7).run()
    written(app)
    sampling = Sampling(0.8, 40, 0.95, 7)
    assert list(story(app).branch.grown.written.ids) == expected(8, sampling=sampling).ids
    assert any("temperature 0\\.8, top k 40, top p 0\\.95, seed 7" in caption for caption in captions(app))


def test_writing_is_shown_in_between_and_can_be_stopped_continued_and_taken_back(monkeypatch):
    monkeypatch.setattr(generations, "WORK_S", 0)
    app = opened()
    app.text_area(key=PROMPT_KEY).set_value(PROMPT)
    press(app, "Generate")
    seen = []
    while len(seen) < 4:
        app.run()
        seen.append(story(app).branch.generated)
    assert seen == sorted(set(seen)) and story(app).running and "Step back" in [each.label for each in app.button]
    press(app, "Stop")
    stopped = story(app).branch.generated
    assert not story(app).running and seen[-1] <= stopped < 40
    app.run()
    assert story(app).branch.generated == stopped
    finished(press(app, "One more token"))
    ids = story(app).branch.grown.written.ids
    press(app, "Step back")
    assert story(app).branch.generated == stopped and story(app).branch.trace.num_tokens == len(ids) - 1
    finished(press(app, "One more token"))
    assert story(app).branch.grown.written.ids == ids


def test_what_the_server_has_dropped_is_read_again():
    app = written(opened(), 5)
    generations.live().clear()
    app.number_input(key=TOKENS_KEY).set_value(4)
    finished(press(app, "Continue"))
    own = expected(9)
    assert list(story(app).branch.grown.written.ids) == own.ids
    assert trace_difference(story(app).branch.trace, own.trace(), tolerance=3e-5, meta=True).lines() == []


def test_branch_holds_its_change_and_is_compared_with_what_it_left():
    app = written(opened(), 12)
    before, at = story(app).branch.trace, 8
    branch(app, at)
    found = story(app)
    assert found.shown == 1 and found.branches[0].trace is before and found.branch.tokens == found.branches[0].tokens
    trace = found.branch.trace
    assert (trace.loops[:, at:] == 4).all() and (trace.loops[:, :at] == before.loops[:, :at]).all()
    assert trace.interventions == (ForceLoops(4, tokens=range(at, trace.num_tokens)),)
    own = expected(12).branch(at, (ForceLoops(4),))
    list(own.steps(trace.num_tokens - at - 1))
    assert list(found.branch.grown.written.ids) == own.ids
    told = plain_texts(app)
    assert any(text.startswith("the first text. 12 tokens") for text in told)
    assert any(text.startswith("└ from token 8 on: 4 loops, λ follows; all layers, all tokens from") for text in told)
    assert said(app).startswith("In branch B the model has written") and "branch A" in said(app)
    assert given(app, "token_strip", "against_strip")["tokens"] == before.num_tokens
    table = app.dataframe[0].value
    assert (table["shared_tokens"] > at).all() and table["other_loops"].sum() > 0
    app.button(key="show-branch-0").click().run()
    assert story(app).shown == 0 and app.session_state[AGAINST_KEY] == 1 and "In branch A" in said(app)
    app.button(key="show-branch-1").click().run()
    branch(app, at + 2, loops=1)
    assert [each.parent for each in story(app).branches] == [None, 0, 1]
    app.button(key="show-branch-0").click().run()
    branch(app, at + 1, loops=2)
    drawn = [text.partition("from token")[0] for text in plain_texts(app) if " on: " in text and "loop" in text]
    assert drawn == ["├ ", "│ └ ", "└ "], "B and D leave A, and C leaves B"


def test_opening_makes_it_the_text_of_all_pages_without_another_run():
    app = written(opened(), 6, "Every night she saw a light in the")
    trace, ran = story(app).branch.trace, []
    model = models.loaded_model(DEFAULT_MODEL).model
    handle = model.register_forward_pre_hook(lambda *_: ran.append(1))
    app.button(key="generate-open").click().run()
    assert not app.exception and app.header[0].value == "Overview"
    assert app.session_state.prompt.text == trace.meta["text"] and app.session_state.typed == trace.meta["text"]
    turn_to(app, "recursion")
    handle.remove()
    assert not ran and not app.exception
    drawn = given(app, "token_strip")
    assert drawn["first_generated"] == trace.first_generated
    first = trace.first_generated
    assert f"Tokens from {first} on were generated (greedy); those before are the prompt." in captions(app)
    shared = captures.trace_of(DEFAULT_MODEL, trace.meta["text"])
    assert trace_difference(shared, trace).same and "generated" not in shared.meta, "who types it has not generated it"
    turn_to(app, "generate")
    assert story(app).branch.trace is trace and app.text_area(key=PROMPT_KEY).value == trace.meta["text"]


def test_branch_under_interventions_is_opened_as_a_trace_that_says_so():
    app = branch(written(opened(), 6), 7, loops=3)
    trace = story(app).branch.trace
    app.button(key="generate-open").click().run()
    assert not app.exception and app.session_state.trace_file is trace
    assert any(
        "not the model's own routing: 3 loops, λ follows; all layers, tokens 7" in text for text in plain_texts(app)
    )
    turn_to(app, "generate")
    assert not app.exception and "An open trace file holds" in " ".join(captions(app))


def test_what_cannot_be_written_is_told_and_changes_nothing():
    app = written(opened(), 3)
    before = story(app)
    app.text_area(key=PROMPT_KEY).set_value("fox " * 600)
    press(app, "Generate")
    assert "give a shorter prompt, so that there is room to generate." in app.session_state.problem
    assert story(app) is before
    app.text_area(key=PROMPT_KEY).set_value(" ")
    press(app, "Generate")
    assert app.session_state.problem.startswith("The text is empty") and story(app) is before


def test_prompt_is_checked_in_batches_on_demand():
    app = written(opened(), 2)
    press(app, "Check the prompt in batches")
    told = [each.value for each in app.markdown if "choices differ" in each.value]
    assert len(told) == 2 and all(each.startswith("**✓ the same**, padded on the ") for each in told)


def test_forgetting_the_texts_forgets_what_was_written():
    app = press(written(opened(), 2), "Forget my texts")
    assert STORY not in app.session_state and said(app) == NOTHING_YET


def test_two_visitors_write_texts_of_their_own():
    one, other = written(opened(), 5), opened()
    assert STORY not in other.session_state and said(other) == NOTHING_YET
    written(other, 4)
    assert story(one).branch.generated == 5 and story(other).branch.key != story(one).branch.key
    assert state.MODEL_KEY in one.session_state
