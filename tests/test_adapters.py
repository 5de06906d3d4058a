"""Models of other families: their traces hold what transformers says they decided, and say what they do not decide."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from analysis.answers.of_family import overview_of_family
from analysis.models.facts import model_facts
from app.cli import main
from hooks import Generation, RoutingTrace, capture, read
from hooks.attention import capture_attention
from hooks.interventions import DropExpert, ForceExperts, ForceLoops, ForceTopK
from sample_models import load_model
from sample_models.adapter_families import FAMILIES, MOE
from tests.model_folders import edit_config, edit_weights
from tests.other_models import save_other

TEXT = "Hello there, little fox: 7 + 5 = 12."
LAYERS_WITHOUT = {"qwen2_moe": [0], "qwen3_moe": [1]}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Model type -> a folder of such a model; Qwen's have a layer without a router."""
    root = tmp_path_factory.mktemp("others")
    return {
        kind: save_other(root / kind, kind, mlp_only_layers=LAYERS_WITHOUT.get(kind))
        for kind in sorted(FAMILIES[MOE] | {"llama"})
    }


def router_outputs(loaded, ids):
    """What transformers records: the routers' logits [token, expert] in order of the layers that have one."""
    with torch.inference_mode():
        return [each.numpy() for each in loaded.model(ids, output_router_logits=True).router_logits]


@pytest.mark.parametrize("kind", sorted(FAMILIES[MOE]))
def test_experts_and_weights_are_those_of_transformers(folders, kind):
    loaded = load_model(folders[kind])
    trace = capture(loaded, TEXT)
    without = LAYERS_WITHOUT.get(kind, [])
    routers = [layer for layer in range(3) if layer not in without]
    own = router_outputs(loaded, torch.tensor([trace.token_ids.tolist()]))
    assert len(own) == len(routers)
    over_all = getattr(loaded.model.config, "norm_topk_prob", True) is False
    for layer, logits in zip(routers, own, strict=True):
        probs = torch.tensor(logits).float().softmax(dim=-1)
        top = probs.topk(2, dim=-1)
        weights = top.values if over_all else top.values / top.values.sum(dim=-1, keepdim=True)
        np.testing.assert_array_equal(trace.expert_logits[layer], logits)
        np.testing.assert_array_equal(trace.expert_ids[layer], top.indices.numpy())
        np.testing.assert_allclose(trace.expert_weights[layer], weights.numpy(), rtol=0, atol=2e-7)
    assert trace.width_ran[routers].all() and not trace.width_ran[without].any()
    assert trace.parts == {"width"} and trace.meta["family"] == MOE and (trace.loops == 1).all()
    assert trace.to_frame()[["gate", "difficulty_soft"]].isna().all(axis=None)
    assert (trace.expert_weights[routers].sum(axis=-1) < 0.99).any() == over_all


def test_a_model_object_gives_the_trace_of_its_folder_each_time(folders):
    loaded = load_model(folders["mixtral"])
    model = AutoModelForCausalLM.from_pretrained(folders["mixtral"]).train()
    for _ in range(2):
        trace, own = capture(model, TEXT, tokenizer=loaded.tokenizer), capture(loaded, TEXT)
        for name in ("expert_logits", "expert_ids", "expert_weights", "width_ran", "logprob"):
            np.testing.assert_array_equal(getattr(trace, name), getattr(own, name))
    assert model.training and trace.meta["family"] == MOE


def test_trace_of_another_family_keeps_its_statement_in_a_file(folders, tmp_path):
    trace = capture(load_model(folders["qwen2_moe"]), TEXT)
    trace.save(tmp_path / "qwen.trace.safetensors")
    again = RoutingTrace.load(tmp_path / "qwen.trace.safetensors")
    assert again.parts == {"width"} and again.meta["notes"] == trace.meta["notes"]
    assert again.meta["notes"][0] == "Layer 0 has no router, and every token passes its one FFN."
    assert any("shared" in note for note in again.meta["notes"])


def test_dense_model_has_no_routing_and_no_lambda(folders):
    trace = capture(load_model(folders["llama"]), TEXT)
    assert trace.parts == frozenset() and not trace.width_ran.any() and trace.max_loops == trace.num_experts == 1
    assert np.isfinite(trace.logprob[1:]).all()


