"""The books balance: by hand, on random paths, and on every shipped model."""

import dataclasses

import numpy as np
import pytest

from analysis.explain.ledger import divided, imbalance, layer_ledger, ledger_table, stream_ledger, stream_writes
from analysis.explain.walkthrough import token_by_layer, walkthrough
from app.texts.examples import EXAMPLES
from hooks import capture_paths
from sample_models import load_model
from sample_models.registry import available_models
from tests.capture_results import make_paths
from tests.traces import make_trace, random_trace


@pytest.fixture(scope="module")
def by_hand():
    """One layer, two tokens, two entries: token 0 looped twice of four (lambda 1/2), token 1 four times (no width)."""
    trace = make_trace(loops=[[2, 4]], num_experts=2)  # experts 0 and 1 with weights 3/4 and 1/4
    states = [[[0, 0], [4, 0], [4, 2], [4, 3], [5, 3]], [[1, 0], [1, 1], [2, 1], [2, 2], [3, 2]]]
    experts = [[[4, 4], [0, -4]], [[0, 1], [0, 0]]]
    # token 0: 1/2 (4, 0) + 1/2 (0, 2) + 3/8 (4, 4) + 1/8 (0, -4) = (3.5, 2);  token 1: (3, 2) - (1, 0) = (2, 2)
    post = np.array([[[3.5, 2], [3, 2]]], np.float32)
    return make_paths(
        trace,
        hidden=2,
        states=np.array([states], np.float32),
        expert_out=np.array([experts], np.float32),
        resid_pre=np.array([[[-1, 0], [1, 0]]], np.float32),
        embedding=np.array([[-1, 0], [1, 0]], np.float32),
        resid_post=post,
        resid_final=post[0],
    )


def test_writes_equal_what_is_found_by_hand(by_hand):
    ledger = layer_ledger(by_hand, 0)
    assert ledger.ran.tolist() == [[True, True, False, False, True, True], [True, True, True, True, False, False]]
    assert ledger.weight.tolist() == [[0.5, 0.5, 0, 0, 0.375, 0.125], [1, 1, 1, 1, 0, 0]]
    assert ledger.writes[0].tolist() == [[2, 0], [0, 1], [0, 0], [0, 0], [1.5, 1.5], [0, -0.5]]
    assert ledger.writes[1].tolist() == [[0, 1], [1, 0], [0, 1], [1, 0], [0, 0], [0, 0]]
    assert ledger.update.tolist() == [[3.5, 2], [2, 2]]
    assert ledger.residual.tolist() == [0, 0]
    length = np.sqrt(3.5**2 + 2**2)
    np.testing.assert_allclose(ledger.projection[0, [0, 1, 4, 5]], np.array([7, 2, 8.25, -1]) / length)
    np.testing.assert_allclose(ledger.share[1, :4], 0.25)
    np.testing.assert_allclose(ledger.cosine[1, :4], np.sqrt(0.5))
    np.testing.assert_allclose(ledger.norm[0, 4], 1.5 * np.sqrt(2))
    assert ledger.names(0) == ["loop 1", "loop 2", "loop 3", "loop 4", "expert 0", "expert 1"]


def test_what_did_not_run_is_missing_and_not_zero(by_hand):
    ledger = layer_ledger(by_hand, 0)
    for measure in (ledger.norm, ledger.projection, ledger.share, ledger.cosine):
        np.testing.assert_array_equal(np.isnan(measure), ~ledger.ran)


def test_stream_equals_what_is_found_by_hand(by_hand):
    vectors, table = stream_writes(by_hand, 0)
    assert table["write"].tolist() == ["embedding", "attention", "loop 1", "loop 2", "expert 0", "expert 1"]
    assert vectors.sum(axis=0).tolist() == [3.5, 2]
    table = stream_ledger(by_hand, 1)
    assert table["write"].tolist() == ["embedding", "attention", "loop 1", "loop 2", "loop 3", "loop 4"]
    assert table.attrs["residual"] == 0
    np.testing.assert_allclose(table["projection"].sum(), np.sqrt(13))


def test_projections_sum_to_the_update_and_shares_to_one():
    paths = make_paths(random_trace(layers=3, tokens=20))
    for layer in range(3):
        ledger = layer_ledger(paths, layer)
        np.testing.assert_allclose(np.nansum(ledger.projection, axis=1), ledger.update_norm, rtol=1e-5)
        np.testing.assert_allclose(np.nansum(ledger.share, axis=1), 1, rtol=1e-5)
        assert ledger.residual.max() < 1e-5


