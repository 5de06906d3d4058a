"""What the lens's figures draw is what was read."""

import re
from dataclasses import replace

import numpy as np
import pytest

from analysis.catalogue import spec
from analysis.explain.lens import grid
from analysis.figures import lens_grid_figure, lens_layer_figure, lens_path_figure
from analysis.view import View
from analysis.words.labels import named
from hooks.lens_trace import EXIT, OUTPUT, STATE
from tests.capture_results import make_lens
from tests.traces import random_trace

VIEW = View(layer=2, token=7)


@pytest.fixture(scope="module")
def lens():
    return make_lens(random_trace(layers=4, tokens=12), 7)


def cells(fig) -> list[np.ndarray]:
    return [np.array(drawn.z, float) for drawn in fig.data if drawn.type == "heatmap"]


def texts(fig) -> list:
    return [drawn for drawn in fig.data if drawn.type == "scatter" and drawn.mode == "text"]


def outlined(fig) -> list[tuple]:
    return [((shape.x0 + shape.x1) / 2, (shape.y0 + shape.y1) / 2) for shape in fig.layout.shapes]


def test_grid_fills_the_states_that_were_used(lens):
    states, outputs = cells(lens_grid_figure(lens, VIEW))
    used, best = grid(lens, STATE, lens.used), grid(lens, STATE, lens.top_probs)[..., 0]
    np.testing.assert_allclose(states, np.where(used, best, np.nan))
    np.testing.assert_allclose(outputs[:, 0], lens.top_probs[lens.of(OUTPUT), 0])


@pytest.mark.parametrize("figure", [lens_grid_figure, lens_layer_figure])
def test_states_are_drawn_alike_without_the_exits(lens, figure):
    kept = np.flatnonzero(lens.kind != EXIT)
    names = ("kind", "layer", "loop", "used", "top_ids", "top_probs", "rank", "probability", "entropy", "kl")
    words = [lens.top_tokens[i] for i in kept]
    states = replace(lens, top_tokens=words, **{name: getattr(lens, name)[kept] for name in names})
    assert figure(states, VIEW).to_json() == figure(lens, VIEW).to_json()


def test_grid_of_exits_fills_all_and_outlines_the_one_taken(lens):
    fig = lens_grid_figure(lens, VIEW, reading="exit")
    np.testing.assert_allclose(cells(fig)[0], grid(lens, EXIT, lens.top_probs)[..., 0])
    assert outlined(fig) == [(n, layer) for layer, n in enumerate(lens.routing.loops[:, 7].tolist())]


@pytest.mark.parametrize("reading, kind", [("state", STATE), ("exit", EXIT)])
def test_layer_rows_are_the_readings_of_that_layer(lens, reading, kind):
    fig = lens_layer_figure(lens, VIEW, reading=reading)
    tops, used = grid(lens, kind, lens.top_probs)[2], grid(lens, STATE, lens.used)[2]
    if reading == "state":
        tops = np.where(used[:, None], tops, np.nan)
    np.testing.assert_allclose(cells(fig)[0], tops)
    ranks = [str(rank) for rank in grid(lens, kind, lens.rank)[2]]
    table = sorted(
        cell for drawn in fig.data if drawn.xaxis == "x2" for cell in zip(drawn.x, drawn.y, drawn.text, strict=True)
    )
    assert ranks == [text for *_, text in table[: len(ranks)]]
    labels = [label for label in fig.layout.yaxis.ticktext if label.endswith("exited here")]
    assert labels == [f"<b>after loop {lens.routing.loops[2, 7]}</b>, exited here"]


@pytest.mark.parametrize("measure", ["kl", "probability", "entropy"])
def test_path_shows_every_state_and_the_exits_not_taken(lens, measure):
    used, ghosts, others = lens_path_figure(lens, VIEW, measure=measure).data
    values, states = getattr(lens, measure), lens.of(STATE)
    np.testing.assert_allclose(used.y, values[states][lens.used[states]])
    np.testing.assert_allclose(ghosts.y, values[states][~lens.used[states]])
    assert len(others.y) == len(lens.of(EXIT)) - 4
    assert (np.diff(np.array(used.x, float)) > 0).all()


def test_in_the_column_of_a_paper_a_layer_has_room_for_three_tokens(lens):
    wide, narrow = (lens_layer_figure(lens, View(VIEW.layer, VIEW.token, room=room)) for room in (1060, 350))
    assert [cells(fig)[0].shape[1] for fig in (wide, narrow)] == [5, 3]
    np.testing.assert_array_equal(cells(narrow)[0], cells(wide)[0][:, :3])
    assert "after loop" in narrow.layout.yaxis.ticktext[1] and narrow.layout.margin.l < wide.layout.margin.l


@pytest.mark.parametrize("room", [1060, 350])
@pytest.mark.parametrize("figure", [lens_grid_figure, lens_layer_figure])
def test_a_token_stands_in_quotes_and_its_probability_in_a_line_of_its_own(lens, figure, room):
    fig = figure(lens, View(VIEW.layer, VIEW.token, room=room))
    words = [text for each in texts(fig) if each.xaxis != "x2" for text in each.text]
    assert words and all(re.fullmatch(r"“.+”<br>\d+%", text) for text in words), words


def test_in_low_rows_the_probability_stands_apart_from_the_token():
    lens = make_lens(random_trace(layers=32, tokens=12), 7)
    words = [text for each in texts(lens_grid_figure(lens, VIEW)) for text in each.text]
    assert words and all(re.fullmatch(r"“.+”\u2003\d+%", text) for text in words)


def test_letters_from_right_to_left_are_kept_apart_from_the_number_beside_them():
    assert named("مرحبا") == "“\u2068مرحبا\u2069”" and named("ox") == "“ox”"


def test_one_choice_sets_how_the_loops_are_read_in_both_figures():
    for first, *others in (
        ("lens_grid", "lens_layer"),
        ("validity_by_layer", "validity_intervals", "class_difficulty"),
    ):
        assert spec(first).choice.set_at is None
        assert all(spec(other).choice == replace(spec(first).choice, set_at=first) for other in others)