def test_a_list_of_texts_and_windows_route_as_single_passes_do(folders):
    loaded = load_model(folders["mixtral"])
    alone, together = capture(loaded, TEXT), capture(loaded, [TEXT, "Hi", TEXT * 9])
    np.testing.assert_array_equal(together[0].expert_ids, alone.expert_ids)
    assert len(together[2].windows) > 1 and together[2].width_ran.all()


@pytest.mark.parametrize("kind", ["mixtral", "olmoe"])
def test_interventions_on_experts_change_what_they_name(folders, kind):
    loaded = load_model(folders[kind])
    plain = capture(loaded, TEXT)
    dropped = int(plain.expert_ids[1, 3, 0])
    under = capture(loaded, TEXT, interventions=(DropExpert(dropped, layers=1, tokens=3),))
    assert dropped not in under.expert_ids[1, 3][under.expert_ran[1, 3]]
    np.testing.assert_array_equal(under.expert_ids[1, :3], plain.expert_ids[1, :3])
    assert under.logprob[4] != plain.logprob[4]
    same = capture(loaded, TEXT, interventions=(ForceTopK(2),))
    np.testing.assert_allclose(same.logprob, plain.logprob, atol=1e-5)  # the same weights, summed in another order
    forced = capture(loaded, TEXT, interventions=(ForceExperts((6, 1), layers=0),))
    assert set(np.unique(forced.expert_ids[0])) == {1, 6}
    again = capture(loaded, TEXT)
    np.testing.assert_array_equal(again.logprob, plain.logprob)
    with pytest.raises(ValueError, match="ForceLoops cannot be applied to a model that chooses no loops"):
        capture(loaded, TEXT, interventions=(ForceLoops(2),))


@pytest.mark.parametrize("kind", ["qwen3_moe", "llama", "olmoe"])
def test_attention_is_what_the_model_reads_with(folders, kind):
    loaded = load_model(folders[kind])
    trace = capture(loaded, TEXT)
    read = capture_attention(loaded, trace).at(trace.num_tokens - 1)
    loaded.model.set_attn_implementation("eager")
    with torch.inference_mode():
        output = loaded.model(torch.tensor([trace.token_ids.tolist()]), output_attentions=True)
    own = np.stack([each[0, :, -1].numpy() for each in output.attentions])
    np.testing.assert_allclose(read.pattern, own, atol=2e-6)
    assert read.gap.max() < 1e-5


def test_generation_keeps_the_experts_of_every_token(folders):
    loaded = load_model(folders["olmoe"])
    written = Generation(loaded, "Hello")
    assert len(list(written.steps(4))) == 4
    trace = written.trace()
    whole = capture(loaded, trace.meta["text"])
    assert trace.num_tokens == 9 and trace.parts == {"width"}
    if np.array_equal(whole.token_ids, trace.token_ids):
        np.testing.assert_array_equal(whole.expert_ids, trace.expert_ids)


def test_router_of_another_kind_is_refused(folders, tmp_path, monkeypatch):
    from transformers.models.mixtral.modeling_mixtral import MixtralTopKRouter

    own = MixtralTopKRouter.forward

    def biased(self, hidden):
        logits, weights, ids = own(self, hidden)
        return logits, weights, (ids + 1) % self.num_experts

    monkeypatch.setattr(MixtralTopKRouter, "forward", biased)
    with pytest.raises(ValueError, match="the experts of layer 0 must be those of its router's largest logits"):
        load_model(folders["mixtral"])


def test_damaged_folders_are_refused_in_a_sentence(tmp_path):
    more_layers = edit_config(save_other(tmp_path / "a", "mixtral"), num_hidden_layers=9) or tmp_path / "a"
    with pytest.raises(ValueError, match=r"holds .* parameters, and config.json describes .*: take weights and"):
        load_model(more_layers)
    edit_weights(save_other(tmp_path / "b", "olmoe"), lambda tensors: tensors.update(more=torch.ones(2)))
    with pytest.raises(ValueError, match="has 1 unexpected tensor"):
        load_model(tmp_path / "b")
    edit_weights(save_other(tmp_path / "c", "llama"), lambda tensors: tensors["model.norm.weight"].fill_(torch.nan))
    with pytest.raises(ValueError, match="c was refused: its logits are not finite"):
        load_model(tmp_path / "c")
    edit_config(tmp_path / "c", num_attention_heads=10**9)
    with pytest.raises(ValueError, match="num_attention_heads must be a whole number"):
        load_model(tmp_path / "c")


