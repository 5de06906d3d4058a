"""Capturing changes nothing, mixes nothing up, and records exactly what the model did."""

import numpy as np
import pytest
import torch

from hooks import HOOK_NAMES, HookedVersatileFFN, NotFiniteError, capture, instrument, record
from sample_models.loading import LoadedModel
from tests.models import byte_tokenizer, small_loaded
from tests.threads import run_in_thread

TEXT = "The fox went softly through the snow, 7 + 5 = 12."
TEXTS = [TEXT, "a", "你好 🙂", TEXT * 3, "Count: 4, 8, 12", "x" * 40]
MARGIN = 1e-5
"""Where two choices are closer than this, rounding may decide between them."""


def count_forwards(model):
    calls = []
    return calls, model.register_forward_hook(lambda *_: calls.append(1))


def test_logits_are_bit_equal_hooked_and_unhooked():
    loaded = small_loaded()
    ids = torch.tensor([loaded.tokenizer(TEXT)["input_ids"]])
    with torch.no_grad():
        before = loaded.model(ids).logits
        instrument(loaded.model)
        instrumented = loaded.model(ids).logits
        names = [pattern.format(layer) for pattern in HOOK_NAMES.values() for layer in range(2)]
        with record(names) as recording:
            recorded = loaded.model(ids).logits
        after = loaded.model(ids).logits
    assert set(recording) == set(names)
    for other in (instrumented, recorded, after):
        assert torch.equal(before, other)


def test_trace_holds_what_the_model_computed(loaded):
    trace = capture(loaded, TEXT)
    ids = torch.tensor([loaded.tokenizer(TEXT)["input_ids"]])
    seen = {}
    handles = [
        getattr(layer.mlp, name).register_forward_hook(lambda m, i, out, key=(index, name): seen.update({key: out[0]}))
        for index, layer in enumerate(loaded.model.model.layers)
        for name in ("hook_depth_logits", "hook_loop_choice", "hook_lambda", "hook_router_logits")
    ]
    with torch.inference_mode():
        logits = loaded.model(ids).logits[0]
    for handle in handles:
        handle.remove()
    for layer in range(2):
        np.testing.assert_array_equal(trace.depth_logits[layer], seen[layer, "hook_depth_logits"])
        np.testing.assert_array_equal(trace.loops[layer], seen[layer, "hook_loop_choice"] + 1)
        np.testing.assert_array_equal(trace.gate[layer], seen[layer, "hook_lambda"][:, 0])
        np.testing.assert_array_equal(trace.expert_logits[layer], seen[layer, "hook_router_logits"])
    log_probs = logits.log_softmax(-1)
    expected = log_probs[:-1].gather(-1, ids[0, 1:, None]).squeeze(-1)
    np.testing.assert_allclose(trace.logprob[1:], expected, atol=1e-6)
    np.testing.assert_allclose(trace.next_entropy, -(log_probs.exp() * log_probs).sum(-1), atol=1e-5)
    np.testing.assert_array_equal(trace.next_ids, log_probs.topk(5).indices)


def test_lambda_and_width_follow_from_the_loops(loaded):
    trace = capture(loaded, " ".join(TEXTS))
    np.testing.assert_allclose(trace.gate, (4 - trace.loops) / 4)
    np.testing.assert_array_equal(trace.width_ran, trace.loops < 4)
    np.testing.assert_allclose(trace.expert_weights.sum(-1), 1, atol=1e-6)
    assert set(np.unique(trace.loops)) == {1, 2, 3, 4}


def test_a_list_of_texts_gives_the_same_traces_as_one_by_one(loaded):
    together = capture(loaded, TEXTS)
    for text, batched in zip(TEXTS, together, strict=True):
        alone = capture(loaded, text)
        assert (batched.tokens, batched.meta) == (alone.tokens, alone.meta)
        np.testing.assert_allclose(batched.depth_logits, alone.depth_logits, atol=1e-4)
        np.testing.assert_allclose(batched.logprob, alone.logprob, atol=1e-4)
        ordered = np.sort(alone.depth_logits, axis=-1)
        clear = ordered[..., -1] - ordered[..., -2] > MARGIN
        assert clear.all(), "no near tie in these texts: every choice must be equal"
        np.testing.assert_array_equal(batched.loops, alone.loops)
        np.testing.assert_array_equal(batched.expert_ids, alone.expert_ids)


def test_texts_of_a_list_share_passes_and_a_text_runs_once(loaded):
    calls, handle = count_forwards(loaded.model)
    capture(loaded, TEXTS)
    capture(loaded, TEXT)
    handle.remove()
    assert len(calls) == 2


def test_long_lists_are_cut_into_passes_of_bounded_size(loaded, monkeypatch):
    monkeypatch.setattr("hooks.capturing.MAX_BATCH_TOKENS", 100)
    calls, handle = count_forwards(loaded.model)
    traces = capture(loaded, ["x" * 40] * 5)
    handle.remove()
    assert len(calls) == 3 and len(traces) == 5


def test_threads_do_not_see_each_others_tensors(loaded):
    texts = [f"{i} " + TEXT * (1 + i % 3) for i in range(8)]
    alone = [capture(loaded, text) for text in texts]
    together = [run_in_thread(lambda text=text: [capture(loaded, text) for _ in range(5)]) for text in texts]
    for one, rounds in zip(alone, together, strict=True):
        for other in rounds.result(60):
            assert other.tokens == one.tokens
            np.testing.assert_array_equal(other.depth_logits, one.depth_logits)
            np.testing.assert_array_equal(other.loops, one.loops)


