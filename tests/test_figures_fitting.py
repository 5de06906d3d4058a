"""Figures fit into less room than a page has, and many layers and tokens into a page."""

import json

import numpy as np
import pytest

from analysis import figures
from analysis.figures import template
from analysis.figures.fitting import LINE_PX, NAMES_PX, fit, map_room
from analysis.figures.joint_map import token_bars
from analysis.view import PAGE_PX, View
from tests.capture_results import make_attention
from tests.traces import random_trace


def test_fitting_breaks_lines_upwards_and_keeps_marks_with_their_names():
    fig = figures.attention_by_loops_figure(make_attention(random_trace(layers=2, tokens=30), 20), View(1, 20))
    lower, upper = sorted(fig.layout.annotations, key=lambda each: each.yshift)
    height, shift = fig.layout.height, upper.yshift
    fit(fig, 300)
    lines = lower.text.count("<br>")
    assert lines and upper.yshift == shift + lines * LINE_PX
    assert fig.layout.height == height + (lines + upper.text.count("<br>")) * LINE_PX
    assert all(len(line) < 60 for line in lower.text.split("<br>"))


@pytest.mark.parametrize("width", range(300, 640, 20))
def test_no_line_ends_with_a_mark_whose_name_stands_in_the_next(width):
    fig = figures.compute_map_figure(random_trace(layers=2, tokens=30), View(room=map_room(width)))
    fit(fig, width)
    ends = [line.rstrip()[-1:] for each in fig.layout.annotations for line in each.text.split("<br>")]
    assert "┈" not in ends


@pytest.mark.parametrize("width", range(300, 640, 20))
def test_a_name_of_a_legend_is_not_broken(width):
    names = ["attention", "width path, weighted", "depth path", "sum so far", "did not route"]
    fig = template.figure(View(), [], height=200, annotations=[template.note("   ".join(names))])
    fit(fig, width)
    lines = fig.layout.annotations[0].text.split("<br>")
    assert [name for line in lines for name in line.split("   ")] == names


def test_a_dot_between_two_parts_of_a_note_ends_no_line():
    for width in range(120, 400, 20):
        fig = template.figure(
            View(), [], height=200, annotations=[template.note("mean over tokens · all of them: 2.52")]
        )
        fit(fig, width)
        assert not [line for line in fig.layout.annotations[0].text.split("<br>") if line.endswith("·")]


def test_fitting_leaves_a_figure_with_room_as_it_is():
    fig = figures.loop_map_figure(random_trace(layers=2, tokens=30))
    before = json.loads(fig.to_json())["layout"]
    fit(fig, PAGE_PX)
    after = json.loads(fig.to_json())["layout"]
    assert [each["text"] for each in after["annotations"]] == [each["text"] for each in before["annotations"]]
    assert (after["height"], after["xaxis"]["domain"]) == (before["height"], before["xaxis"]["domain"])


def test_a_narrow_map_gives_more_room_to_what_stands_beside_it():
    fig = figures.gate_map_figure(random_trace(layers=2, tokens=30))
    fit(fig, 500)
    assert fig.layout.xaxis.domain[1] == 0.72 and fig.layout.xaxis2.domain[0] == 0.76


def test_the_title_of_a_legend_stands_above_its_names_where_they_would_not_fit_beside_it():
    for width, side in ((360, "top"), (PAGE_PX, None)):
        legend = {"orientation": "h", "title": {"text": "Loops in layer 3"}}
        fig = template.figure(View(), [], height=200, showlegend=True, legend=legend)
        fit(fig, width)
        assert fig.layout.legend.title.side == side


def test_two_lines_that_fit_beside_each_other_are_not_broken():
    for width, broken in ((560, False), (300, True)):
        right = template.note("b " * 19 + "b", x=1, anchor="right")
        fig = template.figure(View(), [], height=200, annotations=[template.note("a" * 30), right])
        fit(fig, width)
        assert ("<br>" in fig.layout.annotations[1].text) == broken


def test_a_broken_note_in_the_corner_of_a_map_stays_below_the_colour_bar():
    trace = random_trace(layers=6, tokens=75)
    for width in (356, 744, PAGE_PX):
        fig = figures.difficulty_map_figure(trace, View(room=map_room(width)))
        fit(fig, width)
        (corner,) = (each for each in fig.layout.annotations if each.text.startswith("mean") and each.x == 1)
        lines = corner.text.count("<br>") + 1
        inner = fig.layout.height - fig.layout.margin.t - fig.layout.margin.b
        above = inner * (1 - corner.y)  # title, bar and numbers of the colour bar take 41 of these pixels
        assert above - 41 >= 4 + LINE_PX * (lines - 1) + 12, width
        assert lines == (1 if width == PAGE_PX else 2)


def test_heads_of_plots_side_by_side_begin_at_one_height():
    notes = [template.note("<b>a</b> short"), template.note("<b>b</b> " + "long " * 12, x=0.53)]
    fig = template.figure(View(), [], height=200, annotations=notes)
    fit(fig, 356)
    short, long = (each.text for each in fig.layout.annotations)
    assert short.count("<br>") == long.count("<br>") > 0 and short.startswith("<b>a</b> short<br>")


def test_names_of_rows_are_broken_where_they_would_leave_no_room_for_the_plot():
    trace = random_trace(layers=2, tokens=30)
    wide, narrow = (figures.cost_ledger_figure(trace, View(room=map_room(width))) for width in (PAGE_PX, 392))
    assert not any("<br>" in name for name in wide.layout.yaxis.ticktext)
    assert "VersatileFFN,<br>released code" in narrow.layout.yaxis.ticktext
    assert narrow.layout.margin.l == NAMES_PX < wide.layout.margin.l
    row_px = (narrow.layout.height - narrow.layout.margin.t - narrow.layout.margin.b) / len(
        narrow.layout.yaxis.ticktext
    )
    assert row_px >= 2 * LINE_PX


def test_dots_in_the_rows_of_many_layers_do_not_lie_over_each_other():
    for layers in (6, 30):
        drawn = figures.depth_margin_figure(random_trace(layers=layers, tokens=9), View(layer=2, token=3))
        top, bottom = (drawn.layout.margin[side] for side in "tb")
        assert (drawn.layout.height - top - bottom) / layers >= max(drawn.data[1].marker.size)


@pytest.mark.parametrize("count", [1, 2, 16, 17, 30, 31, 33, 80])
def test_the_first_and_the_last_layer_are_named_however_many_there_are(count):
    trace = random_trace(layers=count, tokens=3)
    axis = figures.loop_map_figure(trace, View(layer=count - 1)).layout.yaxis
    named = list(axis.tickvals)
    assert (named[0], named[-1]) == (0, count - 1) and len(named) <= 16
    assert axis.ticktext[-1] == f"<b>{count - 1}</b>"
    steps = np.diff(named)
    assert count < 3 or steps.min() == steps[0], "the last name has as much room as the others"


def test_outline_of_many_bars_stays_on_the_axis_where_there_is_no_value():
    trace = random_trace(layers=2, tokens=400)
    values = np.where(np.arange(400) % 50 < 20, np.nan, 0.5)
    drawn = token_bars(trace, View(window=None), values, "mean %{y}", marker={"color": "#000000"})
    assert drawn["fill"] == "tozeroy" and np.isfinite(drawn["y"]).all(), "Plotly would fill a slope across a gap"
    for y, told, (token, _) in zip(drawn["y"], drawn["hovertemplate"], drawn["customdata"], strict=True):
        assert (y, "no value" in told, "mean" in told) == ((0, True, False) if token % 50 < 20 else (0.5, False, True))
