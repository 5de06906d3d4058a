"""The health check passes the shipped model and condemns planted faults, each by its own check."""

from copy import deepcopy
from dataclasses import replace
from shutil import copytree

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers.processors import TemplateProcessing

from analysis.models.health import (
    check_content_of_experts,
    check_content_of_loops,
    check_expert_fit,
    check_experts,
    check_loops,
    check_loops_matter,
    check_precision,
    expert_writes,
    experts_follow_content,
    health_checks,
    is_healthy,
    loops_follow_content,
    shuffling_cost,
    verdict,
)
from app.cli import main
from app.texts.examples import CHECKED
from hooks import HealthRecord, TextHealth, capture, measure_health, record
from sample_models import load_model
from sample_models.importing import import_olmo
from sample_models.loading import LoadedModel
from sample_models.registry import CHECKPOINTS, DEFAULT_MODEL
from tests.golden_weights import golden
from tests.models import byte_tokenizer, small_loaded
from tests.olmo_folders import write_olmo
from tests.traces import make_trace, random_trace

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
    return measure_health(LoadedModel(model, shipped.tokenizer, "planted"), TEXTS[:3])


def sick(record: HealthRecord) -> set[str]:
    return {check.name for check in health_checks(record) if check.status == "sick"}


def test_shipped_model_is_healthy_and_everything_is_measured(healthy):
    checks = health_checks(healthy)
    assert [check.status for check in checks] == ["healthy"] * 10
    assert is_healthy(checks) and verdict(checks) == "healthy"


def test_small_sample_is_healthy_and_was_not_before_its_training():
    small = "versatile-4l-0.4m"
    assert not sick(measure_health(load_model(small), TEXTS))
    found = sick(measure_health(load_model(small, step=0), TEXTS))
    assert {"loops matter", "experts fit their tokens", "depth head is sure", "tau was annealed"} <= found


def test_fresh_heads_are_condemned(shipped):
    def fault(model):
        torch.manual_seed(0)
        for layer in model.model.layers:
            torch.nn.init.normal_(layer.mlp.depth_head.weight, std=0.02)
            torch.nn.init.normal_(layer.mlp.router.weight, std=0.02)

    assert {"depth head is sure", "loops matter"} <= sick(planted(shipped, fault))


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
        assert found.status == "sick" and "the place by 1.00; by position in layer 0" in found.figure


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
    assert verdict(checks).startswith("sick: weights (not measured: loops matter, experts fit")


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


def text_of(trace, **fields) -> TextHealth:
    """A text whose disturbances changed nothing, unless given."""
    count = trace.num_tokens
    defaults = dict(
        trace=trace,
        half=trace,
        orders=np.arange(count)[::-1][None].copy(),
        reordered_loops=trace.loops[None, :, ::-1].copy(),
        reordered_experts=trace.expert_ids[None, :, ::-1].copy(),
        shuffled_logprob=trace.logprob[None].copy(),
        shuffled_experts_logprob=trace.logprob[None].copy(),
        step_shares=np.full((*trace.loops.shape, trace.num_experts), 1 / trace.num_experts),
    )
    return TextHealth(**(defaults | fields))


def record_of(*texts: TextHealth) -> HealthRecord:
    return HealthRecord("hand", list(texts), tau=0.1, gates_trained=True, parameters=1, not_finite={})


def test_loops_that_stay_with_the_place_are_condemned():
    trace = make_trace(loops=[[1, 2, 3, 4, 1, 2, 3, 4]] * 2)
    by_token, by_place = text_of(trace), text_of(trace, reordered_loops=trace.loops[None])
    content, position = loops_follow_content([by_token])
    assert content.tolist() == [1, 1] and (position < 0).all()
    assert check_content_of_loops(record_of(by_token)).status == "healthy"
    found = check_content_of_loops(record_of(by_place))
    assert found.status == "sick" and "by position in layer 0, 1" in found.figure


