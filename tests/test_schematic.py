"""The schematic of a layer: it draws and says what the trace says, and what did not run is never drawn as run."""

import re

import numpy as np
import pytest

from analysis.explain.schematic import layer_run, layer_steps, schematic_table, summary
from analysis.figures import layer_schematic_figure
from analysis.figures.fitting import map_room
from analysis.figures.schematic_places import NARROW_PX, Box, cells, places
from analysis.view import View
from tests.figure_texts import figure_texts
from tests.test_figures_catalogue import CASES
from tests.traces import make_trace, random_trace

WIDTHS = (392, 640, 790, 1060, 1184)
TRACE = make_trace(loops=[[1, 4], [3, 2]])


def told(trace, layer, token):
    run = layer_run(trace, layer, token)
    return [summary(run), *(step.sentence for step in layer_steps(run))]


def test_every_number_is_the_trace_s():
    whole, start, depth_head, width, *loops, mixed = told(TRACE, 1, 0)
    assert "75% depth path" in whole and "25% width path" in whole and "slices 0 and 1 ran once" in whole
    assert "a vector of 10 numbers" in start
    assert "3 of at most 4 loops" in depth_head and "λ = (4 − 3) / 4 = 0.25" in depth_head
    assert "2 of the FFN’s 4 slices of 2 hidden units each" in width
    assert "0 (weight 0.75) and 1 (weight 0.25)" in width
    assert len(loops) == 3 and "all 8 hidden units" in loops[0] and "Loop 4 did not run" in loops[2]
    assert "Y = 0.25 × width + 0.75 × depth" in mixed and "goes on to the prediction" in mixed


def test_a_token_that_took_all_loops_has_no_width_path_anywhere():
    said, texts = " ".join(told(TRACE, 0, 1)), figure_texts(layer_schematic_figure(TRACE, View(layer=0, token=1)))
    assert "so it did not run" in said and "depth path alone" in said and "weight 0" not in said
    assert (
        texts.count("did not run") == 1
        and "dashed: did not run" in texts[0]
        and "not used: λ = 0" in texts
        and "width" not in texts
    )
    assert not [text for text in texts if re.fullmatch(r"0\.\d\d", text)], "a weight of an expert that did not run"


def test_loops_that_did_not_run_are_dashed_and_said():
    drawn = layer_schematic_figure(TRACE, View(layer=0, token=0))
    texts = figure_texts(drawn)
    assert {"<b>loop 1</b>", "loop 2", "loop 3", "loop 4", "did not run"} <= set(texts)
    dashed = [shape for shape in drawn.layout.shapes if shape.line.dash != "solid" and "Z" in shape.path]
    assert sum(shape.path.count("Z") for shape in dashed) == 3 + 2, "three loops and two slices"


def test_an_edited_gate_is_not_explained_by_the_loops():
    edited = make_trace(loops=[[2]], gate=np.array([[0.1]], np.float32))
    said = " ".join(told(edited, 0, 0))
    assert "λ = 0.1, the weight" in said and "edited" in said and "/ 4" not in said


def test_a_trace_that_does_not_say_its_sizes_is_drawn_without_them():
    said = " ".join(told(make_trace(meta={"text": "ab"}), 0, 0))
    assert "hidden units" not in said and "numbers" not in said
    assert "192" not in str(figure_texts(layer_schematic_figure(make_trace(meta={"text": "ab"}))))


@pytest.mark.parametrize("case", CASES)
def test_parts_belong_to_the_steps_that_are_told(case):
    trace, view = CASES[case]
    steps = layer_steps(layer_run(trace, view.layer, view.token))
    drawn = layer_schematic_figure(trace, view)
    named = {part.name for part in (*drawn.data, *drawn.layout.shapes)}
    assert named == {f"step {number}" for number in range(1, len(steps) + 1)}
    assert len({step.name for step in steps}) == len(steps)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("case", ["usual", "nobody routed", "one loop", "big model"])
def test_no_text_leaves_the_drawing_or_lies_on_another(case, width):
    trace, view = CASES[case]
    drawn = layer_schematic_figure(trace, View(view.layer, view.token, room=map_room(width)))
    (left, right), (low, top) = drawn.layout.xaxis.range, drawn.layout.yaxis.range
    boxes = []
    for texts in drawn.data:
        for x, y, text, at in zip(texts.x, texts.y, texts.text, texts.textposition, strict=True):
            px = 6 * len(re.sub("<[^>]*>", "", text))
            start = {"middle right": x, "middle left": x - px, "middle center": x - px / 2}[at]
            boxes.append((text, Box(start, y - 7, start + px, y + 7)))
    for text, box in boxes:
        assert left <= box.left and box.right <= right + 4 and top <= box.top and box.low <= low, text
    for i, (first, one) in enumerate(boxes):
        for second, other in boxes[i + 1 :]:
            across = min(one.right, other.right) - max(one.left, other.left)
            along = min(one.low, other.low) - max(one.top, other.top)
            assert across < 3 or along < 3, (first, second)


def test_a_narrow_drawing_goes_from_top_to_bottom():
    wide, narrow = places(1000), places(NARROW_PX - 1)
    assert wide.input.right < wide.slices.left < wide.output.left
    assert narrow.input.low < narrow.slices.top < narrow.loops.top < narrow.output.top
    assert wide.mixture.split(0.25)[0].height == pytest.approx(wide.mixture.height / 4)
    assert narrow.mixture.split(0.25)[0].width == pytest.approx(narrow.mixture.width / 4)


def test_cells_fill_their_lane():
    row = cells(Box(10, 0, 110, 20), 4, gap=4)
    assert row[0].left == 10 and row[-1].right == pytest.approx(110) and row[1].left - row[0].right == pytest.approx(4)


def test_table_says_nothing_of_experts_that_did_not_run():
    table = schematic_table(random_trace(layers=3, tokens=20))
    idle = table[~table["width_ran"]]
    assert len(idle) and idle["expert_ids"].isna().all() and idle["expert_weights"].isna().all()
    np.testing.assert_allclose(table["width_weight"] + table["depth_weight"], 1)
