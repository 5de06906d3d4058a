"""Geometry by hand: cosines, splits, steps, classes, planes."""

import numpy as np
import pytest

from analysis.explain.geometry import first_loop, path_cosine, plane, plane_table, steps, steps_table
from tests.capture_results import make_paths
from tests.traces import make_trace, random_trace


def with_states(states, loops, experts=None, **fields):
    """Paths of one layer with the given states [token, state, hidden]."""
    states = np.array([states], np.float32)
    trace = make_trace(loops=[loops], num_experts=2)
    given = {"states": states, **fields}
    if experts is not None:
        given["expert_out"] = np.array([experts], np.float32)
    return make_paths(trace, hidden=states.shape[-1], **given)


def test_path_cosine_equals_what_is_found_by_hand():
    """Width writes 3/4 (0, 4) + 1/4 (0, 0) = (0, 3); depth left after one loop, which wrote (4, 0)."""
    still = [[[0, 1], [4, 1], [4, 1], [4, 1], [4, 1]]] * 2
    paths = with_states(still, [1, 4], [[[0, 4], [0, 0]]] * 2)
    np.testing.assert_allclose(path_cosine(paths, "writes"), [[0, np.nan]])
    expected = (0 * 4 + 4 * 1) / (4 * np.hypot(4, 1))
    np.testing.assert_allclose(path_cosine(paths, "outputs"), [[expected, np.nan]])


def test_experts_split_the_first_step():
    """D_1 = (4, 0): expert 0 gives (3, 1), expert 1 gives (1, -1); experts 0 and 1 are the chosen ones."""
    paths = with_states([[[0, 0], [4, 0], [4, 0], [4, 0], [4, 0]]] * 2, [1, 4], [[[3, 1], [1, -1]]] * 2)
    found = first_loop(paths, 0)
    np.testing.assert_allclose(found.share, [[0.75, 0.25]] * 2)
    np.testing.assert_allclose(found.coverage, [1, np.nan])
    np.testing.assert_allclose(found.cosine, [1, np.nan])


def test_shares_of_the_first_step_sum_to_one():
    paths = make_paths(random_trace(layers=2, tokens=12))
    np.testing.assert_allclose(first_loop(paths, 1).share.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "path, kind",
    [
        ([0, 4, 6, 7, 7.5], "shrinking"),
        ([0, 1, 3, 7, 15], "growing"),
        ([0, 4, 2, 3, 2.5], "turning back"),
        ([0, 4, 6, 9, 10], "mixed"),
    ],
)
def test_classes_follow_the_rule(path, kind):
    states = [[[x, 0] for x in path]]
    found = steps(with_states(states, [2]), 0)
    assert found.kind == [kind]
    np.testing.assert_allclose(found.norm[0], np.abs(np.diff(path)))
    np.testing.assert_allclose(found.ratio[0], np.abs(np.diff(path))[1:] / np.abs(np.diff(path))[:-1])


def test_right_turn_is_ninety_degrees():
    found = steps(with_states([[[0, 0], [1, 0], [1, 1], [2, 1], [2, 0]]], [2]), 0)
    np.testing.assert_allclose(found.angle[0], [90, 90, 90])


def test_plane_of_points_on_a_line_explains_all_along_it():
    states = [[[3 * x, 4 * x, 0] for x in range(5)], [[3 * x, 4 * x, 0] for x in range(5, 10)]]
    found = plane(with_states(states, [2, 3]), 0)
    assert found.explained[0] == pytest.approx(1) and found.explained[1] == pytest.approx(0, abs=1e-9)
    along = found.points[..., 0].ravel()
    np.testing.assert_allclose(np.diff(along), 5, rtol=1e-5)


def test_plane_is_that_of_a_whole_svd():
    paths = make_paths(random_trace(layers=1, tokens=12), hidden=24)
    flat = paths.states[0].reshape(-1, 24).astype(float)
    centred = flat - flat.mean(axis=0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    found = plane(paths, 0)
    np.testing.assert_allclose(found.explained, (sizes**2)[:2] / (sizes**2).sum(), rtol=1e-8)
    np.testing.assert_allclose(np.abs(found.points.reshape(-1, 2)), np.abs(centred @ axes[:2].T), atol=1e-8)


def test_tables_say_what_was_used():
    trace = random_trace(layers=2, tokens=9)
    paths = make_paths(trace, tokens=(2, 7))
    table = plane_table(paths)
    assert len(table) == 2 * 5 * 5
    np.testing.assert_array_equal(table.groupby(["layer", "token"])["used"].sum(), trace.loops[:, 2:7].ravel() + 1)
    assert steps_table(paths)["loops"].tolist() == trace.loops[:, 2:7].ravel().tolist()


def test_plane_is_fitted_without_a_first_token_that_is_many_times_as_long():
    trace = random_trace(layers=2, tokens=12)
    plain = make_paths(trace, hidden=24)
    states = plain.states.copy()
    states[1, 0] += 300
    found, alone = plane(make_paths(trace, hidden=24, states=states), 1), plane(make_paths(trace, tokens=(1, 12)), 1)
    assert found.outlier == pytest.approx(
        np.median(np.linalg.norm(states[1, 0], axis=-1)) / np.median(np.linalg.norm(states[1, 1:], axis=-1)), rel=0.2
    )
    flat = states[1, 1:].reshape(-1, 24).astype(float)
    sizes = np.linalg.svd(flat - flat.mean(axis=0), compute_uv=False) ** 2
    np.testing.assert_allclose(found.explained, sizes[:2] / sizes.sum(), rtol=1e-8)
    assert np.abs(found.points[1:]).max() < 30 < np.abs(found.points[0]).max()
    assert plane(plain, 1).outlier is None and alone.outlier is None
    table = plane_table(make_paths(trace, hidden=24, states=states))
    assert table[~table["fitted"]][["layer", "token"]].drop_duplicates().values.tolist() == [[1, 0]]
