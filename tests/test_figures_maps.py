"""What the maps and small figures of each subject draw, against values worked out by hand."""

import numpy as np
import pytest

from analysis import figures
from analysis.catalogue import spec
from analysis.figures.template import ROUND_ROWS_PX
from analysis.gate import gate_along_text, gate_by_chance
from analysis.palette import THEMES, contrast, expert_colour, loop_colours, text_on
from analysis.view import View, window_around
from analysis.words.strip import HATCHED, strip
from tests.traces import make_trace, random_trace


def annotations(fig) -> list[str]:
    return [each.text for each in fig.layout.annotations]


def printed(fig) -> list[str]:
    """Numbers and words on the cells."""
    return [text for each in fig.data if each.type == "scatter" and each.mode == "text" for text in each.text]


def named(fig, name):
    return next(each for each in fig.data if each.name == name)


# Palette


@pytest.mark.parametrize("theme", THEMES)
def test_numbers_in_cells_reach_the_contrast_of_text(theme):
    fills = [*loop_colours(8, theme), *(fill for name in ("experts", "load", "gate") for fill in THEMES[theme][name])]
    assert min(contrast(fill, text_on(fill)) for fill in fills) >= 4.5


def test_four_loops_have_the_four_colours_of_the_palette():
    assert list(loop_colours(4, "light")) == THEMES["light"]["loops"]


# Overview


def test_compute_bars_are_loops_with_experts_on_top():
    fig = figures.compute_map_figure(make_trace(loops=[[1, 4], [3, 4]]))
    assert fig.data[0].y.tolist() == [2, 4]
    assert fig.data[1].y.tolist() == [0.5, 0]
    assert fig.layout.barmode == "stack"


def test_loops_by_layer_draws_what_ran_and_what_was_expected():
    fig = figures.loops_by_layer_figure(make_trace(loops=[[1, 3], [4, 4]]))
    assert named(fig, "ran").y.tolist() == [2, 4]
    assert named(fig, "expected").y == pytest.approx([2, 4], abs=1e-5)


# Difficulty


def test_difficulty_map_draws_the_chosen_kind_on_the_whole_scale():
    trace = make_trace(loops=[[1, 4], [4, 4]])
    fig = figures.difficulty_map_figure(trace, kind="hard")
    assert fig.data[0].z.tolist() == [[0, 1], [1, 1]]
    assert (fig.data[0].zmin, fig.data[0].zmax) == (0, 1)
    assert fig.data[1].y.tolist() == [0.5, 1]  # above: mean over layers
    assert fig.data[2].x.tolist() == [0.5, 1]  # beside: mean over tokens


def test_scatter_names_rho_and_n_and_rings_the_selected_token():
    trace = make_trace(loops=[[1, 2, 3, 4]], logprob=np.array([np.nan, -1, -2, -3], np.float32))
    fig = figures.difficulty_surprisal_figure(trace, View(token=2))
    assert "ρ = 1.00, n = 3" in annotations(fig)[0]
    assert fig.data[0].x.tolist() == [1, 2, 3]
    assert named(fig, "selected").x.tolist() == [2]


@pytest.mark.parametrize(("most", "end"), [(2.5, 7), (7.0, 7), (8.2, 9), (13.0, 13)])
def test_scatter_has_the_same_axis_for_all_texts_that_fit_and_a_longer_one_for_others(most, end):
    trace = make_trace(loops=[[1, 2, 3, 4]], logprob=np.array([np.nan, -1, -most, -2], np.float32))
    fig = figures.difficulty_surprisal_figure(trace)
    np.testing.assert_allclose(fig.data[0].x, [1, most, 2], rtol=1e-6)
    assert fig.layout.xaxis.range == (-0.15, end + 0.15)


def test_scatter_against_the_next_token_leaves_out_the_last():
    fig = figures.difficulty_surprisal_figure(make_trace(loops=[[1, 2, 3]]), of="next")
    assert [point[0] for point in fig.data[0].customdata] == [0, 1]


def test_ridges_count_their_pairs_and_few_pairs_stand_as_ticks():
    fig = figures.difficulty_by_loops_figure(make_trace(loops=[[1] * 8, [1] * 7 + [2]]))
    assert annotations(fig)[1:] == ["n = 15", "n = 1", "n = 0", "n = 0"]
    assert named(fig, "1 loops").fill == "toself"
    assert named(fig, "2 loops").mode == "markers"


# Gate


