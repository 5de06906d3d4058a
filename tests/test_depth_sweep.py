"""The depth sweep against one capture per cell."""

import numpy as np
import pytest

from hooks import DepthEffects, ForceLoops, capture, depth_sweep, sweep_tokens
from hooks.depth_effects import GATES
from tests.models import small_loaded

TEXT = "A fox, 7+5."


@pytest.fixture(scope="module")
def deep():
    """A model of three layers, so that some layer is neither the first nor the last."""
    return small_loaded(seed=3, num_hidden_layers=3)


@pytest.fixture(scope="module")
def swept(deep) -> DepthEffects:
    return depth_sweep(deep, capture(deep, TEXT))


def naive(loaded, trace, tokens) -> DepthEffects:
    """One capture per cell, each over the whole text."""
    own = np.full((len(GATES), trace.max_loops, *trace.loops.shape), np.nan, np.float32)
    later = own.copy()
    for place in np.ndindex(own.shape[:3]):
        for token in tokens:
            gate, loop, layer = place
            forced = ForceLoops(loop + 1, layer, token, GATES[gate])
            change = capture(loaded, trace.meta["text"], interventions=(forced,)).logprob - trace.logprob
            end = trace.window_of(token).end
            own[*place, token], later[*place, token] = change[token + 1], change[token + 1 : end + 1].mean()
    return DepthEffects(trace, own, later, 0.0)


def test_the_sweep_equals_one_capture_per_cell(deep, swept):
    some = [0, 4, swept.routing.num_tokens - 2]
    slow = naive(deep, swept.routing, some)
    np.testing.assert_allclose(swept.own[..., some], slow.own[..., some], rtol=0, atol=1e-5)
    np.testing.assert_allclose(swept.later[..., some], slow.later[..., some], rtol=0, atol=1e-5)
    assert np.nanmax(np.abs(slow.own)) > 0.1
    assert 0 <= swept.rounding < 1e-5


def test_the_loops_that_the_model_chose_change_nothing_at_all(swept):
    chosen = np.broadcast_to(swept.routing.loops[None] - 1, (len(GATES), 1, *swept.routing.loops.shape)[1:])
    for gate in GATES:
        for objective in ("own", "later"):
            at_chosen = np.take_along_axis(swept.of(objective, gate), chosen, axis=0)[0]
            assert (at_chosen[:, :-1] == 0).all()


def test_the_last_token_has_no_next_prediction_and_so_no_effects(swept):
    assert np.isnan(swept.own[..., -1]).all()
    assert swept.ran.tolist() == [True] * (swept.routing.num_tokens - 1) + [False]
    assert swept.complete


def test_in_the_last_layer_only_the_own_prediction_changes(swept):
    count = np.arange(swept.routing.num_tokens - 1, 0, -1)
    np.testing.assert_allclose(swept.later[:, :, -1, :-1] * count, swept.own[:, :, -1, :-1], atol=1e-6)


def test_a_sweep_can_be_stopped_and_what_is_there_goes_on_later(deep, swept):
    class Stopped(Exception):
        pass

    def check():
        nonlocal calls
        calls += 1
        if calls > 40:
            raise Stopped

    calls, parts = 0, []
    with pytest.raises(Stopped):
        for part in sweep_tokens(deep, swept.routing, check=check):
            parts.append(part)
    some = DepthEffects.none_of(swept.routing).with_tokens(parts)
    assert 0 < len(parts) < swept.routing.num_tokens - 1
    assert some.ran.sum() == len(parts) and not some.complete
    rest = [token for token in range(swept.routing.num_tokens - 1) if not some.ran[token]]
    whole = some.with_tokens(list(sweep_tokens(deep, swept.routing, tokens=rest)))
    np.testing.assert_array_equal(whole.own, swept.own)


def test_small_passes_give_what_large_ones_give(deep, swept, monkeypatch):
    monkeypatch.setattr("hooks.sweeping.MAX_ROW_TOKENS", 7)
    monkeypatch.setattr("hooks.sweeping.MAX_LOGITS", 600)
    again = depth_sweep(deep, swept.routing, tokens=[2, 9])
    np.testing.assert_allclose(again.own[..., [2, 9]], swept.own[..., [2, 9]], rtol=0, atol=1e-5)


def test_a_text_in_windows_is_forced_in_the_window_that_owns_the_token():
    loaded = small_loaded(seed=3, max_position_embeddings=8)
    trace = capture(loaded, "abcdefghijk")
    last = [trace.windows[-1].own + 1]  # only in the last window, so that a capture forces it nowhere else
    found, slow = depth_sweep(loaded, trace, tokens=last), naive(loaded, trace, last)
    np.testing.assert_allclose(found.own[..., last], slow.own[..., last], rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.later[..., last], slow.later[..., last], rtol=0, atol=1e-5)
    assert depth_sweep(loaded, trace).complete


def test_what_cannot_be_swept_is_refused_in_a_sentence(deep, swept):
    with pytest.raises(ValueError, match="tokens must be 0..9"):
        depth_sweep(deep, swept.routing, tokens=[10])
    with pytest.raises(ValueError, match="interventions"):
        depth_sweep(deep, capture(deep, TEXT, interventions=(ForceLoops(2),)))
    with pytest.raises(ValueError, match="made by"):
        depth_sweep(small_loaded(seed=1), swept.routing)
