"""Knock-outs in tables and figures: by hand, over texts with intervals, and against chance where there is nothing."""

import numpy as np
import pytest

from analysis import figures
from analysis.explain.knock_out import above_control, carrier, knock_out_table, largest, pair_table, top_k_table
from analysis.texts.knock_out import expert_effects, knock_out_study
from analysis.texts.paired import least_sign_p, paired_table, signs
from analysis.view import View
from tests.capture_results import make_knock_outs
from tests.traces import make_trace

TRACE = make_trace(loops=[[1, 1, 1], [1, 4, 1]], special=[True, False, False])
"""Experts 0 and 1 of 4 are chosen everywhere; only tokens 1 and 2 count."""


def by_hand(**overrides):
    """Nothing changes but: expert 1 of layer 0 costs 0.2 and 0.4, its control 0.1, all of layer 0 1.0."""
    found = make_knock_outs(TRACE)
    arrays = {name: np.zeros_like(getattr(found, name)) for name in ("change", "control", "whole", "top_k", "pairs")}
    for values in arrays.values():
        values[..., 0] = np.nan
    arrays["change"][0, :, 2:] = arrays["control"][0, :, 2:] = np.nan
    arrays["change"][0, 0, 1, 1:], arrays["control"][0, 0, 1, 1:] = (0.2, 0.4), 0.1
    arrays["whole"][0, 0, 1:], arrays["pairs"][0, 0, 1:], arrays["top_k"][2, 3, 1:] = 1.0, 0.5, (0.1, 0.3)
    return make_knock_outs(TRACE, **(arrays | overrides))


def test_a_row_has_the_mean_over_the_tokens_that_count_and_what_is_beyond_the_control():
    table = knock_out_table(by_hand())
    row = table.query("path == 'width' and layer == 0 and expert == 1").iloc[0]
    assert (row["had"], row["lost"], row["tokens"], row["draws"]) == (3, 3, 2, 3)
    assert row[["change", "control", "beyond"]].tolist() == pytest.approx([0.3, 0.1, 0.2])
    whole = table[(table["path"] == "width") & table["expert"].isna()]
    assert whole["change"].tolist() == pytest.approx([1, 0])
    unused = table.query("path == 'width' and layer == 1 and expert == 3").iloc[0]
    assert unused["had"] == 0 and np.isnan(unused["change"])
    loops = table.query("path == 'depth' and layer == 1 and expert == 3").iloc[0]
    assert loops["lost"] == 3 and loops["change"] == 0, "the loops run every slice"


def test_pairs_stand_beside_the_sum_of_what_each_costs_alone():
    table = pair_table(by_hand()).query("layer == 0").set_index(["first", "second"])
    assert table.loc[(0, 1), ["change", "alone", "more"]].tolist() == pytest.approx([0.5, 0.3, 0.2])
    assert table.loc[(2, 3), "alone"] == 0, "what no token had costs nothing"


def test_numbers_of_experts_are_told_by_layer_and_for_all():
    table = top_k_table(by_hand())
    assert table[table["layer"].isna() & (table["k"] == 4)]["change"].item() == pytest.approx(0.2)
    assert table["layer"].isna().sum() == 4 and len(table) == 12


def test_the_expert_of_the_text_and_of_a_prediction_are_those_that_cost_most():
    found = by_hand()
    assert (largest(found, "width").layer, largest(found, "width").expert) == (0, 1)
    one = carrier(found, "width", 1)
    assert (one.layer, one.expert, one.change, one.control) == (0, 1, pytest.approx(0.4), pytest.approx(0.1))
    assert carrier(found, "width", 2) is None, "no token follows the last one"
    assert above_control(found, "width") == (1, 4)


