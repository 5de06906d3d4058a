"""What the geometry's figures draw is what the analysis says."""

import numpy as np
import pytest

from analysis.catalogue import spec
from analysis.explain.geometry import first_loop, path_cosine, steps
from analysis.figures import first_loop_figure, path_agreement_figure, steps_figure
from analysis.palette import expert_colour
from analysis.view import View
from tests.capture_results import make_paths
from tests.traces import random_trace

VIEW = View(layer=1, token=7)


@pytest.fixture(scope="module")
def paths():
    return make_paths(random_trace(layers=3, tokens=30, experts=4), tokens=(4, 20))


@pytest.mark.parametrize("of", ["outputs", "writes"])
def test_agreement_cells_are_the_cosines(paths, of):
    np.testing.assert_allclose(np.array(path_agreement_figure(paths, VIEW, of=of).data[0].z), path_cosine(paths, of))


def test_agreement_opens_on_what_the_paths_add_and_not_on_outputs_that_share_what_came_in(paths):
    opened, shared = spec("path_agreement").choice.default, "outputs"
    assert opened == "writes"
    assert np.nanmean(path_cosine(paths, shared)) > np.nanmean(path_cosine(paths, opened)) + 0.1


def test_pieces_of_loop_one_are_the_shares_and_numbers_stand_on_the_chosen(paths):
    found, fig = first_loop(paths, 1), first_loop_figure(paths, VIEW)
    bars = [drawn for drawn in fig.data if drawn.type == "bar"]
    np.testing.assert_allclose(np.array([drawn.y for drawn in bars]).T, found.share)
    ids, ran = paths.routing.expert_ids[1, 4:20], paths.routing.width_ran[1, 4:20]
    strong = np.array([np.array(drawn.marker.color) == expert_colour(i, VIEW.theme) for i, drawn in enumerate(bars)]).T
    chosen = (ids[..., None] == np.arange(4)).any(axis=1) & ran[:, None]
    np.testing.assert_array_equal(strong, chosen)
    texts = [drawn for drawn in fig.data if drawn.type == "scatter" and drawn.mode == "text"]
    for drawn in texts:
        for token, expert in zip(drawn.x, drawn.text, strict=True):
            assert ran[token - 4] and int(expert) in ids[token - 4]
    assert texts


def test_steps_stand_at_their_ratio_and_turn(paths):
    found, fig = steps(paths, 1), steps_figure(paths, VIEW)
    at = {
        point[0]: (x, y) for drawn in fig.data for point, x, y in zip(drawn.customdata, drawn.x, drawn.y, strict=True)
    }
    assert len(at) == 16
    for token, (x, y) in at.items():
        assert x**3 == pytest.approx(found.norm[token - 4, 3] / found.norm[token - 4, 0])
        assert y == pytest.approx(found.angle[token - 4].max())
    assert {drawn.name for drawn in fig.data} == set(found.kind)
