"""KL of the predictions of two passes: against a float64 forward, in parts, and 0 where nothing can have changed."""

import copy

import numpy as np
import pytest
import torch

from hooks import DropPath, ForceLoops, capture, divergence, next_token_kl
from sample_models.intervening import intervened
from tests.models import small_loaded

TEXT = "Once upon a fox."
CHANGED = (ForceLoops(1, layers=0, tokens=(3, 4)), DropPath("depth", layers=1, tokens=9))


@pytest.fixture(scope="module")
def pair(loaded):
    return capture(loaded, TEXT), capture(loaded, TEXT, interventions=CHANGED)


def test_kl_is_that_of_a_float64_forward(loaded, pair):
    model, ids = copy.deepcopy(loaded.model).double(), torch.tensor([pair[0].token_ids.tolist()])
    with torch.inference_mode():
        p = model(ids).logits[0].log_softmax(-1)
        with intervened(model, CHANGED):
            q = model(ids).logits[0].log_softmax(-1)
    expected = (p.exp() * (p - q)).sum(-1).numpy()
    found = next_token_kl(loaded, *pair)
    assert expected.max() > 0.01, "the interventions do something"
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_kl_is_exactly_zero_before_the_first_named_token_and_between_equal_passes(loaded, pair):
    found = next_token_kl(loaded, *pair)
    assert (found[:3] == 0).all() and found[3] > 0
    assert (next_token_kl(loaded, pair[1], pair[1]) == 0).all()


def test_kl_is_the_same_with_few_tokens_in_memory_at_a_time(loaded, pair, monkeypatch):
    whole = next_token_kl(loaded, *pair)
    monkeypatch.setattr(divergence, "LOGITS", 3 * loaded.config.vocab_size)
    np.testing.assert_allclose(next_token_kl(loaded, *pair), whole, atol=1e-6)


def test_kl_of_a_text_in_windows_is_that_of_each_window():
    short = small_loaded(max_position_embeddings=8)
    before, after = capture(short, TEXT), capture(short, TEXT, interventions=CHANGED)
    assert len(before.windows) > 1
    found = next_token_kl(short, before, after)
    assert found.shape == (before.num_tokens,) and found[9] > 0 and (found[:3] == 0).all()


def test_kl_of_other_texts_or_models_is_refused(loaded, pair):
    with pytest.raises(ValueError, match="must be of the same text"):
        next_token_kl(loaded, pair[0], capture(loaded, "Another"))
    with pytest.raises(ValueError, match="cannot be replayed in"):
        next_token_kl(small_loaded(seed=1), *pair)
