"""Variants of a text's experts in shared passes: equal to a capture of each, and exact where nothing can change."""

import numpy as np
import pytest
import torch

from hooks import DropExpert, ForceLoops, ForceTopK, capture, variant_logprobs
from tests.models import byte_tokenizer, small_loaded

TEXT = "Once upon a fox."
THENS = ("repick", "renormalised", "kept", "mean")


def variants_of(layers: int) -> list[tuple]:
    """Drops of one, of several and of all experts, in every path and with whatever follows, and forced numbers."""
    found = [
        (DropExpert(expert, layer, path=path, then=then),)
        for layer in range(layers)
        for then in THENS
        for path in ("width", "depth", "both")
        for expert in (1, 6)
    ]
    for layer in range(layers):
        found.append((DropExpert(1, layer, (3, 5, 9)), DropExpert(4, layer, (2, 9), then="kept")))
        found.append(tuple(DropExpert(expert, layer, path="both", then="kept") for expert in range(8)))
        found += [(ForceTopK(k, layer),) for k in (1, 2, 5, 8)]
    return [*found, (ForceTopK(3),), (DropExpert(2), DropExpert(5)), (ForceTopK(1), DropExpert(0, 1))]


@pytest.mark.parametrize("sizes", [{"num_hidden_layers": 3}, {"max_position_embeddings": 16}], ids=["pass", "windows"])
def test_every_variant_is_what_a_capture_under_it_gives(sizes):
    loaded = small_loaded(**sizes)
    text = TEXT if "num_hidden_layers" in sizes else "A fox slept under the old oak until noon."
    trace = capture(loaded, text)
    assert (len(trace.windows) > 2) == ("num_hidden_layers" not in sizes)
    told = variants_of(trace.num_layers)
    found = variant_logprobs(loaded, trace, told)
    assert np.isnan(found[:, 0]).all() and np.isfinite(found[:, 1:]).all()
    for variant, logprob in zip(told, found, strict=True):
        expected = capture(loaded, text, interventions=variant).logprob
        np.testing.assert_allclose(logprob, expected, rtol=0, atol=1e-5, err_msg=str(variant))
    assert np.abs(found - trace.logprob)[:, 1:].max() > 0.1


def test_what_the_model_did_not_choose_is_dropped_without_a_bit_of_change(loaded):
    trace = capture(loaded, TEXT)
    spared = [
        (DropExpert(expert, layer, token, then=then),)
        for layer, token in np.ndindex(trace.loops.shape)
        for expert, then in zip(
            sorted(set(range(8)) - set(trace.expert_ids[layer, token].tolist())), THENS, strict=False
        )
    ]
    assert len(spared) == 4 * trace.loops.size
    found = variant_logprobs(loaded, trace, spared)
    assert np.array_equal(found, np.tile(trace.logprob, (len(spared), 1)), equal_nan=True)


def test_nothing_changes_before_the_first_token_that_had_the_expert(loaded):
    trace = capture(loaded, TEXT)
    had = trace.expert_ran & (trace.expert_ids == 3)
    first = int(np.flatnonzero(had[0].any(axis=-1))[0])
    (logprob,) = variant_logprobs(loaded, trace, [(DropExpert(3, 0),)])
    assert np.array_equal(logprob[1 : first + 1], trace.logprob[1 : first + 1])
    assert logprob[first + 1] != trace.logprob[first + 1]


def test_a_stop_between_layers_leaves_the_model_as_it_was(loaded):
    trace, ids = capture(loaded, TEXT), torch.tensor([byte_tokenizer()(TEXT)["input_ids"]])
    with torch.inference_mode():
        before = loaded.model(ids).logits
    calls = []

    def stop() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        variant_logprobs(loaded, trace, [(DropExpert(3),)], between=stop)
    with torch.inference_mode():
        assert torch.equal(loaded.model(ids).logits, before)


def test_what_no_variant_can_be_is_refused(loaded):
    trace = capture(loaded, TEXT)
    with pytest.raises(ValueError, match="expert must be 0..7, got 8"):
        variant_logprobs(loaded, trace, [(DropExpert(8),)])
    for wrong in ((), (ForceLoops(2),)):
        with pytest.raises(ValueError, match="one or more of DropExpert and ForceTopK"):
            variant_logprobs(loaded, trace, [wrong])
    forced = capture(loaded, TEXT, interventions=(ForceLoops(2),))
    with pytest.raises(ValueError, match="made with interventions"):
        variant_logprobs(loaded, forced, [(DropExpert(1),)])
    with pytest.raises(ValueError, match="cannot be replayed"):
        variant_logprobs(small_loaded(seed=1), trace, [(DropExpert(1),)])
