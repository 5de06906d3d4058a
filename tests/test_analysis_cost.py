import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from analysis.explain.cost import (
    cost,
    cost_by_layer,
    cost_ledger,
    counted_and_measured,
    dense_flops,
    heads_share,
)
from analysis.figures import cost_ledger_figure
from hooks import capture, time_ffn
from tests.traces import make_trace, random_trace


def test_three_accounts_equal_what_is_found_by_hand():
    trace = make_trace(loops=[[1, 3, 4]], num_experts=8)  # the last did not route
    assert cost(trace, "nominal").tolist() == [[1.25, 3.25, 4]]
    assert cost(trace, "released").tolist() == [[4.25, 4.25, 4]]
    assert cost(trace, "ours") == pytest.approx(np.array([[1, 3, 4]]))


def test_released_cost_follows_each_layers_own_deepest_token():
    assert cost(make_trace(loops=[[1, 2], [1, 1]]), "released").tolist() == [[2.5, 2.5], [1.5, 1.5]]


def test_a_pass_is_six_multiplications_of_the_two_sizes():
    trace = make_trace()  # of a model with d = 10, f = 8
    assert dense_flops(trace) == 480
    assert heads_share(trace) == pytest.approx(2 * 10 * (4 + 4) / 480)


def test_a_trace_without_sizes_is_refused():
    with pytest.raises(ValueError, match="does not name the model's hidden_size"):
        cost_ledger(make_trace(meta={}))


def test_our_account_is_what_the_model_runs(loaded):
    """FLOPs counted while the model runs, less the heads and the sum that makes lambda, are the account's."""
    text = "Count what runs here, 123."
    trace = capture(loaded, text)
    assert len(np.unique(trace.loops)) > 2, "the text must loop differently"
    ids = loaded.tokenizer(text, return_tensors="pt")["input_ids"]
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        loaded.model(ids, use_cache=False)
    counted = counter.get_flop_counts()
    gate = 2 * trace.num_tokens * trace.max_loops
    heads = heads_share(trace) * dense_flops(trace) * trace.num_tokens
    for layer in range(trace.num_layers):
        ran = next(sum(ops.values()) for name, ops in counted.items() if name.endswith(f"layers.{layer}.mlp"))
        assert ran - gate - heads == pytest.approx(cost(trace, "ours")[layer].sum() * dense_flops(trace))


def test_ledger_adds_up_and_leaves_out_special_tokens():
    trace = make_trace(loops=[[4, 1, 2]], special=[True, False, False], num_experts=8)
    rows = cost_ledger(trace).set_index(["design", "account"])
    assert rows.loc[("VersatileFFN", "nominal")].tolist() == [1.5, 0.25, 0, 1.75, 1.75 * 480]
    # the special token ran too: it makes the others loop four times
    assert rows.loc[("VersatileFFN", "released")].tolist() == [1.5, 0.25, 2.5, 4.25, 4.25 * 480]
    assert rows["total"].tolist()[:5] == [1, 1.25, 2, 4, 6]


def test_nominal_mean_is_the_papers_formula():
    trace = random_trace()
    dense, moe = 1, 1.25
    expected = dense * trace.loops.mean() + (moe - dense) * trace.width_ran.mean()
    assert cost(trace).mean() == pytest.approx(expected)


def test_cost_by_layer_is_the_mean_over_ordinary_tokens():
    table = cost_by_layer(make_trace(loops=[[4, 1]], special=[True, False], num_experts=8))
    assert table["ffn_equivalents"].tolist() == pytest.approx([1.25, 4.25, 1])


def test_ledger_figure_stacks_to_the_totals_and_hatches_what_ran_idle():
    trace = make_trace(loops=[[1, 3]], num_experts=8)
    bars = [drawn for drawn in cost_ledger_figure(trace).data if drawn.type == "bar"]
    assert np.sum([bar.x for bar in bars], axis=0)[-3:].tolist() == pytest.approx([2.25, 3.25, 2])
    assert [bar.marker.pattern.shape for bar in bars] == [None, "/", None]


def test_times_of_the_ffn_stand_beside_the_count(loaded):
    text = "Time flies."
    seconds = time_ffn(loaded, text, most_rounds=2)
    table = counted_and_measured(capture(loaded, text), seconds).set_index("run")
    assert (table["milliseconds"] > 0).all()
    assert table.loc["dense", "measured"] == table.loc["dense", "counted"] == 1
    assert table.loc["all loops", "counted"] == 4


def test_a_text_without_tokens_cannot_be_timed(loaded):
    with pytest.raises(ValueError, match="holds no token"):
        time_ffn(loaded, "")