def test_gate_map_runs_from_nought_to_one_with_butterflies():
    fig = figures.gate_map_figure(make_trace(loops=[[1, 4]]))
    assert fig.data[0].z.tolist() == [[0.75, 0]]
    assert fig.data[0].zmax == 1
    assert fig.data[1].y.tolist() == [0.75, 0]
    assert fig.data[2].y.tolist() == [-0.25, -1]


@pytest.mark.parametrize("draw", [figures.gate_levels_figure, figures.expert_load_by_layer_figure])
def test_rows_with_numbers_are_tall_enough_for_them_however_many_layers_there_are(draw):
    few, many = (draw(random_trace(layers=layers, tokens=40, experts=4)) for layers in (4, 30))
    assert many.layout.height - few.layout.height > 100
    row = (many.layout.height - ROUND_ROWS_PX) / 30
    assert (
        row >= max(drawn.textfont.size for drawn in many.data if drawn.type == "scatter" and drawn.mode == "text") + 2
    )


def test_gate_levels_fill_their_bar():
    fig = figures.gate_levels_figure(random_trace(layers=3, tokens=20))
    assert np.sum([each.x for each in fig.data if each.type == "bar"], axis=0) == pytest.approx([100] * 3)


def test_gate_ceiling_is_named():
    assert "λ never exceeds 0.75: at least 1/4 of the weight is depth" in annotations(
        figures.gate_along_text_figure(make_trace())
    )


# Experts


def test_expert_map_leaves_a_gap_and_a_stroke_where_a_token_did_not_route():
    fig = figures.expert_map_figure(make_trace(loops=[[1, 4], [4, 4]]))
    assert np.isnan(fig.data[0].z).tolist() == [[False, True], [True, True]]
    assert len(fig.data[1].x) == 3 * 3  # two ends and a break each
    assert fig.data[0].text.tolist() == [["experts 0 (0.75) 1 (0.25)", "did not route"], ["did not route"] * 2]
    assert printed(fig) == ["0"]


def test_second_choice_has_its_own_colours_and_numbers():
    trace = make_trace(loops=[[1]])
    first, second = (figures.expert_map_figure(trace, choice=choice) for choice in ("first", "second"))
    assert (first.data[0].z[0, 0], second.data[0].z[0, 0]) == (0, 1)
    assert (printed(first), printed(second)) == (["0"], ["1"])


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("tokens", [40, 140, 700])
def test_map_and_strip_give_a_token_the_same_colour_in_a_text_of_any_length(tokens, theme):
    trace = random_trace(layers=3, tokens=tokens)
    view = View(1, 5, window_around(5, tokens), theme)
    cells = figures.expert_map_figure(trace, view).data[0]
    drawn = strip(trace, "Experts", layer=1, token=5, at_layer=1, theme=theme)
    places = np.array(cells.z)[1]
    for token, place in enumerate(places.tolist()):
        if np.isnan(place):
            assert drawn.fill[token] == HATCHED
        else:
            low = cells.colorscale[2 * int(place)][1]
            assert low == drawn.palette[drawn.fill[token]][0] == expert_colour(trace.expert_ids[1, token, 0], theme)


def test_a_row_of_an_expert_holds_the_weights_of_the_tokens_that_chose_it():
    trace = random_trace(layers=3, tokens=30)
    fig = figures.expert_tokens_figure(trace, View(layer=1, token=7))
    cells = np.array(fig.data[0].z)
    for token in range(30):
        chosen = dict(zip(trace.expert_ids[1, token], trace.expert_weights[1, token], strict=True))
        expected = [chosen.get(e, np.nan) if trace.width_ran[1, token] else np.nan for e in range(8)]
        np.testing.assert_allclose(cells[:, token], expected)
    idle = np.flatnonzero(~trace.width_ran[1])
    assert sorted({round(x) for x in fig.data[1].x if np.isfinite(x)}) == idle.tolist()
    bars = [np.array(named(fig, name).x) for name in ("first choice", "later choice")]
    assert (sum(bars) == np.isfinite(cells).sum(axis=1)).all()
    assert list(fig.data[4].x) == [len(idle)]