def test_recording_ends_with_its_block_even_after_an_error(loaded):
    instrument(loaded.model)
    name = "blocks.0.mlp.hook_lambda"
    ids = torch.tensor([[1, 2, 3]])
    with pytest.raises(RuntimeError, match="planned"), record([name]) as recording:
        raise RuntimeError("planned")
    with torch.no_grad():
        loaded.model(ids)
    assert not recording


def test_text_without_tokens_is_refused(loaded):
    with pytest.raises(ValueError, match="the text is empty"):
        capture(loaded, "")


@pytest.mark.parametrize("ffn", ["dense", "average"])
def test_model_without_the_gate_is_refused_by_name(ffn):
    loaded = small_loaded(ffn=ffn)
    with pytest.raises(ValueError, match=f"small has ffn '{ffn}', without a gate .* choose a model with ffn 'versati"):
        capture(loaded, TEXT)


def test_only_what_the_tokenizer_adds_by_itself_is_special():
    small = small_loaded()
    assert not capture(small, TEXT).special.any()
    from tokenizers.processors import TemplateProcessing

    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 256)]
    )
    with_bos = LoadedModel(small.model, tokenizer, "bos")
    trace = capture(with_bos, TEXT)
    assert trace.special.tolist() == [True] + [False] * (trace.num_tokens - 1)
    assert trace.token_ids[0] == 256
    with pytest.raises(ValueError, match="the text is empty"):
        capture(with_bos, "")


def test_bfloat16_model_gives_float32_arrays():
    loaded = small_loaded()
    trace = capture(LoadedModel(loaded.model.to(torch.bfloat16), loaded.tokenizer, "bf16"), TEXT)
    assert trace.depth_logits.dtype == np.float32 and trace.meta["dtype"] == "bfloat16"


def test_hooks_that_sit_on_taps_are_kept_by_the_first_capture_and_can_be_removed():
    loaded = small_loaded()
    tap = loaded.model.model.layers[0].mlp.hook_loop_choice
    handle = tap.register_forward_hook(lambda module, inputs, choice: torch.full_like(choice, 1))
    assert set(capture(loaded, TEXT).loops[0]) == {2}
    handle.remove()
    assert set(capture(loaded, TEXT).loops[0]) == {2, 3, 4}


def test_transformer_lens_reads_the_model_under_its_own_hook_names():
    loaded = small_loaded()
    hooked = HookedVersatileFFN(loaded.model)
    ids = torch.tensor([loaded.tokenizer(TEXT)["input_ids"]])
    with torch.no_grad():
        plain = loaded.model(ids).logits
        logits, cache = hooked.run_with_cache(ids)
    # Listening to the depth states runs every token through every loop: the same sums in another order.
    torch.testing.assert_close(logits, plain, atol=1e-5, rtol=0)
    expected = {"hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_mlp_out", "mlp.hook_in", "mlp.hook_out"}
    expected |= {f"mlp.hook_{name}" for name in ("depth_logits", "loop_choice", "lambda", "router_logits")}
    expected |= {f"mlp.hook_{name}" for name in ("expert_indices", "expert_weights", "expert_out", "depth_slices")}
    expected |= {f"mlp.hook_post{loop}" for loop in ("", "_1", "_2", "_3", "_4")}
    expected |= {f"mlp.hook_{name}" for name in ("width_out", "depth_out", *(f"depth_state_{i}" for i in (1, 2, 3, 4)))}
    assert {name for name in cache if name.startswith("blocks.1.")} == {f"blocks.1.{name}" for name in expected}
    np.testing.assert_array_equal(cache["blocks.1.mlp.hook_loop_choice"][0] + 1, capture(loaded, TEXT).loops[1])


def test_transformer_lens_hooks_can_force_the_loops():
    loaded = small_loaded()
    hooked = HookedVersatileFFN(loaded.model)
    ids = torch.tensor([loaded.tokenizer(TEXT)["input_ids"]])
    force = [("blocks.0.mlp.hook_loop_choice", lambda choice, hook: torch.full_like(choice, 3))]
    with torch.no_grad():
        forced = hooked.run_with_hooks(ids, fwd_hooks=force)
        with hooked.hooks(force):
            trace = capture(loaded, TEXT)
    assert not torch.equal(forced, loaded.model(ids).logits)
    assert (trace.loops[0] == 4).all() and not trace.width_ran[0].any()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_numbers_that_are_not_finite_stop_a_capture_in_one_sentence(value):
    loaded = small_loaded()
    fox = loaded.tokenizer("x")["input_ids"][0]
    with torch.no_grad():
        loaded.model.model.embed_tokens.weight[fox] = value
    assert np.isfinite(capture(loaded, "The fo").next_entropy).all()
    for text in ("The fox", ["The fo", "The fox"]):
        with pytest.raises(NotFiniteError, match=r"^the model's numbers for this text are not finite.*check"):
            capture(loaded, text)


@pytest.mark.parametrize("head", ["router", "depth_head"])
def test_choice_among_infinite_logits_is_none_though_the_output_is_finite(head):
    loaded = small_loaded()
    with torch.no_grad():
        getattr(loaded.model.model.layers[1].mlp, head).weight[0] = 1e38
    with pytest.raises(NotFiniteError, match="not finite"):
        capture(loaded, "The fox")
