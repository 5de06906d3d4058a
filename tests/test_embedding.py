"""UMAP of the recursion: neighbours stay neighbours, the same states give the same map, and it can be watched."""

import io
import threading

import numpy as np
import pytest
from sklearn.manifold import trustworthiness
from tqdm import tqdm

from analysis.explain.embedding import (
    MOST_POINTS,
    NEIGHBOURS,
    embedding,
    embedding_table,
    states_to_place,
    umap_placement,
)
from tests.capture_results import make_embedding, make_paths
from tests.traces import random_trace


@pytest.fixture(scope="module")
def groups():
    """Two groups of 60 states in 5 dimensions, far from each other."""
    return np.random.default_rng(0).normal(size=(120, 5)) + np.repeat([[0.0], [30.0]], 60, axis=0)


@pytest.fixture(scope="module")
def placed(groups):
    return umap_placement(groups)


def test_groups_stay_together_and_apart(groups, placed):
    first, second = placed.points[:60], placed.points[60:]
    within = max(np.ptp(each, axis=0).max() for each in (first, second))
    assert np.linalg.norm(first.mean(axis=0) - second.mean(axis=0)) > within
    nearest = np.linalg.norm(placed.points[:, None] - placed.points, axis=-1).argsort(axis=1)[:, 1]
    assert ((nearest < 60) == (np.arange(120) < 60)).all()


def test_trust_and_variance_are_those_of_the_states(groups, placed):
    assert placed.trustworthiness == trustworthiness(groups, placed.points, n_neighbors=NEIGHBOURS) > 0.8
    centred = groups - groups.mean(axis=0)
    sizes = np.linalg.svd(centred, compute_uv=False) ** 2
    assert placed.pca_explained == pytest.approx(sizes[:2] / sizes.sum())
    flat = umap_placement(np.random.default_rng(1).normal(size=(40, 2)) @ [[1, 2, 3], [3, -1, 0]])
    assert flat.pca_trustworthiness == 1  # they lie in a plane
    assert flat.pca_explained[0] + flat.pca_explained[1] == pytest.approx(1)


def test_the_same_states_give_the_same_map_while_it_is_watched(groups, placed):
    told = []
    again = umap_placement(groups, lambda share, said: told.append((share, said)))
    assert (again.points == placed.points).all()
    shares, said = zip(*told, strict=True)
    assert list(shares) == sorted(shares) and shares[0] == 0
    assert any("Compiling" in text for text in said) and any("Placing 120 states" in text for text in said)


@pytest.mark.parametrize("at", ["Compiling", "Placing", "Comparing"])
def test_what_the_watcher_raises_ends_the_work_and_frees_the_progress_bars(groups, at):
    def stop(share, said):
        if at in said:
            raise KeyError("stopped")

    with pytest.raises(KeyError, match="stopped"):
        umap_placement(groups, stop)
    other = threading.Thread(target=lambda: list(tqdm(range(2), file=io.StringIO(), mininterval=0)), daemon=True)
    other.start()
    other.join(20)
    assert not other.is_alive(), "the lock that all progress bars share was left closed"


def test_few_states_are_refused():
    with pytest.raises(ValueError, match="at least 30 states, got 29"):
        umap_placement(np.zeros((29, 3)))


def test_states_are_those_of_the_layers_asked_for_and_all_tokens_if_there_is_room():
    paths = make_paths(random_trace(layers=3, tokens=20), tokens=(4, 16))
    layer, index, states = states_to_place(paths, [2, 0])
    assert layer.tolist() == [2] * 12 + [0] * 12 and index.tolist() == [*range(12)] * 2
    np.testing.assert_array_equal(states[12 + 5], paths.states[0, 5])
    with pytest.raises(ValueError, match="layer 7 was not captured"):
        states_to_place(paths, [7])


def test_of_many_states_whole_tokens_are_drawn_the_same_ones_each_time():
    paths = make_paths(random_trace(layers=4, tokens=150))
    found = make_embedding(paths)
    assert found.points.size / 2 <= MOST_POINTS < 4 * 150 * 5
    tokens, times = np.unique(found.token, return_counts=True)
    assert len(tokens) == MOST_POINTS // (4 * 5) and (times == 4).all() and found.captured == 150
    assert (make_embedding(paths).token == found.token).all() and tokens.max() > 100
    assert len(np.unique(make_embedding(paths, [1]).token)) == 150


def test_table_says_where_a_state_stands_and_whether_it_was_used():
    trace = random_trace(layers=2, tokens=9)
    found = make_embedding(make_paths(trace, tokens=(2, 7)))
    table = embedding_table(found)
    assert len(table) == 2 * 5 * 5
    np.testing.assert_array_equal(table.groupby(["layer", "token"])["used"].sum(), trace.loops[:, 2:7].ravel() + 1)
    row = table[(table["layer"] == 1) & (table["token"] == 4) & (table["loop"] == 3)].iloc[0]
    assert [row["umap1"], row["umap2"]] == found.points[5 + 2, 3].tolist()
    assert row["trustworthiness"] == 0.987


def test_paths_of_a_model_are_placed_by_umap():
    found = embedding(make_paths(random_trace(layers=2, tokens=20)), [1])
    assert found.points.shape == (20, 5, 2) and found.layers == [1]
    assert 0 < found.placement.trustworthiness <= 1
