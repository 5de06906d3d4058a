"""The page What if without a browser: setting, undoing, pinning; links, other texts, and the banner on every page."""

import json

import pytest

from app.limits import MOST_INTERVENTIONS
from app.session import intervened, what_if, what_if_form
from hooks.interventions import DropPath, ForceGate, ForceLoops
from tests.app_in_process import captions, new_app, plain_texts, press, trace_text, turn_to

UNDER = "Under interventions, not the model's own routing: "
ONE = '[{"kind":"ForceLoops","loops":4,"layers":[3],"tokens":[30]}]'


def opened(link=None, page="what_if"):
    app = new_app()
    app.query_params.update({"layer": "3", "token": "30", **({"what_if": link} if link else {})})
    app.run()
    return turn_to(app, page)


@pytest.fixture(scope="module")
def empty():
    """The page as it opens, for tests that leave it so."""
    return opened()


def set_now(app):
    known = intervened.KEY in app.session_state  # the state of an AppTest has no `get`
    return app.session_state[intervened.KEY] if known else ()


def banner(app):
    return [text for text in plain_texts(app) if text.startswith(UNDER)]


def in_words(app, words):
    app.text_input(key=what_if_form.WORDS).set_value(words).run()
    assert not app.exception
    return app


def answer_of(app):
    """The words of the answer at the top of the page."""
    drawn = next(each.proto for each in app.get("bidi_component") if each.proto.component_name == "answer_line")
    ((_, parts),) = json.loads(drawn.json)["rows"]
    return "".join(part[0] for part in parts)


def test_empty_page_asks_three_questions_and_shows_what_the_model_did(empty):
    assert not empty.exception and not banner(empty) and set_now(empty) == ()
    assert [button.label for button in empty.button if button.label.startswith("What if")] == [
        "What if “of” took 4 loops in layer 3?",
        "What if “of” took 1 loop in every layer?",
        "What if no token used the experts of layer 3?",
    ]
    assert [button.disabled for button in empty.button if button.label in ("Undo", "Redo", "Reset", "Pin")] == [
        True
    ] * 4


def test_a_question_sets_undo_redo_and_reset_step_and_every_page_says_so():
    app = press(opened(), "What if “of” took 4 loops in layer 3?")
    assert set_now(app) == (ForceLoops(4, layers=3, tokens=30),)
    assert banner(app)[0].startswith(f"{UNDER}4 loops, λ follows; layer 3, token 30.")
    assert app.query_params["what_if"] in (ONE, [ONE])
    app = turn_to(app, "recursion")
    assert banner(app) and not app.exception
    press(app, "Change")
    assert any(button.label == "Set in words" for button in app.button), "the banner leads to the page"
    press(turn_to(app, "what_if"), "Undo")
    assert set_now(app) == () and not banner(app) and "what_if" not in app.query_params
    press(app, "Redo")
    assert set_now(app) == (ForceLoops(4, layers=3, tokens=30),)
    press(app, "Switch off")
    assert set_now(app) == () and not banner(app)
    press(app, "Undo")
    assert banner(app), "what was switched off can be had back"
    press(app, "Remove")
    assert set_now(app) == ()


def test_words_set_and_those_that_do_not_fit_are_told_and_stay():
    app = in_words(opened(), "layer 99: 4 loops")
    assert [error.value for error in app.error] == ["Layers must be 0 to 5, got 99\\."]
    assert app.session_state[what_if_form.WORDS] == "layer 99: 4 loops" and set_now(app) == ()
    in_words(app, "layer 3, all tokens: 4 loops; token 2: no width path")
    assert set_now(app) == (ForceLoops(4, layers=3), DropPath("width", tokens=2))
    assert not app.error and app.session_state[what_if_form.WORDS] == ""
    press(app, "Undo")
    assert set_now(app) == (), "one sentence is one step"


def test_the_form_sets_a_cell_a_token_a_layer_or_everything():
    app = press(opened(), "Set")
    assert set_now(app) == (ForceLoops(4, layers=3, tokens=30),)
    app.segmented_control(key=what_if_form.WHERE).select(what_if_form.LAYER).run()
    app.selectbox(key=what_if_form.WHAT).set_value(what_if_form.GATE).run()
    press(app, "Set")
    assert set_now(app) == (ForceLoops(4, layers=3, tokens=30), ForceGate(0.5, layers=3))


def test_pinned_interventions_are_what_the_next_ones_are_compared_with():
    app = press(opened(ONE), "Pin")
    in_words(app, "everywhere: 1 loop")
    one, everywhere = (ForceLoops(4, layers=3, tokens=30),), (ForceLoops(1),)
    assert app.session_state[what_if.PINNED_KEY] == (one,)
    before = answer_of(app)
    app.segmented_control(key=what_if.AGAINST_KEY).select(what_if.PINS[0]).run()
    assert "with the model's own choices" in before and "under the pinned interventions" in answer_of(app)
    against_first = answer_of(app)
    press(app, "Pin")
    assert app.session_state[what_if.PINNED_KEY] == (one, everywhere)
    press(app, "Reset")
    press(app, "Compare both pins")
    assert set_now(app) == everywhere and answer_of(app) == against_first
    app.button(key="show-pin-0").click().run()
    assert set_now(app) == one and not app.exception
    app.button(key="unpin-0").click().run()
    assert app.session_state[what_if.PINNED_KEY] == (everywhere,)
    app.button(key="unpin-0").click().run()
    assert "with the model's own choices" in answer_of(app) and not app.exception


def test_a_hostile_link_is_told_in_one_sentence_and_the_rest_of_it_is_shown():
    app = opened('[{"kind":"<script>"}]', page="overview")
    (said,) = [text for text in plain_texts(app) if text.startswith("The interventions of this link cannot be read")]
    assert "\n" not in said and len(said) < 300
    assert (app.session_state.layer, app.session_state.token) == (3, 30) and set_now(app) == ()


def test_a_link_opens_with_its_interventions_and_a_shorter_text_leaves_out_those_beyond_it():
    app = opened(ONE, page="overview")
    assert banner(app)
    trace_text(app, "A dog.")
    (said,) = [text for text in plain_texts(app) if text.startswith("One intervention is not active")]
    assert "tokens must be 0 to " in said and "in a text of" in said and said.count("\n") == 0
    assert not banner(app) and not app.exception
    turn_to(app, "what_if")
    assert any("Not active, since it does not fit this text" in text for text in plain_texts(app))
    in_words(app, "everywhere: 2 loops")
    assert banner(app), "those that fit are active"


def test_more_interventions_than_the_limit_are_refused_and_nothing_changes():
    many = json.dumps([{"kind": "ForceLoops", "loops": 4, "layers": [0], "tokens": [2 * i]} for i in range(32)])
    app = opened(many.replace(" ", ""))
    assert len(set_now(app)) == MOST_INTERVENTIONS
    in_words(app, "layer 1: λ = 0.5")
    assert any(text.startswith("At most 32 interventions") for text in plain_texts(app))
    assert len(set_now(app)) == MOST_INTERVENTIONS


def test_pages_of_other_texts_say_that_these_are_read_without():
    app = opened(ONE, page="prompts")
    assert "The texts studied or listed on this page are read without them." in banner(app)[0]
    turn_to(app, "walkthrough")
    assert "what ran in that pass" in banner(app)[0] and captions(app)
