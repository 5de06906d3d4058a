"""Dealt experts: the arithmetic against each deal worked out in full, and what is left out."""

import dataclasses

import numpy as np
import pytest

from analysis.explain.dealt import dealt_experts
from analysis.explain.geometry import cosine_table, first_loop, first_loop_table, path_cosine
from analysis.figures import first_loop_figure, path_agreement_figure
from analysis.view import View
from tests.capture_results import make_paths
from tests.traces import make_trace, random_trace


def test_dealt_experts_are_those_of_every_other_routed_token_worked_out_in_full():
    paths = make_paths(random_trace(layers=2, tokens=14, experts=4, seed=3))
    trace, found = paths.routing, dealt_experts(paths, 1)
    routed = np.flatnonzero(trace.width_ran[1])
    assert 2 < len(routed) < 14
    for token in routed:
        deals = []
        for giver in routed[routed != token]:
            ids, weights = trace.expert_ids.copy(), trace.expert_weights.copy()
            ids[1, token], weights[1, token] = ids[1, giver], weights[1, giver]
            swapped = dataclasses.replace(trace, expert_ids=ids, expert_weights=weights)
            dealt = dataclasses.replace(paths, routing=swapped)
            split = first_loop(dealt, 1)
            cosines = [path_cosine(dealt, of)[1, token] for of in ("outputs", "writes")]
            deals.append([*cosines, split.coverage[token], split.cosine[token]])
        assert [each[token] for each in vars(found).values()] == pytest.approx(np.mean(deals, axis=0), rel=1e-4)
    idle = np.setdiff1d(np.arange(14), routed)
    assert all(np.isnan(each[idle]).all() for each in vars(found).values())


def test_where_all_tokens_chose_alike_what_is_dealt_is_what_they_have():
    trace = make_trace(loops=[[1, 2, 1, 3]], num_experts=4)
    paths = make_paths(trace)
    np.testing.assert_allclose(dealt_experts(paths, 0).cosine_of_writes, path_cosine(paths, "writes")[0], rtol=1e-4)
    np.testing.assert_allclose(dealt_experts(paths, 0).coverage, first_loop(paths, 0).coverage, rtol=1e-4)


def test_a_lone_token_and_tokens_that_the_tokenizer_added_are_dealt_nothing():
    lone = make_paths(make_trace(loops=[[1, 4]]))
    assert np.isnan(dealt_experts(lone, 0).coverage).all()
    special = make_paths(make_trace(loops=[[1, 1, 1]], special=[True, False, False]))
    assert np.isnan(dealt_experts(special, 0).coverage).tolist() == [True, False, False]


def test_tables_and_figures_hold_what_is_dealt_beside_what_was_chosen():
    paths = make_paths(random_trace(layers=3, tokens=30, experts=4), tokens=(4, 20))
    found = [dealt_experts(paths, layer) for layer in range(3)]
    writes = np.concatenate([each.cosine_of_writes for each in found])
    np.testing.assert_array_equal(cosine_table(paths)["cosine_of_writes_dealt"], writes)
    lengths = first_loop_table(paths).query("layer == 1 and expert == 0")["coverage_dealt"]
    np.testing.assert_array_equal(lengths, found[1].coverage)
    drawn = path_agreement_figure(paths, View(layer=1), of="writes")
    (dots,) = (each for each in drawn.data if each.name == "experts exchanged")
    np.testing.assert_allclose(dots.x, [np.nanmean(each.cosine_of_writes) for each in found])
    dealt = f"(exchanged: {np.nanmedian(found[1].coverage):.2f}, {np.nanmedian(found[1].cosine):.2f})"
    assert any(dealt in note.text for note in first_loop_figure(paths, View(layer=1, token=7)).layout.annotations)