@pytest.fixture(scope="module", params=[name for name, _ in available_models()])
def shipped(request):
    loaded = load_model(request.param)
    return [capture_paths(loaded, EXAMPLES[name].text) for name in ("fox", "sums", "code", "garden", "signs")]


def test_books_of_shipped_models_balance_at_every_layer_and_token(shipped):
    for paths in shipped:
        for layer in paths.layers.tolist():
            assert layer_ledger(paths, layer).residual.max() <= 1e-5
        for token in range(0, paths.num_tokens, 9):
            assert stream_ledger(paths, token).attrs["residual"] <= 1e-5


def test_experts_of_shipped_models_sum_to_the_first_step(shipped):
    for paths in shipped:
        gap = np.linalg.norm(paths.expert_out.astype(float).sum(axis=2) - paths.steps[:, :, 0], axis=-1)
        assert (gap / np.linalg.norm(paths.steps[:, :, 0], axis=-1)).max() <= 1e-5


def test_books_that_do_not_balance_are_told(by_hand):
    assert imbalance(by_hand, layer_ledger(by_hand, 0).residual) is None
    post = by_hand.resid_post + np.float32(0.01)
    off = dataclasses.replace(by_hand, resid_post=post)
    assert "differ from the model's own sum by 0.005 of it, more than 1e−05" in imbalance(
        off, layer_ledger(off, 0).residual
    )


def test_nothing_is_no_part_of_nothing_but_something_is_infinitely_more():
    assert divided(np.array([0.0, 1.0, -1.0, 3.0]), np.array([0.0, 0.0, 0.0, 2.0])).tolist() == [
        0,
        np.inf,
        -np.inf,
        1.5,
    ]
    assert np.isnan(divided(np.array([np.nan, np.nan, 1.0]), np.array([0.0, 1.0, np.nan]))).all()


def test_token_by_layer_has_the_choices_of_every_layer_and_no_experts_where_none_ran():
    trace = make_trace(loops=((1, 2), (4, 3)))
    table = token_by_layer(trace, 0)
    assert table["layer"].tolist() == [0, 1] and table["loops"].tolist() == [1, 4]
    assert table["gate"].tolist() == pytest.approx([0.75, 0])
    assert table["experts"][0] == "0 (0.75), 1 (0.25)" and table["experts"].isna().tolist() == [False, True]


def test_update_that_a_broken_hook_makes_zero_hides_nothing(by_hand):
    """A hook that gives H for the layer's output: its update is zero, yet the writes are not."""
    off = dataclasses.replace(by_hand, resid_post=by_hand.states[:, :, 0])
    ledger = layer_ledger(off, 0)
    assert ledger.residual.tolist() == [np.inf, np.inf]
    assert "the model's own sum is zero where that of the writes is not" in imbalance(off, ledger.residual)
    assert walkthrough(off, 0, 1).residual == np.inf
    for measure in (ledger.norm, ledger.projection, ledger.share, ledger.cosine):
        np.testing.assert_array_equal(np.isnan(measure), ~ledger.ran)


def test_final_stream_that_is_zero_hides_nothing(by_hand):
    assert (
        stream_ledger(dataclasses.replace(by_hand, resid_final=0 * by_hand.resid_final), 0).attrs["residual"] == np.inf
    )


def test_table_has_one_row_per_layer_token_and_write():
    trace = random_trace(layers=3, tokens=9)
    table = ledger_table(make_paths(trace, tokens=(2, 6)))
    assert len(table) == 3 * 4 * (4 + 2)
    assert table["text"].tolist()[:6] == [trace.tokens[2]] * 6
    assert table["norm"].isna().tolist() == (~table["ran"]).tolist()
    loops = table[table["write"].str.startswith("loop") & table["ran"]].groupby(["layer", "token"]).size()
    np.testing.assert_array_equal(loops, trace.loops[:, 2:6].ravel())


def test_stream_needs_all_layers():
    paths = make_paths(random_trace(layers=3, tokens=4))
    names = ("layers", "states", "expert_out", "resid_pre", "resid_post")
    part = dataclasses.replace(paths, **{name: getattr(paths, name)[1:] for name in names})
    with pytest.raises(ValueError, match=r"the stream needs all layers, got \[1, 2\]"):
        stream_writes(part, 0)
