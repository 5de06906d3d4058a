"""The shipped checkpoint: its evaluation belongs to its weights, and its router and depth head decide something."""

import json

import pytest

from sample_models import CHECKPOINTS, DEFAULT_MODEL, load_model
from sample_models.publish import probe_loss

FOLDER = CHECKPOINTS / DEFAULT_MODEL


@pytest.fixture(scope="module")
def evaluation():
    return json.loads((FOLDER / "evaluation.json").read_text())


@pytest.fixture(scope="module")
def loaded():
    return load_model()


def test_evaluation_belongs_to_the_shipped_weights(loaded, evaluation):
    assert evaluation["weights_sha256"] == loaded.weights_sha256
    assert evaluation["probe"]["loss"] == pytest.approx(probe_loss(loaded), abs=0.01)


def test_card_speaks_of_the_shipped_weights(loaded):
    card = (FOLDER / "MODEL_CARD.md").read_text()
    assert loaded.weights_sha256 in card and "nan" not in card.split()


def test_default_model_has_trained_gates(loaded):
    assert loaded.name == DEFAULT_MODEL
    assert loaded.gates_trained and loaded.heads_parameter_count > 0


def test_held_out_loss_is_two_nats_better_than_guessing_by_frequency(evaluation):
    assert evaluation["held_out"]["loss"] <= evaluation["held_out"]["unigram_entropy"] - 2


def test_most_layers_spread_their_tokens_over_several_numbers_of_loops(evaluation):
    spread = [layer["loop_entropy"] >= 0.5 for layer in evaluation["layers"]]
    assert sum(spread) >= 2 / 3 * len(spread)


def test_no_expert_is_idle_and_none_takes_it_all(evaluation):
    for layer in evaluation["layers"]:
        assert min(layer["expert_load"]) >= 0.04 and max(layer["expert_load"]) <= 0.30, layer["layer"]


@pytest.mark.parametrize("control", ["loops_shuffled", "experts_shuffled"])
def test_shuffling_the_decisions_costs_more_than_two_standard_errors_over_documents(evaluation, control):
    assert evaluation["controls_on"]["documents"] >= 30
    difference = evaluation["controls"][control]
    assert difference["mean"] > 2 * difference["standard_error"] > 0
