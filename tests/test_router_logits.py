"""Traces of any mixture of experts from its router logits, and traces in vLLM's form."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from transformers import OlmoeConfig, OlmoeForCausalLM

from analysis import figures
from hooks import RoutingTrace
from tests.traces import make_trace, random_trace

SIZES = {"hidden_size": 16, "intermediate_size": 8 * 12}


@pytest.fixture(scope="module")
def arrays():
    """What a small random OLMoE of transformers gives for one text: router logits, logits, ids."""
    torch.manual_seed(0)
    config = OlmoeConfig(
        vocab_size=50, hidden_size=16, intermediate_size=12, num_hidden_layers=3, num_attention_heads=2,
        num_key_value_heads=2, num_experts=8, num_experts_per_tok=2, pad_token_id=None, eos_token_id=None,
    )  # fmt: skip
    ids = torch.randint(50, (1, 7))
    with torch.no_grad():
        output = OlmoeForCausalLM(config).eval()(ids, output_router_logits=True)
    return [layer.numpy() for layer in output.router_logits], output.logits[0].numpy(), ids[0].numpy()


def made(arrays, **how) -> RoutingTrace:
    router, logits, ids = arrays
    return RoutingTrace.from_router_logits(router, logits=logits, token_ids=ids, **{"k": 2, **how})


def test_router_logits_of_another_model_become_a_valid_trace(arrays, tmp_path, loaded):
    trace = made(arrays, model="small OLMoE", config=SIZES)
    router, logits, ids = arrays
    np.testing.assert_array_equal(trace.expert_logits, np.stack(router))
    best = torch.tensor(np.stack(router)).softmax(-1).topk(2)  # as OLMoE chooses
    np.testing.assert_array_equal(trace.expert_ids, best.indices)
    np.testing.assert_allclose(trace.expert_weights, best.values / best.values.sum(-1, keepdim=True), rtol=1e-5)
    log_p = log_softmax(logits, axis=-1)
    np.testing.assert_allclose(trace.logprob[1:], log_p[np.arange(6), ids[1:]], rtol=1e-5)
    np.testing.assert_array_equal(trace.next_ids[:, 0], logits.argmax(axis=-1))
    np.testing.assert_allclose(trace.next_entropy, -(np.exp(log_p) * log_p).sum(axis=-1), rtol=1e-4)
    assert trace.max_loops == 1 and trace.width_ran.all() and trace.parts == {"width"}
    assert trace.meta["family"] == "mixture of experts" and trace.to_frame().gate.isna().all()
    assert trace.tokens[0] == f"⟨#{ids[0]}⟩" and trace.next_tokens[0][0] == f"⟨#{trace.next_ids[0, 0]}⟩"
    trace.save(tmp_path / "a.trace.safetensors")
    assert RoutingTrace.load(tmp_path / "a.trace.safetensors").meta == trace.meta
    assert figures.expert_map_figure(trace).data
    named = made(arrays, tokenizer=loaded.tokenizer)
    assert "".join(named.tokens) and not any(token.startswith("⟨#") for token in named.tokens)


def test_a_model_that_chooses_and_weighs_otherwise_gives_its_experts_and_weights(arrays):
    ids = np.tile(np.array([6, 3]), (3, 7, 1))
    weights = np.tile(np.array([0.125, 0.5]), (3, 7, 1))
    trace = made(arrays, expert_ids=ids, expert_weights=weights)
    assert (trace.expert_ids == [3, 6]).all() and (trace.expert_weights == [0.5, 0.125]).all()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"k": 9}, r"k must be 1..8, the number of experts, got 9"),
        ({"expert_weights": np.ones((3, 7, 2))}, "expert_weights need expert_ids"),
        (
            {"expert_ids": np.tile([6, 3], (3, 7, 1)), "expert_weights": np.full((3, 7, 2), 2.5)},
            r"expert_weights must be \[layer, token, 2\], from 0 to 1",
        ),
        ({"expert_ids": np.full((3, 7, 2), 8)}, r"expert_ids must be 0..7, they run from 8 to 8"),
        ({"expert_ids": np.full((3, 7, 2), 4)}, "expert_ids must name different experts"),
        ({"special": [True]}, r"special must be \[7 tokens\], got bool \[1\]"),
        ({"token_ids": [1, 2]}, r"router_logits must be \[layer, 2 tokens, expert\], got float32 \[3, 7, 8\]"),
        ({"logits": np.zeros((7, 3))}, "logits must be .* with a number for every id, got float64"),
        ({"logits": np.full((7, 50), np.inf)}, "logits holds numbers that are not finite"),
        ({"router_logits": [np.zeros((7, 8)), np.zeros((7, 4))]}, "each with the same tokens and experts"),
        ({"router_logits": []}, "one or more layers"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_a_sentence(arrays, changes, sentence):
    router, logits, ids = arrays
    given = {"router_logits": router, "logits": logits, "token_ids": ids, "k": 2} | changes
    with pytest.raises(ValueError, match=sentence):
        RoutingTrace.from_router_logits(given.pop("router_logits"), **given)


def test_routed_experts_have_the_shape_of_vllm_and_never_count_what_did_not_run():
    trace = random_trace(layers=3, tokens=9, experts=8)
    routed = trace.to_routed_experts()
    assert routed.shape == (9, 3, 2) and routed.dtype == np.int16 and routed.flags.c_contiguous
    ran = trace.width_ran.T
    np.testing.assert_array_equal(routed[ran], trace.expert_ids.transpose(1, 0, 2)[ran])
    assert (~ran).any() and (routed[~ran] == -1).all()
    assert make_trace(loops=[[1]]).to_routed_experts().tolist() == [[[0, 1]]]
