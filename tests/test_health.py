"""The health check passes the shipped model and condemns planted faults, each by its own check."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers.processors import TemplateProcessing

from analysis.models.health import (
    health_checks,
    is_healthy,
    verdict,
)
from app.texts.examples import CHECKED
from hooks import HealthRecord, capture, measure_health, record
from hooks.health import CONTROLS
from sample_models import load_model
from sample_models.conversion import import_olmo
from sample_models.loading import LoadedModel
from tests.models import byte_tokenizer, small_loaded
from tests.olmo_folders import write_olmo

TEXTS = CHECKED[:4]
IDS = " ".join(str(7 * place % 128) for place in range(60))
"""A text for the golden checkpoint, which has no tokenizer."""


@pytest.fixture(scope="module")
def shipped():
    return load_model()


@pytest.fixture(scope="module")
def healthy(shipped):
    return measure_health(shipped, TEXTS)


def planted(shipped: LoadedModel, fault) -> HealthRecord:
    """What is measured of a copy of the shipped model in which `fault` changed something."""
    model = deepcopy(shipped.model)
    fault(model)
    return measure_health(LoadedModel(model, shipped.tokenizer, "planted"), TEXTS[:2])


def sick(record: HealthRecord) -> set[str]:
    return {check.name for check in health_checks(record) if check.status == "sick"}


def test_shipped_model_is_healthy_everything_is_measured_and_what_is_not_shown_is_not_called_healthy(healthy):
    checks = health_checks(healthy)
    assert [check.status for check in checks] == ["healthy", "healthy", "effect not shown", *["healthy"] * 7]
    assert is_healthy(checks) and verdict(checks) == "healthy (effect not shown: experts fit their tokens)"


def test_controls_of_the_health_check_are_those_of_the_model_card(healthy):
    text = healthy.texts[0]
    assert {name: len(run.logprob) for name, run in text.controls.items()} == CONTROLS
    both, alone, within = (
        text.controls[name] for name in ("loops_shuffled", "loops_alone_shuffled", "loops_shuffled_within_token_type")
    )
    assert both.cells == 4 * text.trace.loops.size == 2 * alone.cells
    assert 0 < within.changed / within.cells < both.changed / both.cells < 1
    assert text.controls["without_experts"].cells == text.controls["without_experts"].changed > 0


def test_small_sample_is_healthy_and_was_not_before_its_training():
    small = "versatile-4l-0.4m"
    assert not sick(measure_health(load_model(small), TEXTS[:3]))
    found = sick(measure_health(load_model(small, step=0), TEXTS[:2]))
    assert {"loops matter", "experts fit their tokens", "depth head is sure", "tau was annealed"} <= found


def test_fresh_heads_are_condemned(shipped):
    def fault(model):
        torch.manual_seed(0)
        for layer in model.model.layers:
            torch.nn.init.normal_(layer.mlp.depth_head.weight, std=0.02)
            torch.nn.init.normal_(layer.mlp.router.weight, std=0.02)

    status = {check.name: check.status for check in health_checks(planted(shipped, fault))}
    assert status["depth head is sure"] == status["experts fit their tokens"] == "sick"
    assert status["loops matter"] in ("effect not shown", "sick")


def test_random_router_under_the_trained_depth_head_is_condemned(shipped):
    def fault(model):
        torch.manual_seed(0)
        for layer in model.model.layers:
            torch.nn.init.normal_(layer.mlp.router.weight, std=float(layer.mlp.router.weight.detach().std()))

    found = sick(planted(shipped, fault))
    assert "experts fit their tokens" in found and "loops matter" not in found


def marking_tokenizer():
    """One token per byte, after one that the tokenizer adds by itself."""
    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 256)]
    )
    return tokenizer


def by_position() -> LoadedModel:
    """One layer whose heads read the place of a token, and nothing else of it.

    Even attention gives every token 1 / (place + 1) of the mark that only the first one, the tokenizer's own, bears.
    """
    loaded = small_loaded(num_hidden_layers=1)
    layer, embeddings = loaded.model.model.layers[0], loaded.model.model.embed_tokens.weight.data
    constant, mark = 0, 1
    embeddings[:, constant], embeddings[:, mark] = 1, 0
    embeddings[256, mark] = 1
    content = embeddings[:, 2:]
    wanted = 7 - embeddings[:, : mark + 1].square().sum(
        dim=1, keepdim=True
    )  # one length for all: one scale of the norm
    content *= (wanted / content.square().sum(dim=1, keepdim=True)).sqrt()
    for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
        getattr(layer.self_attn, part).weight.data.zero_()
    layer.self_attn.v_proj.weight.data[0, mark] = (7 / embeddings.shape[1]) ** 0.5
    layer.self_attn.o_proj.weight.data[mark, 0] = 1
    for head, last_places in ((layer.mlp.depth_head, (45, 30, 15)), (layer.mlp.router, (65, 58, 50, 42, 35, 28, 20))):
        head.weight.data.zero_()
        for number, place in enumerate(last_places, start=1):  # steeper lines, each the highest before its place
            head.weight.data[number, mark] = 1000 * number
            head.weight.data[number, constant] = head.weight.data[number - 1, constant] - 1000 / place
    return LoadedModel(loaded.model, marking_tokenizer(), "by position")


def test_loops_and_experts_by_position_are_condemned():
    text = "The old man of the sea went out in his boat, and no one saw him come."
    checks = {check.name: check for check in health_checks(measure_health(by_position(), [text, text[::-1]]))}
    for what in ("loops", "experts"):
        found = checks[f"content decides {what}"]
        assert found.status == "sick" and "the position by 1.00; by position in layer 0" in found.figure


@pytest.fixture(scope="module")
def twice_sick(shipped):
    """Checks by name of a model with one loop in layer 3 and a router of layer 2 that never wants expert 5."""
    capture(shipped, TEXTS[0])  # puts the hook points in
    with record(["blocks.2.mlp.hook_in"]) as recording, torch.inference_mode():
        shipped.model(shipped.tokenizer(TEXTS[0], return_tensors="pt").input_ids)
    usual = recording["blocks.2.mlp.hook_in"][0].mean(dim=0).clone()

    def fault(model):
        model.model.layers[3].mlp.depth_head.weight.data.zero_()
        model.model.layers[2].mlp.router.weight.data[5] = -100 * usual / usual.norm()

    return {check.name: check for check in health_checks(planted(shipped, fault))}


def test_layer_with_one_loop_is_condemned_and_named(twice_sick):
    found = twice_sick["all loops in use"]
    assert found.status == "sick" and "100% of a layer's tokens at one number of loops (layer 3, 1)" in found.figure


def test_dead_expert_is_condemned_and_named(twice_sick):
    found = twice_sick["experts share the load"]
    assert found.status == "sick" and "outside (layer:expert) 2:5" in found.figure


def test_tau_left_at_its_start_is_condemned_alone(healthy):
    assert sick(replace(healthy, tau=5.0)) == {"tau was annealed"}


def test_checkpoint_of_the_authors_is_not_said_to_have_been_annealed(tmp_path):
    as_it_is = load_model(write_olmo(tmp_path / "tiny"))
    imported = import_olmo(tmp_path / "tiny", tmp_path / "ours")
    for loaded in (as_it_is, imported, load_model(tmp_path / "ours")):
        assert loaded.gates_trained and loaded.config.tau is None
        assert loaded.model.model.layers[0].mlp.tau == 5, "that of the released code, should it be trained on"
    checks = {check.name: check for check in health_checks(measure_health(as_it_is, [IDS]))}
    found = checks["tau was annealed"]
    assert (found.status, found.figure) == ("not measured", "the checkpoint records no tau")


def test_gates_that_the_configuration_calls_untrained_are_condemned(healthy):
    assert sick(replace(healthy, gates_trained=False)) == {"loops matter", "experts fit their tokens"}


def test_weight_that_is_not_finite_is_condemned_and_nothing_else_is_run(shipped):
    def fault(model):
        model.model.embed_tokens.weight.data[4000, 1] = torch.nan

    found = planted(shipped, fault)
    assert found.texts == [] and found.not_finite == {"model.embed_tokens.weight": 1}
    checks = health_checks(found)
    assert not is_healthy(checks)
    assert verdict(checks).startswith(
        f"sick, since it failed 1 of {len(checks)} checks: “weights” (not measured: loops matter, experts fit"
    )


def test_measuring_leaves_the_model_as_it_was(shipped):
    before = capture(shipped, TEXTS[0])
    told = []
    measure_health(shipped, TEXTS[:1], progress=told.append)
    after = capture(shipped, TEXTS[0])
    assert np.array_equal(before.depth_logits, after.depth_logits) and np.array_equal(
        before.logprob, after.logprob, equal_nan=True
    )
    assert told == sorted(told) and told[-1] == 1.0


def test_token_that_the_tokenizer_adds_keeps_its_place():
    small = small_loaded()
    text = measure_health(LoadedModel(small.model, marking_tokenizer(), "bos"), ["hello there"]).texts[0]
    assert [sorted(order) for order in text.orders] == [list(range(12))] * len(text.orders)
    assert (text.orders[:, 0] == 0).all() and (text.orders[:, 1:] != np.arange(1, 12)).any(axis=1).all()
