"""Trajectories stand where PCA and UMAP put them, coloured by what was decided; what was not used is dotted."""

import numpy as np
import pytest

from analysis.explain.geometry import plane
from analysis.figures import embedding_figure, trajectory_figure
from analysis.figures.template import quoted
from analysis.palette import expert_colour, gate_colour
from analysis.view import View
from analysis.words.numbers import percent
from tests.capture_results import make_embedding, make_paths
from tests.traces import random_trace

VIEW = View(layer=1, token=7)


@pytest.fixture(scope="module")
def paths():
    return make_paths(random_trace(layers=3, tokens=30, experts=4), tokens=(4, 20))


@pytest.fixture(scope="module")
def found(paths):
    return make_embedding(paths)


def named(fig, name):
    return next((drawn for drawn in fig.data if drawn.name == name), None)


def notes(fig) -> str:
    return "\n".join(each.text for each in fig.layout.annotations)


@pytest.mark.parametrize("colour", ["loops", "gate", "expert", "token"])
def test_trajectories_end_where_the_tokens_left(paths, colour):
    found, fig = plane(paths, 1), trajectory_figure(paths, VIEW, colour=colour)
    ends = named(fig, "exited here")
    loops = paths.routing.loops[1, 4:20]
    np.testing.assert_allclose(np.array(ends.x), found.points[np.arange(16), loops, 0])
    assert f"({percent(found.explained[0], 1)} of the variance)" in fig.layout.xaxis.title.text
    own = named(fig, "selected")
    np.testing.assert_allclose(np.array(own.y), found.points[3, : loops[3] + 1, 1])


@pytest.mark.parametrize("drawn", ["pca", "umap"])
def test_what_was_not_used_is_dotted(paths, found, drawn):
    if drawn == "pca":
        points, loops = plane(paths, 1).points, paths.routing.loops[1, 4:20]
        fig = trajectory_figure(paths, VIEW)
    else:
        points, loops, fig = found.points, found.loops, embedding_figure(found, VIEW)
    ghosts = named(fig, "not used")
    assert ghosts.line.dash == "dot"
    gaps = np.flatnonzero(np.isnan(ghosts.x))
    parts = np.split(np.column_stack([ghosts.x, ghosts.y]), gaps + 1)[:-1]
    for part, own, ran in zip(parts, points, loops, strict=True):
        np.testing.assert_allclose(part[:-1], own[ran:])
    used = [each for each in fig.data if each.name == "used"]
    assert sum(np.isfinite(each.x).sum() for each in used) == (loops + 1).sum()


def test_dots_of_a_map_stand_where_umap_put_the_last_used_state_and_name_token_and_layer(found):
    ends = named(embedding_figure(found, VIEW), "exited here")
    here = np.arange(len(found.token))
    np.testing.assert_allclose(np.column_stack([ends.x, ends.y]), found.points[here, found.loops])
    np.testing.assert_array_equal(np.array(ends.customdata), np.column_stack([found.token, found.layer, found.loops]))
    own = named(embedding_figure(found, VIEW), "selected")
    trajectory = int(np.flatnonzero((found.layer == 1) & (found.token == 7))[0])
    np.testing.assert_allclose(np.array(own.x), found.points[trajectory, : found.loops[trajectory] + 1, 0])


def test_colours_say_what_was_decided(found):
    trace = found.routing
    ends = {colour: named(embedding_figure(found, VIEW, colour=colour), "exited here").marker.color for colour in
            ("loops", "gate", "expert", "layer", "token")}  # fmt: skip
    ran = trace.width_ran[found.layer, found.token]
    experts = trace.expert_ids[found.layer, found.token, 0]
    for i, on in enumerate(ran):
        assert ends["gate"][i] == gate_colour(float(trace.gate[found.layer[i], found.token[i]]), "light")
        assert (ends["expert"][i] == expert_colour(int(experts[i]), "light")) == on
    assert len(set(ends["loops"])) == len(np.unique(found.loops))
    by_layer = {layer: {ends["layer"][i] for i in np.flatnonzero(found.layer == layer)} for layer in found.layers}
    assert all(len(shades) == 1 for shades in by_layer.values()) and len(set.union(*by_layer.values())) == 3
    assert len(set(ends["token"])) == 8


def test_map_prints_its_trust_beside_that_of_pca_and_how_much_was_drawn(found):
    said = notes(embedding_figure(found, VIEW))
    assert "trustworthiness 0.99 over 15 neighbours; PCA of the same states: 0.88, 70% of the variance" in said
    assert "states of 3 layers, tokens: all;" in said
    many = make_embedding(make_paths(random_trace(layers=4, tokens=150)))
    assert "tokens: 100 of 150, drawn by a fixed seed, since at most 2,000 states" in notes(embedding_figure(many))


def test_a_selection_that_is_not_on_the_map_is_said_to_be_missing(paths, found):
    away = embedding_figure(found, View(layer=1, token=2))
    assert "is not among the tokens of this map" in notes(away) and named(away, "selected") is None
    other = embedding_figure(make_embedding(paths, [0]), VIEW)
    assert "layer 1 is not in it" in notes(other) and named(other, "selected") is None


@pytest.mark.parametrize("drawn", ["pca", "umap"])
def test_a_first_token_that_would_rule_the_plane_is_left_out_and_named(drawn):
    trace = random_trace(layers=3, tokens=30, experts=4)
    states = make_paths(trace).states.copy()
    states[1, 0] += 300
    paths = make_paths(trace, states=states)
    fig = trajectory_figure(paths, VIEW) if drawn == "pca" else embedding_figure(make_embedding(paths), VIEW)
    ends = named(fig, "exited here")
    assert 0 not in np.array(ends.customdata)[:, 0] and set(range(1, 30)) <= set(np.array(ends.customdata)[:, 0])
    assert f"{quoted(trace, 0)} is left out: its states are" in notes(fig)
