"""What the ledger's figures draw is what the analysis says."""

import dataclasses

import numpy as np
import pytest

from analysis.explain.ledger import layer_ledger, stream_ledger
from analysis.figures import stream_ledger_figure, write_stack_figure, write_waterfall_figure
from analysis.figures.explain.stream import stream_axis
from analysis.view import View
from analysis.words.numbers import significant
from tests.capture_results import make_paths
from tests.figure_texts import figure_texts
from tests.traces import random_trace


@pytest.fixture(scope="module")
def paths():
    return make_paths(random_trace(layers=3, tokens=30, experts=2), tokens=(4, 20))


def bars(fig):
    return [drawn for drawn in fig.data if drawn.type == "bar"]


@pytest.mark.parametrize("measure", ["projection", "norm", "share"])
def test_stack_holds_every_write_that_ran(paths, measure):
    ledger = layer_ledger(paths, 1)
    for write, drawn in enumerate(bars(write_stack_figure(paths, View(layer=1, token=7), measure=measure))):
        ran = ledger.ran[:, write]
        np.testing.assert_array_equal(drawn.x, np.flatnonzero(ran) + 4)
        np.testing.assert_allclose(drawn.y, getattr(ledger, measure)[ran, write])


@pytest.mark.parametrize("measure, whole", [("projection", "update_norm"), ("norm", "update_norm"), ("share", None)])
def test_ticks_stand_at_the_whole_update(paths, measure, whole):
    ledger = layer_ledger(paths, 1)
    fig = write_stack_figure(paths, View(layer=1, token=7), measure=measure)
    ticks = next(drawn for drawn in fig.data if drawn.name == "whole update")
    expected = getattr(ledger, whole) if whole else np.ones(16)
    np.testing.assert_allclose(np.reshape(ticks.y, (-1, 3))[:, 0], expected)


def test_numbers_stand_in_the_middle_of_their_piece(paths):
    fig = write_stack_figure(paths, View(layer=1, token=7))
    ledger = layer_ledger(paths, 1)
    texts = [drawn for drawn in fig.data if drawn.type == "scatter" and drawn.mode == "text"]
    found = {(x, t): y for each in texts for x, y, t in zip(each.x, each.y, each.text, strict=True)}
    assert found
    for (token, text), middle in found.items():
        index = token - 4
        write = ledger.loops + ledger.expert_ids[index].tolist().index(int(text))
        same_side = np.sign(ledger.projection[index, :write]) == np.sign(ledger.projection[index, write])
        below = ledger.projection[index, :write][same_side].sum()
        assert middle == pytest.approx(below + ledger.projection[index, write] / 2)


def test_note_prints_the_residual(paths):
    note = write_stack_figure(paths, View(layer=2, token=7)).layout.annotations[1].text
    assert note.endswith(f"within {significant(layer_ledger(paths, 2).residual.max(), 2)}")


def test_waterfall_prints_the_residual_of_its_token(paths):
    texts = [note.text for note in write_waterfall_figure(paths, View(layer=2, token=9)).layout.annotations]
    assert texts[-1].endswith(
        f"layer 2: the writes sum to the update within {significant(layer_ledger(paths, 2).residual[5], 2)}"
    )


def test_waterfall_ends_at_the_update(paths):
    ledger = layer_ledger(paths, 2)
    steps, whole = bars(write_waterfall_figure(paths, View(layer=2, token=9)))
    ran = ledger.ran[5]
    np.testing.assert_allclose(steps.x, ledger.projection[5, ran])
    np.testing.assert_allclose(
        np.array(steps.base, float) + np.array(steps.x, float), np.cumsum(ledger.projection[5, ran])
    )
    assert steps.base[-1] + steps.x[-1] == pytest.approx(whole.x[0]) == pytest.approx(ledger.update_norm[5])


def test_waterfall_says_what_did_not_run(paths):
    ledger = layer_ledger(paths, 2)
    texts = figure_texts(write_waterfall_figure(paths, View(layer=2, token=9)))
    assert texts.count("did not run") == (~ledger.ran[5]).sum() > 0


def test_stream_ends_at_the_final_stream(paths):
    fig = stream_ledger_figure(paths, View(layer=2, token=9))
    table = stream_ledger(paths, 9)
    assert sum(np.sum(drawn.y) for drawn in bars(fig)) == pytest.approx(table.attrs["final_norm"])
    line = next(drawn for drawn in fig.data if drawn.name == "so far")
    assert line.x[0] == -1 and line.y[-1] == pytest.approx(table.attrs["final_norm"])


@pytest.mark.parametrize("figure", [write_stack_figure, write_waterfall_figure, stream_ledger_figure])
def test_books_that_do_not_balance_are_not_drawn(paths, figure):
    off = dataclasses.replace(paths, resid_post=paths.resid_post * np.float32(1.01), resid_final=paths.resid_final + 1)
    fig = figure(off, View(layer=2, token=9))
    assert not fig.data and "Not drawn: the writes differ" in fig.layout.annotations[0].text


def test_the_embedding_has_room_beside_the_layers():
    few, many = (stream_axis(random_trace(layers=layers, tokens=4), View()) for layers in (6, 30))
    assert few["ticktext"][:3] == ["embedding", "<b>0</b>", "1"]
    assert many["ticktext"][:3] == ["embedding", "2", "4"] and many["tickvals"][:3] == [-1, 2, 4]