def test_maps_have_thousandths_a_gap_for_what_was_not_measured_and_a_stroke_for_what_nobody_chose():
    found = by_hand()
    fig = figures.knock_out_map_figure(found, View(layer=1))
    assert fig.data[0].z[0][1] == pytest.approx(300) and np.isnan(fig.data[0].z[0][2])
    assert fig.data[1].z[0][0] == pytest.approx(1000) and "+300" in [t for data in fig.data[2:-1] for t in data.text]
    assert fig.data[-1].name == "did not route" and len(fig.data[-1].x) == 3 * 4
    part = np.array(found.change)
    part[0, 1] = np.nan
    fig = figures.knock_out_map_figure(by_hand(change=part), View())
    assert "2 of 4 measured" in fig.layout.annotations[0].text
    assert figures.knock_out_control_figure(found, View()).data[0].z[0][1] == pytest.approx(200)
    assert figures.knock_out_token_figure(found, View(token=1)).data[0].z[0][1] == pytest.approx(400)
    assert "last one" in figures.knock_out_token_figure(found, View(token=2)).layout.annotations[0].text


def test_signs_are_all_of_few_texts_and_the_first_are_those_that_were_read():
    all_of_four = signs(4)
    assert len({tuple(row) for row in all_of_four.tolist()}) == 16 and (all_of_four[0] == 1).all()
    drawn = signs(20)
    assert (drawn[0] == 1).all() and abs(drawn[1:].mean()) < 0.02 and least_sign_p(5) == 2 / 32


def test_a_difference_that_all_texts_have_gets_the_smallest_p_and_too_few_texts_get_none():
    tokens = np.full((8, 2), 10)
    values = np.array([[2.0, 1.0]] * 4 + [[1.0, -1.0]] * 4)
    row = paired_table(values, np.zeros_like(values), tokens)
    assert row["p"].tolist() == [2 / 256, 1] and row["beyond"].tolist() == pytest.approx([0.15, 0])
    assert row["beyond_low"][0] > 0 and row["texts"].tolist() == [8, 8]
    few = paired_table(values[:4], np.zeros((4, 2)), tokens[:4])
    assert few[["p", "low", "beyond_high"]].isna().all(axis=None) and few["change"][0] == pytest.approx(0.2)


def test_where_knock_out_and_control_are_alike_something_is_found_as_often_as_chance_allows():
    """200 sets of numbers: 12 texts, 48 experts, heavy tails, the control a mean over three draws."""
    rng, hits = np.random.default_rng(0), 0
    tokens = np.full((12, 48), 50)
    for _ in range(200):
        draws = rng.standard_t(3, size=(4, 12, 48)) * rng.gamma(2, size=(1, 12, 1)) + 0.5
        hits += bool((paired_table(draws[0], draws[1:].mean(axis=0), tokens)["p_corrected"] < 0.05).any())
    assert hits <= 16  # of 200 at 5%: P(more) = 2%


def test_a_study_counts_the_texts_where_some_token_had_the_expert_and_the_paths_that_all_texts_have():
    part = np.array(make_knock_outs(TRACE).change)
    part[1] = np.nan
    found = [make_knock_outs(TRACE, seed=seed) for seed in range(5)] + [make_knock_outs(TRACE, change=part)]
    study = knock_out_study(found, name="mine.csv")
    assert (study.texts, study.tokens, study.paths) == (6, 12, ["width", "both"])
    table = expert_effects(found)
    width = table[table["path"] == "width"].set_index(["layer", "expert"])
    assert width.loc[(0, 1), "texts"] == 6 and width.loc[(0, 3), "texts"] == 0 and np.isnan(width.loc[(0, 3), "p"])
    assert width.loc[(0, 1), "tokens"] == 12
    with pytest.raises(ValueError, match="same `then`"):
        knock_out_study([found[0], make_knock_outs(TRACE, then="kept")])
    with pytest.raises(ValueError, match="no text to count"):
        knock_out_study([])
    text = figures.knock_out_texts_figure(study, View(), path="depth").layout.annotations[0].text
    assert text.startswith("The depth path was not measured")
