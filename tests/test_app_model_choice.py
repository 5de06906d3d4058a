"""Another model in the sidebar: what stays, what is told of it, and what happens if it cannot be had."""

import json
import shutil

import numpy as np

from app.server import captures, models
from app.session import state
from sample_models.registry import CHECKPOINTS, DEFAULT_MODEL
from tests.app_in_process import captions, charts, plain_texts, trace_text, turn_to
from tests.model_folders import save_one_token_model
from tests.olmo_folders import write_olmo


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


def test_model_that_cannot_be_loaded_is_told_and_the_earlier_kept(app, tmp_path, monkeypatch):
    shutil.copytree(CHECKPOINTS / DEFAULT_MODEL, tmp_path / "cut-short")
    weights = tmp_path / "cut-short" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    monkeypatch.setenv(models.ROOTS_VARIABLE, str(tmp_path))
    app.run()
    app.sidebar.selectbox[0].select("cut-short").run()
    assert not app.exception
    (said,) = [each for each in plain_texts(app) if "is not a complete safetensors file" in each]
    assert str(tmp_path) not in said, "a visitor need not know the server's folders"
    assert app.session_state[state.MODEL_KEY] == app.sidebar.selectbox[0].value == DEFAULT_MODEL


def test_without_any_model_one_sentence_says_what_to_do(app, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "CHECKPOINTS", tmp_path)
    app.run()
    assert not app.exception
    assert [error.value for error in app.error] == [
        "No model was found. Restore sample_models/checkpoints, or name a folder with `serve --models`."
    ]


def test_model_with_untrained_gates_says_so(app, tmp_path, monkeypatch):
    shutil.copytree(CHECKPOINTS / DEFAULT_MODEL, tmp_path / "untrained")
    config = tmp_path / "untrained" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"gates_trained": False}))
    monkeypatch.setenv(models.ROOTS_VARIABLE, str(tmp_path))
    app.run()
    app.sidebar.selectbox[0].select("untrained").run()
    assert not app.exception
    assert any("The gates are untrained, so the routing is noise." in caption.value for caption in app.sidebar.caption)
    assert any("The gates of this model are untrained" in text.value for text in app.markdown)


def test_model_without_a_tokenizer_reads_token_ids_and_says_so(app, tmp_path, monkeypatch):
    write_olmo(tmp_path / "authors", kind="pt")
    monkeypatch.setenv(models.ROOTS_VARIABLE, str(tmp_path))
    app.run()
    app.sidebar.selectbox[0].select("authors").run()
    assert not app.exception and app.session_state[state.MODEL_KEY] == "authors"
    assert any(
        "There is no tokenizer: type token ids from 0 to 127." in caption.value for caption in app.sidebar.caption
    )
    ids = app.session_state.prompt.text
    assert len(ids.split()) == state.EXAMPLE_IDS and app.text_area[0].value == ids
    trace_text(app, "12 fox")
    assert any("type token ids (whole numbers from 0 to 127" in each for each in plain_texts(app))
    assert app.session_state.prompt.text == ids
    trace_text(app, "12 7 99")
    assert captures.trace_of("authors", app.session_state.prompt.text).tokens == ["12", "7", "99"]
    turn_to(app, "validity")
    assert not app.exception and not charts(app)
    assert any("so it cannot read the sample texts" in each for each in captions(app))
    app.sidebar.selectbox[0].select(DEFAULT_MODEL).run()
    assert not app.exception and app.session_state.prompt.text == "12 7 99"


def test_vocabulary_of_one_token_has_every_page(app, tmp_path, monkeypatch):
    """Its one prediction has no second likeliest: what is subtracted from its logit is nothing."""
    save_one_token_model(tmp_path / "one")
    monkeypatch.setenv(models.ROOTS_VARIABLE, str(tmp_path))
    app.run()
    app.sidebar.selectbox[0].select("one").run()
    for path in ("overview", "write_ledger", "recursion_lens"):
        turn_to(app, path)
        assert not app.exception and not app.error and charts(app), path
    trace = captures.trace_of("one", app.session_state.prompt.text)
    assert trace.next_ids.shape[1] == 1 and not np.signbit(trace.next_entropy).any()