def test_layers_that_group_tokens_alike_agree_whatever_the_numbers_of_their_experts():
    rng = np.random.default_rng(3)
    group = rng.integers(0, 4, 200)
    ids = np.stack(
        [np.stack([first, (first + 1) % 4], axis=1) for first in (group, 3 - group, rng.integers(0, 4, 200))]
    )
    trace = make_trace(loops=[[1] * 200] * 3, expert_ids=ids)
    cells = np.array(figures.layers_alike_figure(trace).data[0].z)
    assert np.isnan(np.diag(cells)).all() and cells[0, 1] == cells[1, 0] == pytest.approx(1)
    assert abs(cells[0, 2]) < 0.1 and abs(cells[1, 2]) < 0.1
    assert "too few" in annotations(figures.layers_alike_figure(make_trace()))[0]


def test_second_choice_of_a_model_with_one_is_a_sentence():
    fig = figures.expert_map_figure(make_trace(k=1), choice="second")
    assert "one expert per token" in fig.layout.annotations[0].text


def test_as_many_choices_are_offered_as_a_token_has_experts():
    choice = spec("expert_map").choice
    assert [len(choice.offered({}, ranks)) for ranks in (1, 2, 8)] == [1, 2, 8]
    trace = random_trace(layers=2, tokens=9, experts=16, k=8)
    for rank, which in enumerate(choice.offered(trace.meta, 8)):
        cells = figures.expert_map_figure(trace, choice=which).data[0].z
        ran = trace.expert_ran[:, :, rank]
        assert (np.array(cells)[ran] == trace.expert_ids[:, :, rank][ran] % 8).all(), which
    fig = figures.expert_map_figure(make_trace(k=2), choice="third")
    assert "2 experts per token, so there is no third choice." in fig.layout.annotations[0].text


def test_load_shares_leave_out_who_did_not_route_and_show_them_apart():
    fig = figures.expert_load_figure(make_trace(loops=[[1, 1, 1, 4]]))
    assert named(fig, "first choice").y.tolist() == [0.5, 0, 0, 0]
    assert named(fig, "second choice").y.tolist() == [0, 0.5, 0, 0]
    assert list(named(fig, "did not route").y) == [0.25]


def test_load_of_a_layer_without_routing_is_one_sentence():
    fig = figures.expert_load_figure(make_trace(loops=[[1], [4]]), View(layer=1))
    assert not fig.data
    assert annotations(fig) == ["No token routed in layer 1."]


def test_load_by_layer_strikes_out_layers_without_routing():
    fig = figures.expert_load_by_layer_figure(make_trace(loops=[[1, 1], [4, 4]]))
    assert fig.data[0].z[0].tolist() == [0.5, 0.5, 0, 0]
    assert np.isnan(fig.data[0].z[1]).all()
    assert len(named(fig, "did not route").x) == 2


def test_path_breaks_where_the_token_did_not_route():
    fig = figures.expert_path_figure(make_trace(loops=[[1], [4], [2]]))
    line = named(fig, "first choice")
    assert np.isnan(line.y).tolist() == [False, True, False]
    assert named(fig, "choice 2").x.tolist() == [0, 2]
    assert "4 loops" in annotations(fig)


def test_rare_pairs_are_written_as_too_few():
    ids = np.array([[[0, 1]] * 20 + [[1, 2]] * 20 + [[0, 2]] * 20 + [[0, 3]] * 2])
    fig = figures.expert_pairs_figure(make_trace(loops=[[1] * 62], expert_ids=ids))
    assert printed(fig).count("too few") == 6  # expert 3 with three others, both ways
    assert fig.data[0].customdata[0, 1, 0] == 20
    many = figures.expert_pairs_figure(make_trace(loops=[[1] * 62], expert_ids=ids, num_experts=64))
    assert "bold" in str(annotations(fig)) and "bold" not in str(annotations(many)), "64 experts leave no room"


# Recursion


def test_loop_map_prints_every_number():
    fig = figures.loop_map_figure(make_trace(loops=[[1, 2], [4, 3]]))
    assert fig.data[0].z.tolist() == [[1, 2], [4, 3]]
    assert (fig.data[0].zmin, fig.data[0].zmax) == (0.5, 4.5)
    assert sorted(printed(fig)) == ["1", "2", "3", "4"]


def test_narrow_cells_carry_no_numbers():
    fig = figures.loop_map_figure(random_trace(layers=2, tokens=120))
    assert not printed(fig)


@pytest.mark.parametrize(("tokens", "named", "numbered"), [(26, True, True), (31, True, False), (32, False, False)])
def test_a_map_with_less_room_names_and_numbers_fewer_tokens(tokens, named, numbered):
    fig = figures.loop_map_figure(random_trace(layers=3, tokens=tokens), View(room=413))
    assert (len(fig.layout.xaxis.ticktext) == tokens) is named
    assert bool(printed(fig)) is numbered


