"""Areas of a map: which points a box and a hand-drawn line hold, and what is no area."""

import numpy as np
import pytest

from analysis.runs.areas import Area

GRID = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0)), -1).reshape(-1, 2)


def test_a_box_holds_its_points_and_those_on_its_edge():
    box = Area.box(3, 1, 0, 2)
    inside = GRID[box.inside(GRID)]
    assert sorted(map(tuple, inside.tolist())) == [(x, y) for x in (1, 2, 3) for y in (0, 1, 2)]
    assert box.is_box and box.bounds == (1, 3, 0, 2)


def test_a_line_drawn_by_hand_holds_what_it_goes_round_and_not_its_dent():
    u_shape = Area((-0.5, 4.5, 4.5, 3.5, 3.5, 0.5, 0.5, -0.5), (-0.5, -0.5, 4.5, 4.5, 0.5, 0.5, 4.5, 4.5))
    held = {tuple(point) for point in GRID[u_shape.inside(GRID)].tolist()}
    assert held == {(x, y) for x in range(5) for y in range(5) if y == 0 or x in (0, 4)} and not u_shape.is_box


def test_a_circle_holds_as_much_as_a_circle():
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    points = np.random.default_rng(0).uniform(-1, 1, (20_000, 2))
    circle = Area(tuple(np.cos(angle)), tuple(np.sin(angle)))
    wrong = circle.inside(points) != (np.linalg.norm(points, axis=1) < 1)
    assert wrong.mean() < 0.001


@pytest.mark.parametrize(
    "given",
    [None, 3, {}, {"x": [1, 2, 3]}, {"x": [1, 2], "y": [1, 2]}, {"x": [1, 2, 3], "y": [1, 2]}]
    + [{"x": [1, 2, float("nan")], "y": [1, 2, 3]}, {"x": [0] * 5001, "y": [0] * 5001}, {"x": "abc", "y": "abc"}],
)
def test_what_is_no_area_is_refused(given):
    with pytest.raises(ValueError, match="this is no part of a map"):
        Area.from_json(given)


def test_an_area_is_read_from_json():
    assert Area.from_json({"x": [0, 2, 1], "y": [0, 0, 2]}) == Area((0.0, 2.0, 1.0), (0.0, 0.0, 2.0))