def test_agreement_is_corrected_for_chance_and_tokens_that_did_not_move_do_not_count():
    trace = make_trace(loops=[[1, 1, 2, 2, 4]])
    text = text_of(trace, orders=np.array([[1, 0, 3, 2, 4]]), reordered_loops=np.array([[[1, 1, 2, 1, 3]]]))
    content, _ = loops_follow_content([text])
    # 3 of 4 agree; chance: 1 loop 3/4 x 2/4, 2 loops 1/4 x 2/4, together 1/2.
    assert content.tolist() == [pytest.approx((0.75 - 0.5) / 0.5)]


def test_agreement_of_experts_counts_what_stays_of_those_that_routed_both_times():
    before = np.array([[[0, 1], [0, 1], [2, 3], [2, 3], [0, 1]]])
    after = np.array([[[[1, 0], [0, 2], [2, 3], [3, 1], [0, 1]]]])
    trace = make_trace(loops=[[1, 1, 2, 1, 4]], expert_ids=before)
    loops = np.array([[[1, 1, 1, 1, 1]]])
    text = text_of(trace, orders=np.array([[1, 0, 3, 2, 4]]), reordered_loops=loops, reordered_experts=after)
    content, position = experts_follow_content([text])
    # Of two experts 2, 1, 2, 1 stay: 3/4. Chance: a half of the tokens before took each, after 2, 2, 2, 2 of 4: 1/2.
    assert content.tolist() == [pytest.approx(0.5)] == position.tolist()
    silent = text_of(trace, orders=np.array([[1, 0, 3, 2, 4]]), reordered_loops=0 * loops + 4, reordered_experts=after)
    assert np.isnan(experts_follow_content([silent])).all()
    assert check_content_of_experts(record_of(silent)).status == "not measured"


def test_without_any_difference_in_loops_content_is_not_measured():
    assert check_content_of_loops(record_of(text_of(make_trace(loops=[[2] * 6])))).status == "not measured"


def test_shuffling_cost_leaves_out_special_tokens_and_the_first():
    trace = make_trace(loops=[[1, 2, 3, 4]], special=[True, False, True, False])
    shuffled = trace.logprob[None] - np.array([[0, 1, 50, 3]], np.float32)
    assert shuffling_cost(text_of(trace), shuffled).tolist() == [1, 3]


def test_too_few_tokens_leave_the_worth_of_routing_open():
    assert check_loops_matter(record_of(text_of(random_trace(tokens=57)))).status == "not measured"
    assert check_loops_matter(record_of(text_of(random_trace(tokens=400)))).status == "sick"


