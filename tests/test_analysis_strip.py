"""The token strip: fills on fixed scales, a second cue beside colour, and nothing drawn that did not run."""

import dataclasses

import numpy as np
import pytest

from analysis.palette import contrast, expert_colour
from analysis.words.strip import EMPTY, HATCHED, QUANTITIES, cell_labels, readout, strip
from tests.traces import random_trace


def drawn(trace, quantity, layer=None, theme="light"):
    return strip(trace, quantity, layer=layer, token=0, at_layer=0, theme=theme)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("layer", [None, 1])
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_every_quantity_has_one_cell_per_token_and_readable_text(quantity, layer, theme):
    trace = random_trace(3, 40, 8, seed=1)
    cells = drawn(trace, quantity, layer, theme)
    for each in (cells.labels, cells.fill, cells.badges, cells.values, cells.surprisal, cells.breaks, cells.white):
        assert len(each) == trace.num_tokens
    assert max(cells.fill) < len(cells.palette)
    assert min(contrast(fill, text) for fill, text in cells.palette) >= 4.5


@pytest.mark.parametrize(
    ("quantity", "of", "whole", "unit"),
    [("Gate", "gate", 1, ""), ("Difficulty", "difficulty_soft", 1, ""), ("Surprisal", "surprisal", 7, " nats")],
)
def test_fills_stand_on_a_scale_that_is_the_same_for_every_text(quantity, of, whole, unit):
    for seed in (1, 2):
        trace = random_trace(3, 40, 8, seed=seed)
        cells, value = drawn(trace, quantity, layer=1), getattr(trace, of)
        value = (value if value.ndim == 1 else value[1])[1:]  # of the first token there is no surprisal
        share = np.clip(value / whole, 0, 1) * (len(cells.palette) - 1)
        assert np.abs(np.array(cells.fill[1:]) - share).max() <= 0.5 + 1e-4
        digits = 1 if unit else 2
        assert cells.values[1:] == [f"{each:.{digits}f}{unit}" for each in value.tolist()]


def test_experts_have_the_colour_of_the_first_at_one_strength():
    trace = random_trace(3, 60, 8, seed=2)
    cells = drawn(trace, "Experts", layer=1)
    for token in np.flatnonzero(trace.width_ran[1]):
        assert cells.palette[cells.fill[token]][0] == expert_colour(trace.expert_ids[1, token, 0], "light")


@pytest.mark.parametrize("quantity", ["Loops", "Experts"])
@pytest.mark.parametrize("level", ["token", "word"])
def test_a_badge_has_the_same_room_in_every_layer_and_fits_into_it(quantity, level):
    trace = random_trace(4, 40, 12, seed=9, words=["␣a", "b", "c"])
    of = [strip(trace, quantity, layer=i, token=0, at_layer=i, theme="light", level=level) for i in range(4)]
    assert len({tuple(cells.badge_room) for cells in of}) == 1
    for cells in of:
        assert all(len(badge) <= room for badge, room in zip(cells.badges, cells.badge_room, strict=True))


def test_tokens_that_did_not_route_are_hatched_and_never_coloured():
    trace = random_trace(3, 60, 8, seed=2)
    cells = drawn(trace, "Experts", layer=1)
    np.testing.assert_array_equal(np.array(cells.fill) == HATCHED, ~trace.width_ran[1])
    for token, ran in enumerate(trace.width_ran[1]):
        expected = ",".join(map(str, trace.expert_ids[1, token])) if ran else ""
        assert cells.badges[token] == expected
        assert cells.values[token] == (expected or "did not route")


def test_experts_of_all_layers_are_those_of_the_selected_one():
    trace = random_trace(3, 20, 8, seed=3)
    cells = strip(trace, "Experts", layer=None, token=0, at_layer=2, theme="light")
    assert cells.badges == drawn(trace, "Experts", layer=2).badges


def test_loops_of_a_layer_print_their_number():
    trace = random_trace(3, 20, 8, seed=4)
    cells = drawn(trace, "Loops", layer=0)
    assert cells.badges == [str(loops) for loops in trace.loops[0]]
    assert cells.fill == (trace.loops[0] - 1).tolist()


def test_first_token_has_no_surprisal_and_stays_empty():
    cells = drawn(random_trace(2, 5, 8, seed=5), "Surprisal")
    assert cells.fill[0] == EMPTY and cells.values[0] == "undefined"
    assert all(fill >= 0 for fill in cells.fill[1:])


def test_special_tokens_stay_empty():
    trace = random_trace(2, 5, 8, seed=6)
    special = np.array([True, False, False, False, False])
    cells = drawn(dataclasses.replace(trace, special=special), "Gate")
    assert cells.fill[0] == EMPTY and EMPTY not in cells.fill[1:]


def test_readout_names_the_experts_or_says_that_none_ran():
    trace = random_trace(3, 60, 8, seed=2)
    token = int(np.flatnonzero(~trace.width_ran[1])[0])
    assert dict(readout(trace, token, 1))["experts"] == "did not route"
    token = int(np.flatnonzero(trace.width_ran[1])[0])
    said = dict(readout(trace, token, 1))
    ids, weights = trace.expert_ids[1, token], trace.expert_weights[1, token]
    assert said["experts"] == f"{ids[0]} ({weights[0]:.2f}) {ids[1]} ({weights[1]:.2f})"
    assert said["loops"].endswith(str(trace.loops[1, token])) and said["width share"] == f"{trace.gate[1, token]:.2f}"
    assert said["difficulty"] == f"{trace.difficulty_soft[1, token]:.2f}"  # the layer's, as all beside it


def test_signature_changes_with_the_colours_but_not_with_the_selection():
    trace = random_trace(2, 10, 8, seed=7)
    one = strip(trace, "Gate", layer=None, token=0, at_layer=0, theme="light").to_data()
    moved = strip(trace, "Gate", layer=None, token=5, at_layer=1, theme="light").to_data()
    other = strip(trace, "Loops", layer=None, token=0, at_layer=0, theme="light").to_data()
    assert one["signature"] == moved["signature"] != other["signature"]


def test_leading_space_is_a_space_and_bare_white_space_shows_its_sign():
    trace = dataclasses.replace(random_trace(1, 4, 8, seed=8), tokens=["␣the", "␣", "↵", "a"])
    assert cell_labels(trace) == [" the", "␣", "↵", "a"]


def test_indented_code_keeps_the_width_of_its_indentation():
    tokens = ["↵␣␣␣", "␣if", "↵⇥", "␣␣␣␣return", "␣␣␣␣", "x↵y", "↵", "␣" * 40]
    trace = dataclasses.replace(random_trace(1, 8, 8, seed=8), tokens=tokens)
    cells = drawn(trace, "Gate")
    assert cells.indents == [3, 0, 4, 0, 0, 0, 0, 0]
    assert cells.labels[1:5] == [" if", "↵⇥", "    return", "␣␣␣␣"] and cells.labels[7] == "␣×40"
