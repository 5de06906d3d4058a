"""What the attribution's figures draw is what the analysis says."""

import numpy as np
import pytest

from analysis.figures import attribution_by_layer_figure, logit_attribution_figure
from analysis.view import View
from tests.capture_results import make_attribution, make_paths
from tests.figure_texts import figure_texts
from tests.traces import random_trace

TOKEN = 7


@pytest.fixture(scope="module")
def paths():
    return make_paths(random_trace(layers=3, tokens=30), tokens=(4, 20))


def test_bars_are_the_contributions_of_the_layer_and_diamonds_the_removals(paths):
    found = make_attribution(paths, TOKEN)
    fig = logit_attribution_figure(found, View(layer=1, token=TOKEN))
    table = found.of_layer(1)
    np.testing.assert_allclose(np.array(fig.data[0].x, float), table["contribution"])
    drawn = np.array(fig.data[1].x, float)
    np.testing.assert_allclose(drawn[np.isfinite(drawn)], table["removed"])
    assert figure_texts(fig).count("did not run") == len(fig.layout.yaxis.ticktext) - len(table)
    assert f"{table['contribution'].iloc[0]:+.2f}" in figure_texts(fig)


def test_a_layer_takes_as_much_room_for_a_token_that_did_not_route(paths):
    ran = paths.routing.width_ran[:, 4:20]
    shown = [
        logit_attribution_figure(make_attribution(paths, 4 + token), View(layer=layer, token=4 + token))
        for layer, token in (np.argwhere(ran)[0].tolist(), np.argwhere(~ran)[0].tolist())
    ]
    assert len({fig.layout.height for fig in shown}) == len({fig.layout.yaxis.range for fig in shown}) == 1


def test_sign_is_colour_and_text(paths):
    found = make_attribution(paths, TOKEN)
    bars = logit_attribution_figure(found, View(layer=1, token=TOKEN), writes="largest").data[0]
    colours = dict(zip(np.sign(np.array(bars.x, float)), bars.marker.color, strict=True))
    assert colours == {1.0: "#4B7A0E", -1.0: "#9C1F8B"}
    np.testing.assert_allclose(np.array(bars.x, float), found.largest()["contribution"])


def test_before_a_removal_no_number_stands_for_it(paths):
    found = make_attribution(paths, TOKEN, removed=False)
    fig = logit_attribution_figure(found, View(layer=1, token=TOKEN))
    assert not np.isfinite(np.array(fig.data[1].x, float)).any()
    assert "removal: not measured" in figure_texts(fig)


def test_layers_sum_to_the_logit(paths):
    found = make_attribution(paths, TOKEN)
    fig = attribution_by_layer_figure(found, View(layer=1, token=TOKEN))
    bars = [drawn for drawn in fig.data if drawn.type == "bar"]
    assert sum(np.sum(drawn.y) for drawn in bars) == pytest.approx(found.direction.value, abs=1e-5)
    assert fig.data[-1].y[-1] == pytest.approx(found.direction.value, abs=1e-5)


@pytest.mark.parametrize("figure", [logit_attribution_figure, attribution_by_layer_figure])
def test_contributions_that_miss_the_logit_are_not_drawn(paths, figure):
    fig = figure(make_attribution(paths, TOKEN, value=1e3), View(layer=1, token=TOKEN))
    (problem,) = figure_texts(fig)
    assert not fig.data and problem.startswith("Not drawn: the contributions miss the model's own logit by ")


@pytest.mark.parametrize(("off", "drawn"), [(9e-5, True), (1.1e-4, False)])
def test_in_float32_a_ten_thousandth_of_a_logit_is_the_bound(paths, off, drawn):
    plain = make_attribution(paths, TOKEN)
    found = make_attribution(paths, TOKEN, value=plain.total + off)
    assert bool(logit_attribution_figure(found, View(layer=1, token=TOKEN)).data) == drawn