def taking_turns(tokens: int) -> tuple:
    """A trace whose tokens take experts 0, 1 and experts 2, 3 in turns, and the steps that only those write."""
    ids = np.array([[[0, 1], [2, 3]] * (tokens // 2)])
    steps = (ids[..., None, :] == np.arange(4)[:, None]).any(axis=-1) / 2
    return make_trace(loops=[[1] * tokens], expert_ids=ids), steps


def test_what_experts_write_elsewhere_is_the_mean_over_all_deals():
    trace, steps = taking_turns(40)
    own, others = expert_writes([text_of(trace, step_shares=steps)])
    assert (own.tolist(), others.tolist()) == ([1.0], [0.5])
    few, steps = taking_turns(38)  # 76 choices of 4 experts
    assert np.isnan(expert_writes([text_of(few, step_shares=steps)])).all()


def test_experts_of_no_use_are_condemned_unless_shuffling_them_costs():
    trace, steps = taking_turns(40)
    assert check_expert_fit(record_of(text_of(trace, step_shares=steps))).status == "healthy"
    even = record_of(text_of(trace))
    assert check_expert_fit(even).status == "sick"
    assert check_expert_fit(replace(even, gates_trained=False)).status == "sick"
    costly = text_of(trace, shuffled_experts_logprob=trace.logprob[None] - 0.5)
    assert check_expert_fit(record_of(costly)).status == "healthy"
    assert check_expert_fit(record_of(text_of(make_trace(loops=[[4] * 90])))).status == "not measured"
    assert check_expert_fit(record_of(text_of(make_trace(loops=[[1] * 90], num_experts=2)))).status == "not measured"


def test_experts_are_judged_only_with_enough_routed_choices():
    few = make_trace(loops=[[1] * 30], num_experts=4)
    assert check_experts(record_of(text_of(few))).status == "not measured"
    found = check_experts(record_of(text_of(make_trace(loops=[[1] * 50], num_experts=4))))
    assert found.status == "sick" and "outside (layer:expert) 0:2, 0:3" in found.figure
    none = check_experts(record_of(text_of(make_trace(loops=[[4] * 90], num_experts=4))))
    assert none.status == "not measured", "tokens that did not route are no choices"


def test_one_loop_is_no_collapse_where_there_is_only_one():
    assert check_loops(record_of(text_of(random_trace(tokens=30, max_loops=1)))).status == "healthy"


def test_decisions_that_hang_on_rounding_are_condemned():
    trace, other = random_trace(tokens=40, seed=1), random_trace(tokens=40, seed=2)
    assert check_precision(record_of(text_of(trace))).status == "healthy"
    assert check_precision(record_of(text_of(trace, half=other))).status == "sick"


# The command ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path):
    """A copy of the shipped model's folder, and its weights."""
    copytree(CHECKPOINTS / DEFAULT_MODEL, tmp_path / "copy")
    return tmp_path / "copy", load_file(tmp_path / "copy" / "model.safetensors")


def test_command_passes_a_healthy_model_on_the_readers_text(tmp_path, capsys):
    (tmp_path / "text.txt").write_text("\n\n".join(TEXTS[:3]), encoding="utf-8")
    code = main(["check", DEFAULT_MODEL, "--file", str(tmp_path / "text.txt"), "--per", "file"])
    lines = capsys.readouterr().out.splitlines()
    assert code == 0 and lines[-1] == f"{DEFAULT_MODEL} is healthy"
    assert lines[0].startswith("healthy       weights: 0 of 4,464,576 not finite")


def test_command_condemns_missing_and_damaged_weights(copied, capsys):
    folder, weights = copied
    save_file({k: v for k, v in weights.items() if "depth_head" not in k}, folder / "model.safetensors")
    assert main(["check", str(folder)]) == 1
    assert "sick          weights: " in (said := capsys.readouterr().out) and "lacks 6 expected tensor(s)" in said
    weights["model.norm.weight"][:] = torch.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert main(["check", str(folder)]) == 1
    assert "its logits are not finite" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["pt", "encoded"])
def test_command_condemns_missing_and_damaged_weights_of_the_authors(tmp_path, capsys, kind):
    weights = golden("tiny/model_plainkeys")
    lacking = {name: tensor for name, tensor in weights.items() if "depth_predictor" not in name}
    damaged = weights | {"transformer.ln_f.weight": torch.full_like(weights["transformer.ln_f.weight"], torch.nan)}
    for tensors, said in ((lacking, "lacks 3 tensor(s)"), (damaged, "its logits are not finite")):
        assert main(["check", str(write_olmo(tmp_path / "tiny", tensors, kind=kind))]) == 1
        answer = capsys.readouterr().out
        assert answer.startswith("sick          weights: ") and said in answer
    file = next((tmp_path / "tiny").glob("model.*"))
    file.write_bytes(file.read_bytes()[:5000])
    assert main(["check", str(tmp_path / "tiny")]) == 1
    assert "is no whole" in capsys.readouterr().out
    (tmp_path / "tiny" / "config.yaml").write_text("model: 3")
    assert main(["check", str(tmp_path / "tiny")]) == 2


def test_command_tells_bad_input_from_a_sick_model(copied, capsys):
    assert main(["check", "nowhere"]) == 2
    assert "no model folder and no shipped model at nowhere" in capsys.readouterr().err
    (copied[0] / "tokenizer.json").write_text("{")
    assert main(["check", str(copied[0])]) == 2
    assert "the tokenizer in" in capsys.readouterr().err
