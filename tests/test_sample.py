"""The shipped checkpoints: the evaluation belongs to the weights, and router and depth head decide something."""

import json

import pytest
import torch
from huggingface_hub import ModelCard

from analysis.models.training import drawn_as_picked, text_loss
from app.texts.examples import EXAMPLES
from hooks import capture_training
from sample_models import CHECKPOINTS, DEFAULT_MODEL, load_model
from sample_models.intermediate_checkpoints import intermediate_checkpoints
from sample_models.model_card import controls_section
from sample_models.publish import probe_loss
from sample_models.registry import available_models

SMALL = "versatile-4l-0.4m"
CARDS = sorted(f"{path.parent.parent.name}/{path.parent.name}" for path in CHECKPOINTS.parent.glob("*/*/README.md"))


@pytest.fixture(scope="module", params=[DEFAULT_MODEL, SMALL])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def evaluation(name):
    return json.loads((CHECKPOINTS / name / "evaluation.json").read_text())


@pytest.fixture(scope="module")
def loaded(name):
    return load_model(name)


def test_every_shipped_model_is_tested_here():
    assert [name for name, _ in available_models()] == [DEFAULT_MODEL, SMALL]
    assert load_model().name == DEFAULT_MODEL


def test_evaluation_belongs_to_the_shipped_weights(loaded, evaluation):
    assert evaluation["weights_sha256"] == loaded.weights_sha256
    assert evaluation["probe"]["loss"] == pytest.approx(probe_loss(loaded), abs=0.01)


def test_card_speaks_of_the_shipped_weights(name, loaded):
    card = (CHECKPOINTS / name / "README.md").read_text()
    assert loaded.weights_sha256 in card and "nan" not in card.split()


@pytest.mark.parametrize("card", CARDS)
def test_card_tells_model_hubs_what_it_is(card):
    told = ModelCard.load(CHECKPOINTS.parent / card / "README.md").data
    assert (told.library_name, told.license, told.pipeline_tag) == ("transformers", "apache-2.0", "text-generation")
    assert "versatile_ffn" in told.tags


def test_gates_are_trained(name, loaded):
    assert loaded.name == name
    assert loaded.gates_trained and loaded.heads_parameter_count > 0


def test_held_out_loss_is_two_nats_better_than_guessing_by_frequency(evaluation):
    assert evaluation["held_out"]["loss"] <= evaluation["held_out"]["unigram_entropy"] - 2


def test_most_layers_spread_their_tokens_over_several_numbers_of_loops(evaluation):
    spread = [layer["loop_entropy"] >= 0.5 for layer in evaluation["layers"]]
    assert sum(spread) >= 2 / 3 * len(spread)


def test_no_expert_is_idle_and_none_takes_it_all(evaluation):
    for layer in evaluation["layers"]:
        assert min(layer["expert_load"]) >= 0.04 and max(layer["expert_load"]) <= 0.30, layer["layer"]


CONTROLS = ("loops_shuffled", "loops_alone_shuffled", "lambda_alone_shuffled", "experts_shuffled", "without_experts")


@pytest.mark.parametrize("control", CONTROLS)
def test_shuffling_the_decisions_costs_more_than_two_standard_errors_over_documents(evaluation, control):
    assert evaluation["controls_on"]["documents"] >= 30
    difference = evaluation["controls"][control]
    assert difference["mean"] > 2 * difference["standard_error"] > 0


def test_card_tells_the_controls_of_the_evaluation_and_much_of_the_loops_is_the_tokens_identity(name, evaluation):
    assert controls_section(evaluation) in (CHECKPOINTS / name / "README.md").read_text()
    assert sum(evaluation["controls_on"]["documents_by_file"].values()) == evaluation["controls_on"]["documents"]
    both, within = (evaluation["controls"][f"loops_shuffled{which}"] for which in ("", "_within_token_type"))
    assert within["mean"] < both["mean"] / 4 and within["changed"] < both["changed"] / 3


def test_small_sample_kept_its_training_from_before_the_first_update_to_its_own_weights():
    kept = intermediate_checkpoints(CHECKPOINTS / SMALL)
    assert len(kept) == 8 and kept[0].step == 0 and kept[-1].step == 3000
    assert sum(each.path.stat().st_size for each in kept) < 8 * 2**20
    assert [each.tau for each in kept] == sorted((each.tau for each in kept), reverse=True)
    losses = [each.held_out for each in kept]
    assert losses == sorted(losses, reverse=True)
    evaluation = json.loads((CHECKPOINTS / SMALL / "evaluation.json").read_text())
    assert losses[-1] == pytest.approx(evaluation["held_out"]["loss"], abs=1e-4)
    own, last = load_model(SMALL).model.state_dict(), load_model(SMALL, step=3000).model.state_dict()
    assert all(torch.equal(last[key], tensor) for key, tensor in own.items())
    assert not load_model(SMALL, step=0).gates_trained


def test_depth_head_of_the_small_sample_grew_sure_and_spread_its_loops_in_training():
    """What the scrubber shows: at the start draws are near chance, at the end mostly eval's pick."""
    training = capture_training(load_model(SMALL), EXAMPLES["fox"].text)
    agreement = drawn_as_picked(training).mean(axis=1)
    assert agreement[0] < 0.4 < 0.7 < agreement[-1]
    assert text_loss(training)[0] > text_loss(training)[-1] + 0.5
