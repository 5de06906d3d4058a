"""The loops' steps split over the experts' slices, exactly, at every loop."""

import numpy as np
import pytest
import torch

from analysis.explain.slices import slice_table, slice_use
from analysis.figures import loop_slices_figure
from analysis.view import View
from hooks import capture_paths, loop_slices
from tests.capture_results import make_slices
from tests.oracle import OracleFFN
from tests.traces import make_trace

TEXT = "The fox went softly through the snow."


@pytest.fixture(scope="module")
def paths(loaded):
    return capture_paths(loaded, TEXT)


@pytest.fixture(scope="module")
def slices(loaded, paths):
    return loop_slices(loaded, paths)


def test_slices_of_every_loop_equal_the_slow_oracle(loaded, paths, slices):
    oracle = OracleFFN(loaded.model.model.layers[1].mlp)
    for loop in range(4):
        state, step = torch.tensor(paths.states[1, 9, loop]), paths.steps[1, 9, loop]
        with torch.no_grad():
            parts = np.stack([oracle.virtual_expert(state, expert).numpy() for expert in range(8)]).astype(float)
        np.testing.assert_allclose(slices.norm[1, 9, loop], np.linalg.norm(parts, axis=1), rtol=1e-4)
        np.testing.assert_allclose(slices.share[1, 9, loop], parts @ step / (step @ step), atol=1e-4)


def test_shares_sum_to_one_and_those_of_loop_one_are_the_experts(paths, slices):
    np.testing.assert_allclose(slices.share.sum(axis=-1), 1)
    np.testing.assert_allclose(slices.norm[:, :, 0], np.linalg.norm(paths.expert_out, axis=-1), rtol=1e-4)


def test_only_tokens_that_ran_a_loop_count():
    found = make_slices(make_trace(loops=[[1, 3, 3, 2]], special=[False, False, True, False]))
    use, count = slice_use(found, 0)
    assert count.tolist() == [3, 2, 1, 0]
    np.testing.assert_allclose(use[2], found.share[0, 1, 2])
    np.testing.assert_allclose(use[1], found.share[0, [1, 3], 1].mean(axis=0))
    assert np.isnan(use[3]).all()
    assert slice_table(found)["ran"].sum() == 4 * (1 + 3 + 3 + 2)


@pytest.mark.parametrize("tokens", ["all", "selected"])
def test_figure_draws_the_shares(tokens):
    found = make_slices(make_trace(loops=[[1, 3, 3, 2]]))
    fig = loop_slices_figure(found, View(layer=0, token=1), tokens=tokens)
    bars = np.array([drawn.x for drawn in fig.data if drawn.type == "bar"]).T
    expected = slice_use(found, 0)[0] if tokens == "all" else found.share[0, 1]
    np.testing.assert_allclose(bars, np.nan_to_num(expected))
