"""The lens reads what the states say; leaving where the token left is the model itself."""

import numpy as np
import pytest
import torch

from analysis.explain.ledger import stream_writes
from analysis.explain.lens import grid, lens_table
from hooks import (
    capture,
    capture_paths,
    edited,
    logit_direction,
    own_pass,
    own_pass_bytes,
    recursion_lens,
    remove_writes,
)
from hooks.lens import summary_of_logits
from hooks.lens_trace import EXIT, OUTPUT, STATE
from sample_models import load_model
from sample_models.registry import available_models
from tests.models import small_loaded

TEXT = "The fox went softly through the snow, 7 + 5 = 12."
TOKEN, TARGET = 20, 101


@pytest.fixture(scope="module")
def paths(loaded):
    return capture_paths(loaded, TEXT)


@pytest.fixture(scope="module")
def lens(loaded, paths):
    return recursion_lens(loaded, paths, TOKEN, TARGET)


def read(loaded, stream) -> torch.Tensor:
    with torch.no_grad():
        return loaded.model.lm_head(loaded.model.model.norm(torch.tensor(stream))).log_softmax(-1)


def test_there_is_a_reading_for_every_state_exit_and_layer(lens):
    assert [len(lens.of(kind)) for kind in (STATE, EXIT, OUTPUT)] == [2 * 5, 2 * 4, 2]
    np.testing.assert_array_equal(grid(lens, STATE, lens.loop), np.tile(np.arange(5), (2, 1)))
    np.testing.assert_array_equal(grid(lens, EXIT, lens.loop), np.tile(np.arange(1, 5), (2, 1)))
    np.testing.assert_array_equal(lens.layer[lens.of(OUTPUT)], [0, 1])


def test_exits_can_be_read_in_some_layers_alone(loaded, paths, lens):
    some = recursion_lens(loaded, paths, TOKEN, TARGET, exits=(1,))
    assert [some.layers_of(kind).tolist() for kind in (STATE, EXIT, OUTPUT)] == [[0, 1], [1], [0, 1]]
    kept = (lens.kind != EXIT) | (lens.layer == 1)
    for name in ("kind", "layer", "loop", "used", "top_ids", "rank"):
        np.testing.assert_array_equal(getattr(some, name), getattr(lens, name)[kept])
    for name in ("probability", "entropy", "kl"):
        np.testing.assert_allclose(getattr(some, name), getattr(lens, name)[kept], rtol=1e-3, atol=1e-5)
    assert not recursion_lens(loaded, paths, TOKEN, TARGET, exits=()).layers_of(EXIT).size
    with pytest.raises(ValueError, match="layer 2 was not captured, so its exits cannot be read"):
        recursion_lens(loaded, paths, TOKEN, TARGET, exits=(0, 2))


def test_a_reading_that_nobody_waits_for_ends_before_its_next_layer(loaded, paths):
    checks = []
    recursion_lens(loaded, paths, TOKEN, TARGET, check=lambda: checks.append(1))
    assert len(checks) == 2  # one before each layer

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        recursion_lens(loaded, paths, TOKEN, TARGET, check=stop)


def test_state_readings_equal_what_is_found_by_hand(loaded, paths, lens):
    own = read(loaded, paths.resid_final[TOKEN]).double()
    for layer in range(2):
        for loop in range(5):
            log_probs = read(loaded, paths.states[layer, TOKEN, loop]).double()
            probs = log_probs.exp()
            assert grid(lens, STATE, lens.probability)[layer, loop] == pytest.approx(float(probs[TARGET]), rel=1e-4)
            assert grid(lens, STATE, lens.rank)[layer, loop] == 1 + int((log_probs > log_probs[TARGET]).sum())
            assert grid(lens, STATE, lens.entropy)[layer, loop] == pytest.approx(-float(probs @ log_probs), rel=1e-4)
            kl = float(own.exp() @ (own - log_probs))
            assert grid(lens, STATE, lens.kl)[layer, loop] == pytest.approx(kl, abs=1e-5)
            np.testing.assert_array_equal(grid(lens, STATE, lens.top_ids)[layer, loop], probs.topk(5).indices)