def test_loop_shares_fill_their_bar():
    fig = figures.loop_shares_figure(make_trace(loops=[[1, 1, 4, 2]]))
    assert [each.y[0] for each in fig.data if each.type == "bar"] == [50, 25, 0, 25]


def test_belief_outlines_what_ran():
    fig = figures.depth_choice_figure(make_trace(loops=[[2], [4]]))
    assert [(each.y0 + each.y1) / 2 for each in fig.layout.shapes] == [2, 4]
    assert fig.data[0].z[1, 0] == pytest.approx(1, abs=1e-5)


def test_logits_say_who_won_and_by_how_much():
    logits = np.array([[[0.5, 1.02, -1, -5]]], np.float32)
    assert annotations(figures.depth_logits_figure(make_trace(loops=[[2]], depth_logits=logits))) == [
        "2 wins over 1 by 0.52"
    ]
    forced = figures.depth_logits_figure(make_trace(loops=[[4]], depth_logits=logits))
    assert annotations(forced) == ["2 wins over 1 by 0.52, but 4 ran"]


def test_bars_of_the_choice_are_labelled_with_what_the_axis_shows():
    fig = figures.depth_logits_figure(
        make_trace(loops=[[2]], depth_logits=np.array([[[0.5, 1.02, -1, 0.4999]]], np.float32))
    )
    assert fig.layout.yaxis.title.text == "logit minus the runner-up's"
    assert list(fig.data[0].y) == pytest.approx([0, 0.52, -1.5, -0.0001], abs=1e-6)
    assert list(fig.data[1].text) == ["0.00", "<b>+0.52</b>", "−1.50", "0.00"]


def test_margins_stand_against_the_range_of_all_tokens():
    fig = figures.depth_margin_figure(make_trace(loops=[[1, 2], [4, 3]]), View(token=1))
    assert named(fig, "this token").x.tolist() == [20, 20]
    assert fig.layout.shapes[0].x1 == 0.25


def test_selected_cell_is_outlined_and_its_labels_are_bold():
    fig = figures.gate_map_figure(make_trace(), View(layer=1, token=0))
    outline = [each for each in fig.layout.shapes if each.line.width == 2][0]
    assert (outline.x0, outline.y0) == (-0.5, 0.5)
    assert fig.layout.xaxis.ticktext[0] == "<b>a</b>"
    assert fig.layout.yaxis.ticktext[1] == "<b>1</b>"


# Room


def test_a_short_text_has_cells_no_wider_than_a_sixteenth():
    fig = figures.loop_map_figure(make_trace(loops=[[1, 2], [4, 3]]))
    assert list(fig.layout.xaxis.range) == [-0.5, 15.5]


def test_band_along_the_text_is_where_the_line_runs_by_chance():
    trace, view = random_trace(layers=3, tokens=300), View(1, 150, (100, 200))
    band, line = figures.gate_along_text_figure(trace, view).data[:2]
    low, high = gate_by_chance(trace)[:, 100:200]
    np.testing.assert_allclose(band.y, [*low, *high[::-1]])
    np.testing.assert_array_equal(band.x, [*range(100, 200), *range(199, 99, -1)])
    np.testing.assert_allclose(line.y, gate_along_text(trace)[100:200])


def test_blanks_and_tabs_are_named_where_their_signs_stand_upright():
    trace = make_trace(loops=[[1, 1, 1, 1, 1]], tokens=["␣", "␣␣␣␣", "⇥", "␣a", "↵"])
    fig = figures.loop_map_figure(trace, View(token=3))
    assert list(fig.layout.xaxis.ticktext) == ["␣ space", "␣×4 space", "⇥ tab", "<b>a</b>", "↵"]


def test_a_part_of_the_text_is_named_where_only_it_is_drawn():
    trace = random_trace(layers=2, tokens=2000)
    part = "tokens 256 to 511"
    view = View(1, 300, (256, 512))
    assert any(part in text for text in annotations(figures.loop_map_figure(trace, view)))
    assert any(f"{part} of 2,000" in text for text in annotations(figures.gate_along_text_figure(trace, view)))
    assert not any("of 2,000" in text for text in annotations(figures.gate_along_text_figure(trace, View(1, 300))))


# Axes of layers
