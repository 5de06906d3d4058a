"""Two traces beside each other: the alignment against brute force, planted differences, and what is never zero."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from analysis import answers, figures
from analysis.catalogue import CATALOGUE
from analysis.compare.alignment import aligned, aligned_by_edit
from analysis.compare.pair import TracePair, difference, flips, logprob_difference, on_a
from analysis.compare.tables import flips_table, pair_table, places, replaced_experts
from analysis.compare.texts import MINIMAL_PAIRS, PARAPHRASES, paraphrase_flips, paraphrase_texts
from analysis.figures.figure_pair import EXPERT_MAP, SUBTRACTED, FigurePair, difference_grid, difference_table
from analysis.view import View
from hooks import capture, transplant_routing
from hooks.interventions import ForceLoops
from hooks.trace import RoutingTrace
from hooks.transplant_trace import why_no_transplant
from sample_models import load_model
from tests.capture_results import make_pair
from tests.models import small_loaded
from tests.traces import HOSTILE, make_trace, random_trace


def longest_common(a, b):
    """Length of the longest common subsequence, by trying all of the shorter one's."""
    for size in range(len(a), 0, -1):
        for part in combinations(a, size):
            rest = iter(b)
            if all(each in rest for each in part):
                return size
    return 0


def loops_of(trace):
    return trace.loops


@pytest.mark.parametrize("seed", range(40))
def test_an_edit_alignment_has_as_many_equal_tokens_as_there_can_be_and_keeps_their_order(seed):
    rng = np.random.default_rng(seed)
    a, b = (list("abcd"[i] for i in rng.integers(0, 4, size=rng.integers(0, 8))) for _ in range(2))
    found = aligned_by_edit(a, b)
    assert len(found.pairs) == longest_common(a, b)
    assert all(a[i] == b[j] for i, j in found.pairs)
    for group in (found.group_a, found.group_b):
        known = group[group >= 0]
        assert (np.diff(known) > 0).all() and len(known) == len(found.same)


def test_a_replaced_token_stands_at_its_place_and_unequal_gaps_are_not_aligned():
    found = aligned_by_edit(list("xAy z"), list("xBy zw"))
    assert found.group_a.tolist() == [0, 1, 2, 3, 4] and found.group_b.tolist() == [0, 1, 2, 3, 4, -1]
    assert found.same.tolist() == [True, False, True, True, True] and found.first_difference == 1
    apart = aligned_by_edit(list("xAy"), list("xBCy"))
    assert apart.group_a.tolist() == [0, -1, 1] and apart.group_b.tolist() == [0, -1, -1, 1]
    assert aligned_by_edit(list("xy"), list("xwy")).first_difference == 1, "something was put in before token 1"


def test_two_tokenizations_of_one_text_are_aligned_where_both_cut():
    meta = {"model": "tiny", "weights_sha256": "0", "config": {}, "text": " photographs"}
    a = make_trace(loops=[[1, 3, 2]], tokens=["␣photo", "graph", "s"], meta=meta)
    b = make_trace(loops=[[4, 1]], tokens=["␣photograph", "s"], meta=meta | {"weights_sha256": "1"})
    found = aligned(a, b)
    assert found.by == "characters"
    assert found.group_a.tolist() == [0, 0, 1] and found.group_b.tolist() == [0, 1]
    pair = TracePair(a, b)
    assert on_a(pair, loops_of)[0].tolist() == [[2, 2, 2]], "the mean of two pieces"
    assert difference(pair, loops_of).tolist() == [[2, 2, -1]]
    assert np.isnan(logprob_difference(pair)[:2]).all(), "the first token has no log p"
    assert logprob_difference(pair)[2] == 0
    assert pair.what == "model" and "nothing in common" in pair.why_no_experts
    assert flips(pair).cells == 1, "only one token stands against one"
    assert places(pair)["aligned"].tolist() == ["pieces", "pieces", "same"]


def test_what_is_not_aligned_has_no_difference_and_never_a_zero():
    pair = make_pair(random_trace(layers=3, tokens=12))
    values = difference(pair, loops_of)
    assert np.isnan(values[:, 5]).all() and np.isfinite(np.delete(values, 5, axis=1)).all()
    assert np.isnan(logprob_difference(pair)[[3, 5]]).all(), "a replaced token has no second probability"
    assert np.isnan(replaced_experts(pair)[:, 5]).all()
    table = pair_table(pair)
    assert table.loc[table["token_a"] == 5, ["loops_b", "gate_b", "difficulty_b"]].isna().all(axis=None)


