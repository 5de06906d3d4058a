"""The paper's figures of a run, checked against a direct computation from the single traces."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from analysis.explain.cost import cost_ledger
from analysis.explain.geometry import path_cosine
from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.runs.paper import cloud_levels, paper_cost, paper_left_out, paper_loops, paper_words
from analysis.runs.paper_paths import path_cosines, sampled
from analysis.texts.chance import text_interval
from tests.runs import make_run, random_traces
from tests.traces import HOSTILE, make_trace, random_trace

TRACES = [
    *random_traces(9),
    *(random_trace(layers=4, tokens=24, seed=30 + seed, words=HOSTILE) for seed in range(2)),
    make_trace(loops=[[1, 4, 2]] * 4, special=[True, False, False], tokens=["<s>", "␣", "␣a"], num_experts=8),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with make_run(tmp_path_factory.mktemp("runs") / "run", TRACES) as made:
        yield made


def test_mean_loops_and_their_interval_are_those_of_the_traces(run):
    found = paper_loops(run)
    sums = np.array([trace.loops[:, ~trace.special].sum(axis=1) for trace in TRACES])
    counts = np.array([[(~trace.special).sum()] * 4 for trace in TRACES])
    np.testing.assert_allclose(found["mean_loops"], sums.sum(axis=0) / counts.sum(axis=0))
    low, high = text_interval(sums, counts, least=1, most=4)
    np.testing.assert_allclose(found["low"], low)
    np.testing.assert_allclose(found["high"], high)
    assert set(found["prompts"]) == {12} and set(found["tokens"]) == {counts[:, 0].sum()}


def test_few_prompts_have_a_mean_and_no_interval_and_none_have_nothing(run):
    few = paper_loops(run, TokenFilter(text="<s>", special=True))
    assert few["mean_loops"].tolist() == [1.0] * 4 and few[["low", "high"]].isna().all(axis=None)
    none = paper_loops(run, TokenFilter(text="nowhere"))
    assert none[["mean_loops", "low", "high"]].isna().all(axis=None) and set(none["tokens"]) == {0}


@pytest.mark.parametrize("chosen", [ALL_TOKENS, TokenFilter(layer=2)], ids=["all layers", "a layer"])
def test_words_at_a_value_of_lambda_are_counted_as_in_the_traces(run, chosen):
    layers = range(4) if chosen.layer is None else [chosen.layer]
    at, every = {level: Counter() for level in (0, 0.25, 0.5, 0.75)}, Counter()
    for trace in TRACES:
        for layer in layers:
            for token, text in enumerate(trace.tokens):
                if not trace.special[token]:
                    word = text[1:] if text.startswith("␣") and text.strip("␣↵⇥") else text
                    every[word] += 1
                    at[float(trace.gate[layer, token])][word] += 1
    table = paper_words(run, chosen)
    for level, counted in at.items():
        rows = table[table["gate"] == level]
        assert dict(zip(rows["word"], rows["count"], strict=True)) == dict(counted)
        assert rows["count"].is_monotonic_decreasing
    for row in table.itertuples():
        of_level, cells = at[row.gate].total(), every.total()
        assert (row.of_word, row.of_level, row.cells) == (every[row.word], of_level, cells)
        assert row.lift == pytest.approx(row.count / of_level / (every[row.word] / cells))
    blank = {row.word for row in table.itertuples() if row.blank}
    assert blank == {"␣", "⇥", "↵↵", "⟨98⟩", "⟨80⟩", "⟨F0 9F⟩", "⟨20 F0 9F⟩", "⟨8D 95 21⟩"} & every.keys()


def test_what_the_clouds_leave_out_is_counted(run):
    (row,) = paper_left_out(run).to_dict("records")
    blank = {"␣", "⇥", "↵↵", "⟨98⟩", "⟨80⟩", "⟨F0 9F⟩", "⟨20 F0 9F⟩", "⟨8D 95 21⟩"}
    texts = [text for trace in TRACES for text, added in zip(trace.tokens, trace.special, strict=True) if not added]
    assert row == {"special": 1, "blank": sum(text in blank for text in texts), "tokens": len(texts)}


def test_clouds_are_at_the_paper_s_values_of_lambda(run):
    assert cloud_levels(run.sizes) == [0.25, 0.75]


def test_cost_is_the_paper_s_formula_of_what_was_counted(run):
    found = paper_cost(run).set_index("design")
    loops = np.concatenate([trace.loops[:, ~trace.special].ravel() for trace in TRACES])
    routed = np.concatenate([trace.width_ran[:, ~trace.special].ravel() for trace in TRACES])
    ours = found.loc["VersatileFFN"]
    assert ours["mean_loops"] == pytest.approx(loops.mean()) and ours["routed_share"] == pytest.approx(routed.mean())
    assert ours["passes"] == pytest.approx(loops.mean() + 2 / 8 * routed.mean())
    assert ours["flops_per_token"] == pytest.approx(ours["passes"] * 6 * 10 * 8 * 4)
    assert found["passes"].drop("VersatileFFN").tolist() == [1.0, 1.25, 2.0, 4.0, 6.0]
    assert found["counted"].tolist() == [False] * 5 + [True]


def test_cost_of_a_run_of_one_text_is_that_of_its_cost_page(tmp_path):
    trace = random_trace(layers=4, tokens=40)
    with make_run(tmp_path / "run", [trace]) as made:
        found = paper_cost(made).set_index("design")
    ledger = cost_ledger(trace).set_index(["design", "account"])
    for design, account in (("dense", ""), ("MoE", ""), ("4-loop", ""), ("VersatileFFN", "nominal")):
        assert found.loc[design, "passes"] == pytest.approx(ledger.loc[(design, account), "total"])
        assert found.loc[design, "flops_per_token"] == pytest.approx(ledger.loc[(design, account), "flops_per_token"])


def test_sample_of_prompts_is_the_same_for_a_seed_and_obeys_the_filter(run):
    first, again = sampled(run, count=4, seed=1), sampled(run, count=4, seed=1)
    assert (
        len(first) == 4
        and first["prompt"].tolist() == again["prompt"].tolist() != sampled(run, count=4, seed=2)["prompt"].tolist()
    )
    chosen = TokenFilter(layer=1, loops=(2,))
    for row in sampled(run, chosen, count=3).itertuples():
        assert (
            list(row.tokens)
            == np.flatnonzero((TRACES[row.prompt].loops[1] == 2) & ~TRACES[row.prompt].special).tolist()
        )
        assert row.text == TRACES[row.prompt].meta["text"]


def test_cosines_of_both_paths_are_means_over_the_cells_that_routed(tmp_path):
    from hooks import capture, capture_paths
    from sample_models import load_model

    loaded, other = load_model("versatile-4l-0.4m"), load_model("versatile-4l-0.4m", step=245)
    traces = capture(loaded, ["A fox ran to the river.", "7 + 5 = 12", "def f(x): return x"])
    with make_run(tmp_path / "run", traces) as made:
        found = path_cosines(made, lambda text: capture_paths(loaded, text))
        with pytest.raises(ValueError, match="The run is of versatile-4l-0.4m with weights .*, and here are others"):
            path_cosines(made, lambda text: capture_paths(other, text))
    paths = [capture_paths(loaded, trace) for trace in traces]
    gate = np.concatenate([each.gate for each in traces], axis=1)
    assert (found.prompts, found.tokens, found.other_loops) == (3, gate.shape[1], 0)
    for of in ("outputs", "writes"):
        cosine = np.concatenate([path_cosine(each, of) for each in paths], axis=1)
        for row in found.table.itertuples():
            cells = np.isfinite(cosine[row.layer]) & (True if pd.isna(row.gate) else gate[row.layer] == row.gate)
            expected = cosine[row.layer][cells].mean() if cells.any() else np.nan
            assert row.cells == cells.sum() and getattr(row, of) == pytest.approx(expected, nan_ok=True)
