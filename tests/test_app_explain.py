"""Pages of the group Explain that look inside the layers: what they draw, what they ask of the model, what is told."""

import json
from pathlib import Path

import plotly.graph_objects as go
import pytest
from streamlit.testing.v1 import AppTest

from app.server import captures, models
from app.session import state, targets
from tests.app_in_process import turn_to, unfolded
from tests.figure_texts import figure_texts

MAIN = Path(__file__).parents[1] / "app" / "main.py"


@pytest.fixture
def app():
    return AppTest.from_file(str(MAIN), default_timeout=120)


def opened(app: AppTest, view: str, **session) -> AppTest:
    app.query_params["example"] = "fox"
    unfolded(app).run()
    for key, value in session.items():
        app.session_state[key] = value
    turn_to(app, view)
    assert not app.exception
    return app


def notes(app: AppTest) -> list[str]:
    """Every text that stands in a chart of the page, as the reader sees it by now."""
    drawn = [json.loads(each.newer_json or each.given_json) for each in app.session_state.drawings.values()]
    return [text for each in drawn for text in figure_texts(go.Figure(each))]


def passes(app: AppTest) -> tuple[list, object]:
    calls = []
    model = models.loaded_model(app.session_state[state.MODEL_KEY]).model
    return calls, model.model.embed_tokens.register_forward_hook(lambda *_: calls.append(1))


def test_stepping_through_tokens_and_layers_runs_no_model(app):
    opened(app, "write_ledger", token=20, layer=2)
    calls, handle = passes(app)
    app.session_state.token, app.session_state.layer = 33, 5
    app.run()
    handle.remove()
    assert not app.exception and not calls
    assert any("layer 5: the writes sum to the model's own update within" in text for text in notes(app))


def test_removals_are_measured_on_demand_and_once(app):
    opened(app, "write_ledger", token=20, layer=2)
    assert "removal: not measured" in notes(app)
    captures._own_pass.clear()  # another test may have asked for it
    calls, handle = passes(app)
    next(button for button in app.button if button.label == "Remove the writes one at a time").click().run()
    app.run()
    handle.remove()
    assert not app.exception and len(calls) == 2  # the text as it is, and the token without each write
    assert "removal" in notes(app) and "not measured" not in notes(app)


def test_typed_target_is_explained(app):
    opened(app, "write_ledger", token=20, target="␣the")
    assert not app.error and any("“␣the” against" in text for text in notes(app))


def test_target_of_several_tokens_is_told(app):
    opened(app, "write_ledger", token=20, target="no single token")
    assert app.error[0].value.startswith("“no single token” is ") and "tokens in this model" in app.error[0].value


def test_what_stands_for_a_target_that_cannot_be_taken_is_told(app):
    opened(app, "write_ledger", token=20, target="no single token")
    trace = captures.trace_of(app.session_state.model, app.session_state.prompt.text)
    likeliest = trace.next_tokens[20][0]
    assert f"The likeliest next token, {likeliest}, is used instead" in app.error[0].value.replace("\\", "")
    assert any(f"“{likeliest}” against" in text for text in notes(app))


def test_token_against_itself_is_told(app):
    opened(app, "write_ledger", token=20, target="␣the", against="␣the")
    assert app.warning[0].value.startswith("Both fields name the same token")
    app.session_state.against = targets.NOTHING
    app.run()
    assert not app.warning and not app.error


def test_after_the_last_token_the_likeliest_is_explained(app):
    opened(app, "write_ledger", token=20, target="token that follows")
    assert any("against" in text for text in notes(app))
    app.session_state.token = 74
    app.run()
    assert not app.exception and not app.error
    assert targets.TARGETS["target"] in app.selectbox(key="target").options[0]


def test_lens_follows_the_token_and_prints_what_leaving_costs(app):
    opened(app, "recursion_lens", token=20, layer=3)
    assert any("the result is exactly the model's own run" in caption.value for caption in app.caption)
    assert any(text.startswith("layer 3, after ") for text in notes(app))
    calls, handle = passes(app)
    app.session_state.layer = 1
    app.run()
    assert not app.exception and not calls
    assert any(text.startswith("layer 1, after ") for text in notes(app))
    app.session_state.token = 21
    app.run()
    handle.remove()
    assert not app.exception and len(calls) == 1  # the token alone, told to leave elsewhere
