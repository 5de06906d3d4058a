"""Contributions sum to the model's own logit; removal is what the model does without a write."""

import threading

import numpy as np
import pytest
import torch

from analysis.explain.attribution import attribution, attribution_table, named_targets
from analysis.explain.ledger import stream_writes
from app.texts.examples import EXAMPLES
from hooks import capture_paths, edited, instrument, logit_direction, record, remove_writes
from hooks.rerun import rerun_token
from sample_models import load_model
from sample_models.registry import available_models
from tests.models import small_loaded

TEXT = "The fox went softly through the snow, 7 + 5 = 12."


@pytest.fixture(scope="module")
def paths(loaded):
    return capture_paths(loaded, TEXT)


@pytest.fixture(scope="module")
def ids(paths):
    return paths.routing.token_ids.tolist()


@pytest.mark.parametrize("token", [0, 9, 48])
@pytest.mark.parametrize("distractor", [None, 7])
def test_contributions_sum_to_the_models_logit(loaded, paths, ids, token, distractor):
    found = attribution(paths, logit_direction(loaded, paths, token, 101, distractor))
    with torch.no_grad():
        logits = loaded.model(torch.tensor([ids]), use_cache=False).logits[0, token]
    own = float(logits[101] - (logits[distractor] if distractor else 0))
    assert found.total == pytest.approx(own, abs=1e-4) == pytest.approx(found.direction.value, abs=1e-4)
    assert found.gap <= found.allowed


@pytest.mark.parametrize("name", [name for name, _ in available_models()])
def test_contributions_sum_to_the_logit_difference_of_shipped_models(name):
    model = load_model(name)
    for text in ("fox", "sums", "code"):
        paths = capture_paths(model, EXAMPLES[text].text)
        for token in range(0, paths.num_tokens, 7):
            likeliest, second = paths.routing.next_ids[token, :2].tolist()
            found = attribution(paths, logit_direction(model, paths, token, likeliest, second))
            assert found.gap <= 1e-4


@pytest.mark.parametrize(("dtype", "roundoff"), [(torch.bfloat16, 2**-8), (torch.float16, 2**-11)])
@pytest.mark.parametrize("name", [name for name, _ in available_models()])
def test_half_precision_of_shipped_models_stays_within_four_units_of_roundoff(name, dtype, roundoff):
    model = load_model(name, dtype=dtype)
    paths = capture_paths(model, EXAMPLES["fox"].text)
    for token in range(0, paths.num_tokens, 7):
        likeliest, second = paths.routing.next_ids[token, :2].tolist()
        found = attribution(paths, logit_direction(model, paths, token, likeliest, second))
        normed = paths.norm_scale[token] * np.linalg.norm(paths.resid_final[token])
        assert found.allowed == pytest.approx(4 * roundoff * normed * np.linalg.norm(found.direction.vector), rel=1e-5)
        assert 0 < found.gap <= found.allowed


def test_attribution_equals_what_is_found_by_hand(loaded, paths):
    """A contribution is the write, normed as the whole stream is, read by the two rows of the head."""
    direction = logit_direction(loaded, paths, 9, 101, 7)
    vectors, table = stream_writes(paths, 9)
    stream, head = paths.resid_final[9].astype(float), loaded.model.lm_head.weight.detach().double().numpy()
    weight = loaded.model.model.norm.weight.detach().double().numpy()
    rms = np.sqrt((stream**2).mean() + 1e-6)
    expected = (vectors / rms * weight) @ (head[101] - head[7])
    np.testing.assert_allclose(attribution(paths, direction).table["contribution"], expected, atol=1e-6)


def test_ids_outside_the_vocabulary_are_refused(loaded, paths):
    with pytest.raises(ValueError, match=r"token ids must be 0\.\.256, got 257"):
        logit_direction(loaded, paths, 3, 257)


def test_variant_without_edits_is_the_model(loaded, paths, ids):
    with torch.no_grad():
        own = loaded.model(torch.tensor([ids]), use_cache=False).logits[0]
    for token in (0, 1, 30):
        np.testing.assert_allclose(rerun_token(loaded, paths.routing, token, [{}, {}]), own[[token, token]], atol=1e-4)


