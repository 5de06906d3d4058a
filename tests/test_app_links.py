"""What a link opens: examples, models, layers and tokens, and what is told of those that are not there."""

import json
import shutil

import pytest

from analysis.catalogue import CATALOGUE
from app.pages import PAGES
from app.server import models
from app.session import state
from app.session.choices import choice_key
from app.session.folds import OPEN
from app.texts.examples import EXAMPLES
from app.texts.packing import packed
from sample_models.registry import CHECKPOINTS, DEFAULT_MODEL
from tests.app_in_process import new_app, plain_texts, turn_to


def test_link_with_a_number_beyond_measure_opens_the_page_and_says_so(app):
    app.query_params["token"] = app.query_params["layer"] = "9" * 5_000
    app.run()
    assert not app.exception
    (said,) = [each for each in plain_texts(app) if each.startswith("There is no layer 999")]
    assert "There is no token 999" in said and len(said) < 300
    assert app.session_state.layer == 3 and app.session_state.token < 64, "selected as without a link"


def test_link_tells_everything_that_is_not_there(app):
    app.query_params.update({"example": "fox", "model": DEFAULT_MODEL, "layer": "99", "token": "-5"})
    app.run()
    (said,) = [each for each in plain_texts(app) if each.startswith("There is no layer 99")]
    assert "There is no token -5" in said


@pytest.mark.parametrize(
    ("missing", "counts"),
    [
        ({"example": "none"}, "layer"),
        ({"text": "%%%"}, "layer"),
        ({"file": "2"}, "layer"),
        ({"model": "nope"}, ""),
        ({"example": "none", "model": "nope"}, ""),
    ],
    ids=str,
)
def test_a_number_that_counts_in_a_missing_text_or_model_selects_nothing_in_what_is_shown_instead(app, missing, counts):
    app.run()
    default = app.session_state.layer, app.session_state.token
    opened = new_app()
    opened.query_params.update(missing | {"layer": "1", "token": "2"})
    opened.run()
    assert default != (1, 2) and not opened.exception and opened.session_state.problem
    assert opened.session_state.token == default[1], "chosen as without a link"
    assert opened.session_state.layer == (1 if counts else default[0])


def test_link_with_empty_parts_is_one_without_them(app):
    app.query_params.update({"example": "", "model": "", "layer": "", "token": ""})
    app.run()
    assert not app.exception and app.session_state.problem is None


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
    assert len([each for each in plain_texts(app) if each.startswith(sentence)]) == 1


def test_a_problem_of_a_link_does_not_claim_that_something_was_kept(app):
    app.query_params["model"] = "nope"
    app.run()
    assert "This server has no model nope; versatile-6l-4m is shown." in plain_texts(app)
    assert not any("is kept" in each for each in plain_texts(app))


@pytest.mark.parametrize("example", sorted(EXAMPLES))
def test_every_example_opens_from_its_link(app, example):
    app.query_params["example"] = example
    app.run()
    assert not app.exception and app.session_state.prompt == EXAMPLES[example]


def test_link_to_a_broken_model_opens_the_default_and_says_why(app, tmp_path, monkeypatch):
    shutil.copytree(CHECKPOINTS / DEFAULT_MODEL, tmp_path / "no-weights")
    (tmp_path / "no-weights" / "model.safetensors").unlink()
    monkeypatch.setenv(models.ROOTS_VARIABLE, str(tmp_path))
    app.query_params["model"] = "no-weights"
    app.run()
    assert not app.exception and app.session_state[state.MODEL_KEY] == DEFAULT_MODEL
    assert any("no-weights holds no weights" in each for each in plain_texts(app))


def test_every_choice_of_every_figure_and_colouring_travels_in_a_link(app):
    chosen = {choice_key(each): list(each.choice.labels)[-1] for each in CATALOGUE if each.choice}
    chosen |= {"find_text": "ox", "find_quantity": "loops", "find_loops_value": 2, "find_loops_where": 1}
    chosen |= {"colouring": ["Surprisal", "layer", True], "level": "word", "target": "following"}
    folds = [folded.key for page in PAGES[:1] for folded in page.folds]
    app.query_params["choices"] = packed(json.dumps(chosen | {"folds": folds}))
    app.run()
    assert app.session_state[OPEN] == set(folds) and all(app.session_state[each.key] for each in PAGES[0].folds)
    turn_to(app, "recursion")
    assert not app.exception and app.session_state.quantity == "Surprisal" and app.session_state.scope == "layer"
    assert {key: app.session_state[key] for key in chosen if key != "colouring"} == {
        key: value for key, value in chosen.items() if key != "colouring"
    }