def test_command_line_tells_what_such_a_model_has(folders, tmp_path, capsys):
    assert main(["trace", TEXT, "--model", str(folders["qwen3_moe"]), "--out", str(tmp_path / "t")]) == 0
    file = str(tmp_path / "t" / "0000.trace.safetensors")
    assert "untrained" not in capsys.readouterr().err
    assert main(["answers", file]) == 0
    told = capsys.readouterr().out
    assert "In 2 of 3 layers a router sends every token to 2 of 8 experts" in told and "Experts: " in told
    assert not any(page in told for page in ("Difficulty:", "Gate:", "Recursion:", "Walkthrough:", "Cost:", "loops"))
    assert main(["export", file, "--out", str(tmp_path / "figures"), "--formats", "csv"]) == 0
    told = capsys.readouterr()
    assert "gate_map is left out. This model is a mixture of experts and has no gate (λ)" in told.err
    assert {"expert_map.csv", "expert_load.csv"} <= {each.name for each in (tmp_path / "figures").iterdir()}
    assert not (tmp_path / "figures" / "loop_map.csv").exists()


def test_models_lists_such_folders_and_tells_why_others_are_skipped(tmp_path, capsys):
    save_other(tmp_path / "small olmoe", "olmoe")
    edit_config(save_other(tmp_path / "strange", "llama"), model_type="gpt2")
    assert main(["models", "--models", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert f"small olmoe\t{tmp_path / 'small olmoe'}\tmixture of experts (olmoe)" in told.out
    assert "strange" not in told.out and "must have model_type 'versatile_ffn', got 'gpt2': only" in told.err


LOOPED_MODELS = {"looped": {}, "early exit": {"exit_after": "layer", "num_hidden_layers": 5}}


@pytest.mark.parametrize("settings", LOOPED_MODELS.values(), ids=LOOPED_MODELS)
def test_loops_of_a_looped_model_are_its_likeliest_exits(tmp_path, settings):
    loaded = load_model(save_other(tmp_path / "looped", "looped_llama", **settings))
    trace = capture(loaded, TEXT)
    model, ids = loaded.model.model, torch.tensor([trace.token_ids.tolist()])
    assert trace.num_layers == 1 and trace.parts == {"depth"} and len(np.unique(trace.loops)) > 1
    assert trace.max_loops == (5 if settings else 4)
    assert model_facts(trace).made_of == (
        f"This model is a looped model: {len(model.layers)} layers, up to {trace.max_loops} loops."
    )
    with torch.inference_mode():  # the model by hand: the layers one after the other, and the exits by their definition
        stream, streams = model.embed_tokens(ids), []
        rotated = model.rotary_emb(stream, position_ids=torch.arange(ids.shape[1])[None])
        for loop in range(trace.max_loops):
            for layer in [model.layers[loop]] if settings else model.layers:
                stream = layer(stream, position_embeddings=rotated)
            streams.append(stream[0])
        gates = [model.exit_gate.gate(model.norm(each)).sigmoid()[:, 0].double() for each in streams]
        left, probs = torch.ones(ids.shape[1], dtype=torch.float64), []
        for gate in gates[:-1]:
            probs.append(left * gate)
            left = left * (1 - gate)
        probs = torch.stack([*probs, left], dim=-1)
        np.testing.assert_allclose(trace.depth_probs[0], probs.numpy(), atol=1e-5)
        np.testing.assert_array_equal(trace.loops[0], probs.argmax(dim=-1).numpy() + 1)
        output = torch.stack(streams)[trace.loops[0] - 1, range(ids.shape[1])]
        logits = loaded.model.lm_head(model.norm(output)).log_softmax(dim=-1)
    np.testing.assert_allclose(trace.next_logprobs[:, 0], logits.amax(dim=-1).numpy(), atol=1e-5)


def test_looped_model_generates_as_it_reads_and_takes_forced_loops(tmp_path):
    loaded = load_model(save_other(tmp_path / "looped", "looped_llama"))
    written = Generation(loaded, "Hello")
    assert len(list(written.steps(5))) == 5
    trace = written.trace()
    again = capture(loaded, read(loaded, trace))
    np.testing.assert_array_equal(again.token_ids, trace.token_ids)
    np.testing.assert_allclose(again.depth_logits, trace.depth_logits, atol=1e-4)
    token = int(np.flatnonzero(again.loops[0] != 3)[0])
    forced = capture(loaded, read(loaded, trace), interventions=(ForceLoops(3, tokens=token),))
    assert forced.loops[0, token] == 3 and not np.array_equal(forced.next_logprobs[token], again.next_logprobs[token])
    with pytest.raises(ValueError, match="cannot be applied to a model that chooses no experts"):
        capture(loaded, TEXT, interventions=(ForceTopK(1),))


def test_fixed_loops_are_no_decision(tmp_path):
    trace = capture(load_model(save_other(tmp_path / "fixed", "looped_llama", exits="fixed")), TEXT)
    assert trace.parts == frozenset() and trace.max_loops == 1
    assert "Every token of a text takes 4 loops, and nothing is decided." in trace.meta["notes"][0]
    assert model_facts(trace).made_of == "This model is a looped model: 3 layers."
    assert overview_of_family(trace).text.startswith("This looped model decides nothing about a token")
    unsaid = replace(trace, meta=trace.meta | {"config": {}})
    assert model_facts(unsaid).made_of == "This model is a looped model."


def test_many_experts_have_rows_for_the_most_chosen_ones(tmp_path):
    from analysis.figures import expert_tokens_figure
    from analysis.figures.expert_tokens import MOST_ROWS
    from analysis.view import View
    from analysis.words.strip import strip

    many = save_other(tmp_path / "many", "olmoe", experts=64, num_experts_per_tok=8)
    trace = capture(load_model(many), TEXT)
    figure = expert_tokens_figure(trace, View(layer=1, token=3))
    heading = figure.layout.annotations[0].text
    assert len(figure.data[0].y) == MOST_ROWS and "the 32 of 64 experts with the most choices" in heading
    rows = [row[0][2] for row in figure.data[0].customdata]
    counts = np.bincount(trace.expert_ids[1].ravel(), minlength=64)
    assert rows == sorted(rows) and counts[rows].min() >= np.delete(counts, rows).max()
    drawn = strip(trace, "Experts", layer=1, token=3, at_layer=1, theme="light")
    assert drawn.badges[3] == f"{trace.expert_ids[1, 3, 0]} +7" and drawn.values[3].count(",") == 7


def test_lens_reads_the_stream_before_and_after_every_layer(folders):
    from hooks import stream_lens

    loaded = load_model(folders["granitemoe"])
    trace = capture(loaded, TEXT)
    lens = stream_lens(loaded, trace, 7, 99)
    with torch.inference_mode():
        output = loaded.model(torch.tensor([trace.token_ids.tolist()]), output_hidden_states=True)
    before = torch.stack([each[0, 7] for each in output.hidden_states[:3]])
    own = loaded.unembed(before).softmax(dim=-1)
    np.testing.assert_allclose(lens.probability[:3], own[:, 99].detach().numpy(), rtol=1e-4)
    truth = output.logits[0, 7].softmax(dim=-1)
    assert lens.top_ids[-1, 0] == int(truth.argmax()) and lens.kl[-1] < 1e-6 and lens.rounding < 1e-4


def test_one_pass_over_the_text_serves_the_lens_of_every_token(folders):
    from hooks import stream_lens, stream_pass, stream_pass_bytes

    loaded = load_model(folders["granitemoe"])
    trace = capture(loaded, TEXT)
    own, calls = stream_pass(loaded, trace, 3), []
    assert own.streams.nbytes + own.logits.nbytes == stream_pass_bytes(
        loaded.config, trace.num_layers, trace.num_tokens
    )
    alone = {token: stream_lens(loaded, trace, token, 99) for token in (0, 7, trace.num_tokens - 1)}
    handle = loaded.model.model.layers[0].register_forward_hook(lambda *_: calls.append(1))
    shared = {token: stream_lens(loaded, trace, token, 99, own=own) for token in alone}
    handle.remove()
    assert not calls
    for token, lens in shared.items():
        for name in ("top_ids", "rank", "probability", "entropy", "kl", "rounding"):
            np.testing.assert_array_equal(getattr(lens, name), getattr(alone[token], name))