@pytest.mark.parametrize("vocabulary", [3, 256, 1000, 40_000])
def test_summary_equals_what_a_sort_of_the_whole_vocabulary_says(vocabulary):
    logits = torch.randn(40, vocabulary, generator=torch.Generator().manual_seed(0)) * 4
    ids, shares, rank, probability, entropy, kl = summary_of_logits(logits, logits[7], 2)
    exact = logits.double().log_softmax(-1)
    best = exact.topk(min(5, vocabulary))
    np.testing.assert_array_equal(ids, best.indices)
    np.testing.assert_allclose(shares, best.values.exp(), rtol=1e-5)
    np.testing.assert_array_equal(rank, 1 + (exact > exact[:, 2:3]).sum(-1))
    np.testing.assert_allclose(probability, exact[:, 2].exp(), rtol=1e-5)
    np.testing.assert_allclose(entropy, -(exact.exp() * exact).sum(-1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(kl, (exact[7].exp() * (exact[7] - exact)).sum(-1), rtol=1e-4, atol=1e-6)
    assert kl[7] == 0


def test_exit_equals_a_whole_pass_that_leaves_there(loaded, lens):
    ids = torch.tensor([loaded.tokenizer(TEXT)["input_ids"]])
    for layer in range(2):
        for loop in range(1, 5):

            def leave(choice, hook, loop=loop):
                changed = choice.clone()
                changed[0, TOKEN] = loop - 1
                return changed

            with torch.no_grad(), edited({f"blocks.{layer}.mlp.hook_loop_choice": leave}):
                log_probs = loaded.model(ids, use_cache=False).logits[0, TOKEN].log_softmax(-1)
            assert grid(lens, EXIT, lens.probability)[layer, loop - 1] == pytest.approx(
                float(log_probs[TARGET].exp()), rel=1e-3
            )
            np.testing.assert_array_equal(grid(lens, EXIT, lens.top_ids)[layer, loop - 1, 0], log_probs.argmax())


def test_exit_where_the_token_left_is_the_model_itself(loaded, lens):
    trace = capture(loaded, TEXT)
    assert 0 < lens.rounding < 1e-4  # of the other exits, which run the token alone
    for layer in range(2):
        exits = grid(lens, EXIT, np.arange(len(lens.kind)))[layer]
        taken = exits[lens.used[exits]]
        assert lens.loop[taken].tolist() == [trace.loops[layer, TOKEN]]
        assert lens.top_tokens[taken[0]] == trace.next_tokens[TOKEN]
        assert lens.kl[taken[0]] == 0
        own = torch.tensor(trace.next_logprobs[TOKEN]).exp()
        torch.testing.assert_close(torch.tensor(lens.top_probs[taken[0]]), own, rtol=0, atol=0)


def test_one_pass_over_the_text_serves_every_token_and_the_removals(loaded, paths, lens):
    own, calls = own_pass(loaded, paths.routing, 3), []
    handle = loaded.model.model.layers[0].register_forward_hook(lambda *_: calls.append(1))
    again = recursion_lens(loaded, paths, TOKEN, TARGET, own=own)
    direction = logit_direction(loaded, paths, TOKEN, TARGET)
    vectors, table = stream_writes(paths, TOKEN)
    writes = list(zip(table["layer"].tolist(), table["kind"].tolist(), vectors, strict=True))
    removed = remove_writes(loaded, direction, paths.routing, writes, own=own)
    handle.remove()
    assert len(calls) == 2  # one for the token's exits and one for its writes
    for name in ("top_ids", "used", "rank", "probability", "entropy", "kl", "rounding"):
        np.testing.assert_array_equal(getattr(again, name), getattr(lens, name))
    np.testing.assert_allclose(removed, remove_writes(loaded, direction, paths.routing, writes), atol=1e-5)


def test_size_of_a_pass_is_as_stated(loaded, paths):
    own = own_pass(loaded, paths.routing, TOKEN)
    held = own.logits.nbytes + sum(part.nbytes for layer in own.past for part in layer[:2])
    assert held == own_pass_bytes(loaded.config, len(own.ids))


def told(loaded, ids, layer: int, token: int, loop: int) -> torch.Tensor:
    """Logits [vocab] after a token that is told to leave a layer after so many loops, in a pass over the whole text."""

    def leave(choice, hook):
        changed = choice.clone()
        changed[0, token] = loop - 1
        return changed

    with torch.inference_mode(), edited({f"blocks.{layer}.mlp.hook_loop_choice": leave}):
        return loaded.model(ids, use_cache=False).logits[0, token]


@pytest.mark.parametrize("model", [None, *(name for name, _ in available_models())])
@pytest.mark.parametrize("text", [TEXT, "x", "Once upon a time\n\n" * 8, "2 + 2 = 4, 氷と火。 def f(x): return x"])
def test_told_to_leave_where_it_left_a_token_gives_the_same_logits_bit_for_bit(model, text, loaded):
    loaded = load_model(model) if model else loaded
    trace = capture(loaded, text)
    ids = torch.tensor([trace.token_ids.tolist()])
    with torch.inference_mode():
        own = loaded.model(ids, use_cache=False).logits[0]
    for token in {0, trace.num_tokens // 2, trace.num_tokens - 1}:
        for layer, ran in enumerate(trace.loops[:, token].tolist()):
            assert torch.equal(told(loaded, ids, layer, token, ran), own[token])
            assert not torch.equal(told(loaded, ids, layer, token, ran % 4 + 1), own[token])


def test_the_two_readings_differ_and_say_what_was_used(lens):
    state, left = grid(lens, STATE, lens.probability)[:, 1:], grid(lens, EXIT, lens.probability)
    assert np.abs(state / left - 1).max() > 0.05
    # All loops in the last layer: lambda is 0 and nothing follows, so leaving there is reading the state.
    assert state[1, 3] == pytest.approx(left[1, 3], rel=1e-4)
    loops = lens.routing.loops[:, TOKEN]
    np.testing.assert_array_equal(grid(lens, STATE, lens.used).sum(axis=1), loops + 1)
    np.testing.assert_array_equal(grid(lens, EXIT, lens.used).sum(axis=1), [1, 1])


def test_last_layers_output_is_the_models_prediction(lens):
    assert lens.kl[lens.of(OUTPUT)[-1]] == pytest.approx(0, abs=1e-6)


def test_table_has_one_row_per_reading(lens):
    table = lens_table(lens)
    assert len(table) == len(lens.kind) and set(table["reading"]) == {"state", "exited here", "layer output"}
    assert table["top_tokens"][0] == lens.top_tokens[0]


def test_target_outside_the_vocabulary_is_refused():
    loaded = small_loaded()
    with pytest.raises(ValueError, match=r"token ids must be 0\.\.256, got -1"):
        recursion_lens(loaded, capture_paths(loaded, "fox"), 1, -1)
