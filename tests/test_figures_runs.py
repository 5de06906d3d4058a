"""Figures of the Atlas: they draw what the tables say, name what a click is of, and leave the app with their filter."""

import json

import numpy as np
import pytest

from analysis.export.files import Export, export_files, figure_json, finished_figure
from analysis.figures.runs.atlas import ATLAS_FIGURES, run_balance_figure, run_gate_figure, run_load_figure
from analysis.runs.atlas import atlas_balance, atlas_of
from analysis.runs.filters import TokenFilter
from analysis.view import View
from tests.runs import make_run, random_traces, uneven_trace
from tests.traces import make_trace

CHOSEN = TokenFilter(layer=1, loops=(2, 3), sources=("stories.txt",))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with make_run(tmp_path_factory.mktemp("runs") / "mine", random_traces(30)) as made:
        yield made


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("spec", ATLAS_FIGURES, ids=lambda spec: spec.name)
def test_every_figure_names_the_layer_of_a_click_and_leaves_with_its_filter(run, spec, theme):
    drawn = atlas_of(run, CHOSEN)
    figure = spec.figure(drawn, View(theme=theme))
    assert figure.layout.meta["select"] == "part"
    clicked = [trace.customdata for trace in figure.data if trace.type == "bar" and trace.customdata is not None]
    assert all(
        point[1] in range(4) and (point[0] is None or point[0][0] == "loops") for data in clicked for point in data
    )
    table = spec.table(drawn)
    content = json.loads(figure_json(spec, drawn))
    assert len(content["records"]) == len(table) > 0
    assert "source stories.txt, 2 or 3 loops, in layer 1, out of" in content["numbers"]
    assert finished_figure(spec, drawn).layout.title.text == spec.title
    files = dict(export_files(Export(make_trace(), more=(drawn,), figures=(spec,)), ["csv", "json"]))
    assert f"{spec.name}.csv" in files and f"{spec.name}.json" in files


@pytest.mark.parametrize("spec", ATLAS_FIGURES, ids=lambda spec: spec.name)
def test_every_number_lies_on_its_axes_beyond_which_plotly_draws_none(run, spec):
    figure = spec.figure(atlas_of(run), View())
    for trace in [each for each in figure.data if each.type == "scatter" and each.mode == "text"]:
        for values, axis in ((trace.x, trace.xaxis or "x"), (trace.y, trace.yaxis or "y")):
            ends = figure.layout[f"{axis[0]}axis{axis[1:]}"].range
            assert not ends or (min(ends) <= min(values) and max(values) <= max(ends)), trace.text


@pytest.mark.parametrize("spec", ATLAS_FIGURES, ids=lambda spec: spec.name)
def test_a_filter_that_leaves_nothing_is_told_in_the_frame_of_the_figure(run, spec):
    figure = spec.figure(atlas_of(run, TokenFilter(text="no token has this")), View())
    assert figure.layout.annotations[0].text == "No token of the run is left by the filter."


def test_load_and_balance_draw_their_tables_and_frame_what_is_outside_the_bounds(run):
    drawn = atlas_of(run)
    table, figure = drawn.table("experts"), run_load_figure(drawn)
    np.testing.assert_allclose(figure.data[0].z.ravel(), table["share"])
    assert figure.data[0].customdata[2][5] == [["expert", 5], 2]
    bars = run_balance_figure(drawn).data
    np.testing.assert_allclose(bars[0].x, atlas_balance(drawn)["load_cv"])
    np.testing.assert_allclose(bars[1].x, atlas_balance(drawn)["balance_loss"])


def test_experts_outside_the_bounds_are_framed(tmp_path):
    with make_run(tmp_path / "run", [uneven_trace()]) as made:
        shapes = run_load_figure(atlas_of(made)).layout.shapes
    assert {(shape.x0 + 0.46, shape.line.dash) for shape in shapes} == {(0.0, "dot"), (7.0, "solid")}


def test_levels_of_the_gate_lead_to_the_loops_that_they_follow_from(run):
    figure = run_gate_figure(atlas_of(run))
    named = {bar.name: bar.customdata[0][0] for bar in figure.data if bar.type == "bar"}
    assert named == {"λ 0.75": ("loops", 1), "λ 0.5": ("loops", 2), "λ 0.25": ("loops", 3), "λ 0": ("loops", 4)}
