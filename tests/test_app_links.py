"""Links and selections from outside: what is there is shown, and what is not is told in one sentence."""

import pytest
from streamlit.testing.v1 import AppTest

from app.server import captures
from app.session import state
from app.texts.examples import EXAMPLES
from tests.test_app import MAIN, opened


@pytest.fixture
def app():
    return AppTest.from_file(str(MAIN), default_timeout=120)


def test_selection_outside_the_text_is_brought_inside(app):
    app.session_state.token = 10_000
    opened(app, "overview")
    app.session_state.token, app.session_state.layer = 10_000, 99
    app.run()
    assert not app.exception
    trace_tokens = app.session_state.token
    assert 0 <= trace_tokens < 10_000 and app.session_state.layer == 5


def test_link_with_a_number_beyond_measure_opens_the_page(app):
    app.query_params["token"] = app.query_params["layer"] = "9" * 5_000
    app.run()
    assert not app.exception


def test_link_tells_everything_that_is_not_there(app):
    app.query_params.update({"example": "none", "model": "nope", "layer": "99", "token": "-5"})
    app.run()
    (told,) = [each.value for each in app.text if each.value.startswith("This server has no model nope")]
    for part in ("There is no example none", "There is no layer 99", "There is no token -5"):
        assert part in told


def test_link_with_empty_parts_is_one_without_them(app):
    app.query_params.update({"example": "", "model": "", "layer": "", "token": ""})
    app.run()
    assert not app.exception and app.session_state.problem is None


def test_another_model_keeps_the_place_in_the_text(app):
    app.run()
    app.session_state.token = 30
    app.run()
    before = captures.trace_of(app.session_state.model, app.session_state.prompt.text)
    app.selectbox(key=state.PICKED_KEY).select("versatile-4l-0.4m").run()
    after = captures.trace_of("versatile-4l-0.4m", app.session_state.prompt.text)
    token = app.session_state.token
    assert not app.exception and after.num_tokens != before.num_tokens and token != 30
    so_far = "".join(after.tokens[:token])
    assert len(so_far) <= len("".join(before.tokens[:30])) < len(so_far + after.tokens[token])


@pytest.mark.parametrize(
    ("link", "sentence"),
    [
        ({"layer": "6"}, "There is no layer 6 here, only 0 to 5; another one is selected."),
        ({"layer": "5", "token": "9999"}, "There is no token 9999 here, only 0 to"),
        ({"token": "-3"}, "There is no token -3 here"),
    ],
)
def test_link_to_a_layer_or_token_that_is_not_there_says_so(app, link, sentence):
    app.query_params.update(link)
    app.run()
    assert [each.value for each in app.text if each.value.startswith(sentence)]


def test_a_problem_of_a_link_does_not_claim_that_something_was_kept(app):
    app.query_params["model"] = "nope"
    app.run()
    told = [each.value for each in app.text]
    assert "This server has no model nope; versatile-6l-4m is shown." in told
    assert not any("is kept" in each for each in told)


@pytest.mark.parametrize("example", sorted(EXAMPLES))
def test_every_example_opens_from_its_link(app, example):
    app.query_params["example"] = example
    app.run()
    assert not app.exception and app.session_state.prompt == EXAMPLES[example]