def test_planted_differences_are_found_and_nothing_else():
    a = make_trace(loops=[[1, 2, 1, 2], [1, 1, 1, 1]], tokens=["␣a", "␣b", "␣c", "␣d"])
    loops, experts = a.loops.copy(), a.expert_ids.copy()
    loops[0, 2], experts[1, 3] = 3, (0, 3)
    meta = a.meta | {"text": "␣a␣x␣c␣d"}
    b = replace(a, loops=loops, expert_ids=experts, tokens=["␣a", "␣x", "␣c", "␣d"], meta=meta)
    found = flips(TracePair(a, b))
    assert (found.cells, found.loops, found.routed, found.experts) == (4, 1, 3, 1)
    assert difference(TracePair(a, b), loops_of).tolist() == [[0, 0, 2, 0], [0, 0, 0, 0]]
    said = answers.compare(TracePair(a, b), View()).text
    assert "differs from token 1 on" in said and "1 (25%) took a different number of loops" in said and "“c”" in said


@pytest.mark.parametrize("words", [None, HOSTILE])
def test_identical_traces_have_no_flips_and_no_difference(words):
    trace = random_trace(layers=3, tokens=24, words=words)
    pair = TracePair(trace, trace)
    assert (difference(pair, loops_of) == 0).all() and np.nansum(np.abs(logprob_difference(pair))) == 0
    assert flips(pair).loops == flips(pair).experts == 0 and flips(pair).cells == 72
    assert pair.alignment.first_difference == 24


def test_other_numbers_of_layers_are_told_in_one_sentence_and_never_compared():
    pair = TracePair(random_trace(layers=3, tokens=9), random_trace(layers=4, tokens=9))
    assert pair.why_no_layers.count(".") == 1 and flips(pair).cells == 0
    with pytest.raises(ValueError, match="A has 3 layers and B 4"):
        difference(pair, loops_of)
    assert pair_table(pair)["loops_b"].isna().all() and pair_table(pair)["loops_a"].notna().all()
    assert "A has 3 layers" in why_no_transplant(pair.a, pair.b)


def test_every_figure_of_one_trace_has_a_difference_which_is_zero_between_equals():
    of_a_trace = {each.name: each for each in CATALOGUE if each.of is RoutingTrace}
    assert of_a_trace.keys() == {*SUBTRACTED, EXPERT_MAP}
    trace = random_trace(layers=2, tokens=30, experts=3)
    for name, each in of_a_trace.items():
        options = each.choice.labels if each.choice else [""]
        for option in options if name != EXPERT_MAP else []:
            same = FigurePair(TracePair(trace, trace), name, option)
            table = difference_table(same)
            found = table[[column for column in table if column.endswith("_difference")]].to_numpy(float)
            assert np.isfinite(found).any() and not np.nansum(np.abs(found)), (name, option)
            assert not np.nansum(np.abs(difference_grid(same, View(layer=1, token=7)).difference))


def test_differences_of_a_figure_are_those_of_its_numbers():
    a = make_trace(loops=[[1, 2, 1, 4], [1, 1, 1, 1]], tokens=["␣a", "␣b", "␣c", "␣d"])
    loops, experts, ran = a.loops.copy(), a.expert_ids.copy(), a.width_ran.copy()
    loops[0, 2], experts[1, 3], ran[1, 2] = 3, (0, 3), False
    b = replace(a, loops=loops, expert_ids=experts, width_ran=ran, meta=a.meta | {"text": "another"})
    pair = TracePair(a, b)
    grid = difference_grid(FigurePair(pair, "loop_shares"), View())
    assert (grid.rows, grid.columns) == ([0, 1], [1, 2, 3, 4])
    assert grid.difference.tolist() == [[-0.25, 0, 0.25, 0], [0, 0, 0, 0]]
    weights = difference_grid(FigurePair(pair, "expert_tokens"), View(layer=1))
    of = weights.rows.index
    (had,) = set(a.expert_ids[1, 3].tolist()) - {0, 3} or {0}
    at = weights.difference
    assert at[of(3), 3] == pytest.approx(a.expert_weights[1, 3, 1]), "an expert that only B chose"
    assert at[of(had), 3] < 0 and np.isnan(at[:, 2]).all(), "where B did not route there is no weight, which is not 0"
    drawn = figures.beside_difference_figure(FigurePair(pair, "loop_map"), View())
    assert (
        np.nan_to_num(drawn.data[0].z).tolist() == [[0, 0, 1, 0], [0, 0, 0, 0]] and "A 1.00" in drawn.data[0].text[0][2]
    )


