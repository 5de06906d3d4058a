"""Walkthrough: every number on the way is the model's, and the mixture of the paths is its output."""

import dataclasses

import numpy as np
import pytest

from analysis.explain.ledger import TOLERANCE
from analysis.explain.walkthrough import fusion_plane, fusion_table, state_table, walkthrough
from analysis.figures import fusion_plane_figure, recursion_states_figure
from analysis.view import View
from hooks import capture_paths
from tests.capture_results import make_paths
from tests.traces import make_trace

TRACE = make_trace(loops=[[1, 4, 2], [3, 1, 4]])
PATHS = make_paths(TRACE)


def test_numbers_are_those_of_the_captured_vectors():
    walk = walkthrough(PATHS, 1, 0)
    states, experts = PATHS.states[1, 0].astype(float), PATHS.expert_out[1, 0].astype(float)
    np.testing.assert_allclose(walk.state_norms, np.linalg.norm(states, axis=1))
    np.testing.assert_allclose(walk.step_norms, np.linalg.norm(np.diff(states, axis=0), axis=1))
    assert (walk.loops, walk.gate, walk.width_ran) == (3, 0.25, True)
    assert walk.depth["ran"].tolist() == [False, False, True, False] and walk.margin == 20
    width = states[0] + 0.75 * experts[0] + 0.25 * experts[1]
    assert walk.width_norm == pytest.approx(np.linalg.norm(width))
    assert walk.depth_norm == pytest.approx(np.linalg.norm(states[3]))
    assert walk.output_norm == pytest.approx(np.linalg.norm(0.25 * width + 0.75 * states[3]), rel=1e-6)
    assert walk.experts["expert"].tolist() == [0, 1, 2, 3], "best first"
    assert (
        walk.experts["weight"].tolist()[:2] == [0.75, 0.25] and walk.experts["weight"].isna().tolist()[2:] == [True] * 2
    )


def test_a_token_that_did_not_route_has_no_width_path():
    walk, plane = walkthrough(PATHS, 0, 1), fusion_plane(PATHS, 0, 1)
    assert not walk.width_ran and np.isnan(walk.width_norm) and walk.output_norm == pytest.approx(walk.depth_norm)
    assert plane.width is None
    np.testing.assert_allclose(plane.output, plane.depth, atol=1e-6)
    table = fusion_table(PATHS)
    assert table["width_norm"].isna().tolist() == (TRACE.gate == 0).ravel().tolist()
    assert "did not route" in fusion_plane_figure(PATHS, View(layer=0, token=1)).layout.annotations[-1].text


def test_plane_keeps_lengths_and_angles_and_the_output_lies_between_the_paths():
    plane, walk = fusion_plane(PATHS, 0, 2), walkthrough(PATHS, 0, 2)
    start, depth, width = (x[0, 2].astype(float) for x in (PATHS.states[:, :, 0], PATHS.depth_out, PATHS.width_out))
    assert plane.depth == pytest.approx((np.linalg.norm(depth - start), 0))
    assert np.hypot(*plane.width) == pytest.approx(np.linalg.norm(width - start))
    assert np.dot(plane.width, plane.depth) == pytest.approx((width - start) @ (depth - start))
    between = walk.gate * np.array(plane.width) + (1 - walk.gate) * np.array(plane.depth)
    assert plane.output == pytest.approx(tuple(between), abs=1e-5)


def test_an_output_that_is_not_the_mixture_is_told_and_not_drawn():
    wrong = dataclasses.replace(PATHS, resid_post=PATHS.resid_post * np.float32(1.01))
    assert walkthrough(wrong, 0, 0).residual > TOLERANCE["float32"]
    drawn = fusion_plane_figure(wrong, View(layer=0, token=0))
    assert not drawn.data and drawn.layout.annotations[0].text.startswith("Not drawn")


def test_the_model_itself_mixes_its_paths_so(loaded):
    paths = capture_paths(loaded, "The fox and the lamp.")
    table = fusion_table(paths)
    assert len(table) == paths.routing.num_layers * paths.num_tokens and table["residual"].max() < TOLERANCE["float32"]
    assert (~paths.routing.width_ran).any() and paths.routing.width_ran.any()


def test_states_that_did_not_run_are_hatched_and_say_so():
    table = state_table(PATHS)
    row = table[(table["layer"] == 1) & (table["token"] == 0)]
    assert row["used"].tolist() == [True, True, True, True, False] and np.isnan(row["step_length"].iloc[0])
    drawn = recursion_states_figure(PATHS, View(layer=1, token=0))
    states, steps = drawn.data
    assert states.hovertext[3] == "ran" and states.hovertext[4].startswith("did not run")
    for bars in drawn.data:
        ran = [text == "ran" for text in bars.hovertext]
        assert [shape == "" for shape in bars.marker.pattern.shape] == ran and not all(ran)
        assert bars.marker.pattern.fillmode == "overlay", "else Plotly draws it in the bar's colour: white on white"
    assert "hatched: did not run" in drawn.layout.annotations[0].text and "pale" not in str(drawn.layout.annotations)
    np.testing.assert_allclose(steps.y, walkthrough(PATHS, 1, 0).step_norms)
