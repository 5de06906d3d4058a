import numpy as np
import pytest

from analysis.experts import (
    all_expert_paths,
    choice_counts,
    did_not_route,
    expert_load,
    expert_pairs,
    router_probs,
)
from tests.traces import make_trace, random_trace


def chosen(ids, **fields):
    """One layer in which every token chose these experts, best first."""
    ids = np.array([ids])
    return make_trace(loops=fields.pop("loops", [[1] * ids.shape[1]]), expert_ids=ids, **fields)


def test_load_counts_first_and_later_choices_and_sums_to_one():
    load = expert_load(chosen([[0, 1], [0, 2], [3, 0], [0, 1]]))
    assert load["first_share"].tolist() == [3 / 8, 0, 0, 1 / 8]
    assert load["later_share"].tolist() == [1 / 8, 2 / 8, 1 / 8, 0]
    assert load["share"].sum() == 1


def test_tokens_that_did_not_route_are_in_no_count_and_no_denominator():
    trace = chosen([[0, 1], [2, 3]], loops=[[1, 4]])
    assert choice_counts(trace).sum() == 2
    assert expert_load(trace)["share"].tolist() == [0.5, 0.5, 0, 0]
    assert expert_load(trace)["routed_tokens"].tolist() == [1] * 4


def test_load_is_missing_where_nobody_routed():
    assert expert_load(make_trace(loops=[[4, 4]]))["share"].isna().all()


def test_special_tokens_are_in_no_load():
    trace = chosen([[0, 1], [2, 3]], special=[True, False])
    assert expert_load(trace)["share"].tolist() == [0, 0, 0.5, 0.5]


def test_did_not_route_has_all_ordinary_tokens_as_denominator():
    trace = make_trace(loops=[[4, 1, 4, 4]], special=[True, False, False, False])
    assert did_not_route(trace)["share"].tolist() == [2 / 3]


def test_router_probabilities_sum_to_one():
    assert router_probs(random_trace(layers=2, tokens=5)).sum(axis=-1) == pytest.approx(1, abs=1e-5)


def test_pairs_by_chance_have_no_lift():
    ids = [[a, b] for a in range(4) for b in range(4) if a != b] * 5  # every pair ten times
    pairs = expert_pairs(chosen(ids), layer=0)
    assert pairs["together"].tolist() == [10] * 6
    assert pairs["expected"].tolist() == pytest.approx([10] * 6, rel=1e-4)
    assert pairs["lift_log2"].tolist() == pytest.approx([0] * 6, abs=1e-4)


def test_pairs_keep_every_experts_load():
    trace = random_trace(layers=1, tokens=300, experts=6)
    pairs = expert_pairs(trace, layer=0)
    for expert in range(6):
        mine = pairs[(pairs["first"] == expert) | (pairs["second"] == expert)]
        assert mine["expected"].sum() == pytest.approx(mine["together"].sum(), rel=1e-3)


def test_pairs_that_always_meet_have_a_lift():
    pairs = expert_pairs(chosen([[0, 1]] * 20 + [[2, 3]] * 20), layer=0).set_index(["first", "second"])
    assert pairs.loc[(0, 1), "lift_log2"] == pytest.approx(np.log2(20.5 / (20 / 3 + 0.5)), abs=0.01)
    assert pairs.loc[(0, 2), "together"] == 0


def test_rare_pairs_are_not_compared():
    assert expert_pairs(chosen([[0, 1]] * 3), layer=0)["lift_log2"].isna().all()


def test_path_has_ranks_only_where_the_token_routed():
    trace = make_trace(loops=[[1], [4]])
    path = all_expert_paths(trace)
    assert path.loc[path["layer"] == 0, "weight"].tolist()[:2] == [0.75, 0.25]
    assert path.loc[path["layer"] == 0, "rank"].tolist()[:2] == [0, 1]
    assert path.loc[path["layer"] == 1, ["rank", "weight"]].isna().all().all()
    assert path["probability"].notna().all()


def test_all_paths_are_the_trace_token_by_token():
    trace = random_trace(layers=3, tokens=9, experts=5)
    table = all_expert_paths(trace)
    assert not trace.width_ran.all()
    assert len(table) == 9 * 3 * 5
    for (token, layer), path in table.groupby(["token", "layer"], sort=False):
        ran = trace.width_ran[layer, token]
        chosen = path.dropna(subset="rank").sort_values("rank")
        assert path["expert"].tolist() == list(range(5))
        assert path["probability"].tolist() == router_probs(trace)[layer, token].tolist()
        assert chosen["expert"].tolist() == (trace.expert_ids[layer, token].tolist() if ran else [])
        assert chosen["weight"].tolist() == (trace.expert_weights[layer, token].tolist() if ran else [])
        assert (path["width_ran"] == ran).all()
    assert table["token"].is_monotonic_increasing