def test_tokens_that_are_not_aligned_have_no_difference_in_any_figure():
    pair = make_pair(random_trace(layers=3, tokens=12, words=None))
    grid = difference_grid(FigurePair(pair, "cost_map"), View())
    assert np.isnan(grid.difference[:, 5]).all() and np.isfinite(np.delete(grid.difference, 5, axis=1)).all()
    alone = figures.beside_difference_figure(FigurePair(pair, "depth_choice"), View(token=5))
    assert "not aligned" in alone.layout.annotations[0].text
    table = difference_table(FigurePair(pair, "compute_map"))
    assert table.loc[table["token"] == 5, ["total_b", "total_difference"]].isna().all(axis=None)
    others = TracePair(pair.a, random_trace(layers=4, tokens=12))
    assert FigurePair(others, "loop_shares").why_not == others.why_no_layers
    assert FigurePair(others, "cost_ledger").why_not is None and difference_table(FigurePair(others, "gate_map")).empty


@pytest.fixture(scope="module")
def loaded():
    return load_model("versatile-4l-0.4m")


def test_the_null_is_of_paraphrases_that_this_model_reads_and_of_cells_after_their_difference(loaded):
    null = paraphrase_flips(capture(loaded, paraphrase_texts()))
    assert len(null) == len(PARAPHRASES) == 12
    assert all(each.cells % 4 == 0 and each.loop_share < 1 for each in null), "four layers"
    assert sum(each.loop_share > 0 for each in null) > 6, "another wording alone flips some"
    first, second = capture(loaded, list(PARAPHRASES[0]))
    found = TracePair(first, second, null)
    assert flips(found) == null[0] and flips(found).cells < 4 * first.num_tokens
    assert flips_table(found)["pair"].tolist()[:2] == ["this pair", "paraphrase 1"]


@pytest.mark.parametrize("key", MINIMAL_PAIRS)
def test_a_minimal_pair_differs_early_and_mostly_stays_the_same(key, loaded):
    pair = TracePair(*capture(loaded, [MINIMAL_PAIRS[key].a, MINIMAL_PAIRS[key].b]))
    assert pair.what == "text" and pair.alignment.same.mean() > 0.7
    assert flips(pair).cells > 4 * 10


def test_two_training_steps_are_compared_with_their_experts(loaded):
    text = "The fox ran home."
    early = load_model("versatile-4l-0.4m", step=61)
    pair = TracePair(capture(loaded, text), capture(early, text))
    assert (pair.what, pair.step, pair.name_of_b) == ("step", 61, "step 61 of the training")
    assert pair.experts_match and flips(pair).cells == pair.a.loops.size


def test_a_transplant_of_its_own_routing_changes_nothing_and_that_of_another_text_does(loaded):
    text = "Anna gave Ben the red ball."
    own = capture(loaded, text)
    same = transplant_routing(loaded, own, own)
    for each in (*same.into_a, *same.into_b):
        assert np.array_equal(each.logprob, own.logprob, equal_nan=True)
        assert np.array_equal(each.next_logprobs, own.next_logprobs)
    other = capture(loaded, "Ben gave Anna the red ball.")
    crossed = transplant_routing(loaded, own, other)
    assert np.array_equal(crossed.into_a[0].loops, other.loops)
    assert np.array_equal(crossed.into_b[1].loops, own.loops)
    assert not np.array_equal(crossed.into_a[0].logprob, own.logprob, equal_nan=True)


def test_a_transplant_between_texts_of_other_lengths_is_refused():
    loaded = small_loaded()
    with pytest.raises(ValueError, match="equal numbers"):
        transplant_routing(loaded, *capture(loaded, ["1 2 3", "1 2 3 4"]))


def test_with_and_without_interventions_is_one_text(loaded):
    text = "The fox ran home."
    pair = TracePair(capture(loaded, text, interventions=(ForceLoops(4, layers=1),)), capture(loaded, text))
    assert pair.what == "interventions" and pair.name_of_b == "the model's own choices"
    assert (difference(pair, loops_of)[1] <= 0).all() and (difference(pair, loops_of)[0] == 0).all()