def test_removal_equals_a_whole_pass_without_the_write(loaded, paths, ids):
    token, direction = 20, logit_direction(loaded, paths, 20, 101, 7)
    vectors, table = stream_writes(paths, token)
    some = [0, 1, 2, len(table) - 1]
    writes = [(int(table["layer"][i]), table["kind"][i], vectors[i]) for i in some]
    effects = remove_writes(loaded, direction, paths.routing, writes)
    places = ["blocks.0.hook_resid_pre", "blocks.0.hook_resid_mid", "blocks.0.mlp.hook_out", "blocks.1.mlp.hook_out"]
    for place, (_, _, vector), effect in zip(places, writes, effects, strict=True):

        def without(tensor, hook, vector=vector):
            changed = tensor.clone()
            changed[0, token] -= torch.tensor(vector, dtype=tensor.dtype)
            return changed

        with torch.no_grad(), edited({place: without}):
            logits = loaded.model(torch.tensor([ids]), use_cache=False).logits[0, token]
        assert direction.value - float(logits[101] - logits[7]) == pytest.approx(effect, abs=2e-4)


def test_removing_a_write_of_the_last_layer_changes_only_the_norm(loaded, paths, ids):
    """What stays is the stream without the write, normed anew: nothing comes after it."""
    direction = logit_direction(loaded, paths, 20, 101, 7)
    vectors, table = stream_writes(paths, 20)
    row = len(table) - 1
    rest = torch.tensor(paths.resid_final[20] - vectors[row], dtype=torch.float32)
    with torch.no_grad():
        logits = loaded.model.lm_head(loaded.model.model.norm(rest[None]))[0]
    effect = remove_writes(loaded, direction, paths.routing, [(1, table["kind"][row], vectors[row])])
    assert direction.value - float(logits[101] - logits[7]) == pytest.approx(float(effect[0]), abs=2e-4)


def test_many_variants_take_more_passes_and_give_the_same(loaded, paths, monkeypatch):
    edits = [{"blocks.0.mlp.hook_loop_choice": lambda choice, hook, n=n: torch.full_like(choice, n)} for n in range(4)]
    together = rerun_token(loaded, paths.routing, 12, edits)
    monkeypatch.setattr("hooks.rerun.MAX_VARIANTS", 1)
    np.testing.assert_allclose(rerun_token(loaded, paths.routing, 12, edits), together, atol=1e-4)


def test_edits_end_with_their_block_and_stay_in_their_thread():
    loaded = small_loaded()
    instrument(loaded.model)
    name, ids = "blocks.0.mlp.hook_loop_choice", torch.tensor([[1, 2, 3]])

    def choices(found: list):
        with torch.no_grad(), record([name]) as recording:
            loaded.model(ids)
        found.append(recording[name].tolist())

    plain, forced, elsewhere, after = [], [], [], []
    choices(plain)
    other = 3 - torch.tensor(plain[0])
    with pytest.raises(RuntimeError, match="planned"), edited({name: lambda choice, hook: other}):
        choices(forced)
        thread = threading.Thread(target=choices, args=(elsewhere,))
        thread.start()
        thread.join()
        raise RuntimeError("planned")
    choices(after)
    assert forced == [other.tolist()] and elsewhere == after == plain


def test_table_names_the_response_to_a_removal(loaded, paths):
    plain = attribution(paths, logit_direction(loaded, paths, 9, 101, 7))
    assert not plain.measured and attribution_table(plain)["response"].isna().all()
    effects = np.linspace(-1, 1, len(plain.table))
    found = attribution(paths, plain.direction, effects)
    assert found.measured
    np.testing.assert_allclose(attribution_table(found)["response"], effects - plain.table["contribution"])


def test_largest_writes_are_of_either_sign(loaded, paths):
    found = attribution(paths, logit_direction(loaded, paths, 9, 101))
    sizes = found.table["contribution"].abs()
    assert found.largest(4).index.tolist() == sizes.sort_values(ascending=False).index[:4].tolist()
    assert (found.of_layer(1)["layer"] == 1).all() and len(found.of_layer(-1)) == 1


def test_targets_have_names(paths):
    trace = paths.routing
    first, second = trace.next_ids[9, :2].tolist()
    names = ["likeliest next token", "second likeliest", "token that follows"]
    assert named_targets(trace, 9) == dict(zip(names, (first, second, int(trace.token_ids[10])), strict=True))
    assert list(named_targets(trace, trace.num_tokens - 1)) == names[:2]
