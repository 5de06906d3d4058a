"""A model that cannot be run, or not any more: one sentence, the sidebar beside it, and other visitors undisturbed."""

import os
import shutil

import pytest
import torch

from app.frame import frame
from app.server import models
from app.session import state
from tests.app_in_process import plain_texts, trace_text
from tests.model_folders import edit_config, edit_weights, save_model


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder of models that the server was given."""
    monkeypatch.setenv(models.ROOTS_VARIABLE, str(tmp_path))
    return tmp_path


def picker(app):
    (box,) = app.sidebar.selectbox
    return box


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"num_hidden_layers": 10**7}, "num_hidden_layers must be a whole number from 1 to 256, got 10000000"),
        ({"quantization_config": {"quant_method": "gptq"}}, "has a quantization_config (gptq)"),
    ],
)
def test_model_that_cannot_be_run_is_told_by_link_and_by_sidebar(app, root, fields, sentence):
    name = f"strange {len(sentence)}"
    edit_config(save_model(root / name), **fields)
    app.query_params["model"] = name
    app.run()
    assert not app.exception and any(sentence in text for text in plain_texts(app))
    assert not any(str(root) in text for text in plain_texts(app))
    assert picker(app).value == app.session_state[state.MODEL_KEY] != name
    picker(app).select(name).run()
    assert not app.exception and any(sentence in text for text in plain_texts(app))


def test_strange_folder_is_not_offered_and_disturbs_nobody(app, root):
    (root / "pipe").mkdir()
    os.mkfifo(root / "pipe" / "config.json")
    (root / "nest").mkdir()
    (root / "nest" / "config.json").write_text("[" * 100_000)
    app.run()
    assert not app.exception and not {"pipe", "nest"} & set(picker(app).options)


def test_first_model_that_cannot_be_loaded_leaves_the_choice_of_another(app, root, monkeypatch):
    only = root / "other root"
    only.mkdir()
    monkeypatch.setattr(models, "CHECKPOINTS", only)
    edit_config(save_model(root / "a broken one"), max_loops=10**6)
    save_model(root / "whole one")
    app.run()
    assert not app.exception
    (told,) = app.error
    assert told.value.startswith("a broken one/config.json has a field that does not fit: max_loops must be")
    assert picker(app).value == "a broken one"
    picker(app).select("whole one").run()
    assert not app.exception and not app.error and app.session_state[state.MODEL_KEY] == "whole one"


def test_model_whose_folder_goes_while_it_is_shown_is_told_where_it_is_needed(app, root):
    save_model(root / "short-lived")
    app.run()
    picker(app).select("short-lived").run()
    assert app.session_state[state.MODEL_KEY] == "short-lived"
    shutil.rmtree(root / "short-lived")
    trace_text(app, "The model is still in memory.")
    assert not app.exception and picker(app).value == "short-lived"
    models.loaded_model.clear()
    app.text_area[0].set_value("Now it is not.").run()
    next(button for button in app.button if button.label == "Trace").click().run()
    assert not app.exception
    assert any("The model short-lived is no longer on this server; choose" in text for text in plain_texts(app))
    picker(app).select("versatile-4l-0.4m").run()
    assert not app.exception and app.session_state[state.MODEL_KEY] == "versatile-4l-0.4m"
    assert "short-lived" not in picker(app).options


def test_error_page_keeps_its_sidebar(app, monkeypatch):
    app.run()

    def fail():
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(frame.state, "choose_model", fail)
    app.run()
    picker(app).select("versatile-4l-0.4m").run()
    assert len(app.exception) == 1
    assert picker(app).options


def test_numbers_that_are_not_finite_are_no_result(app, root):
    folder = save_model(root / "one-bad-token")
    from sample_models import load_model

    bad = load_model(folder).tokenizer("z")["input_ids"][0]
    edit_weights(folder, lambda tensors: tensors["model.embed_tokens.weight"][bad].fill_(torch.nan))
    app.run()
    picker(app).select("one-bad-token").run()
    assert app.session_state[state.MODEL_KEY] == "one-bad-token"
    app.text_area[0].set_value("a z").run()
    next(button for button in app.button if button.label == "Trace").click().run()
    assert not app.exception
    assert any("are not finite, so its weights are damaged or overflow" in text for text in plain_texts(app))
