"""Regret: by hand, planted in a model whose best depth is known, and where there is nothing to find."""

import numpy as np
import pytest
import torch

from analysis.explain.regret import (
    TIE,
    Cells,
    best_by_chosen,
    best_loops,
    cells_of,
    choices_by_chance,
    gates_compared,
    regret,
    regret_of_random,
    tied,
)
from analysis.texts.gate_placement import gates_over_texts
from hooks import capture, depth_sweep, frontier
from tests.models import small_loaded


def cells(changes, chosen, counted=None) -> Cells:
    changes, chosen = np.array(changes, float), np.array(chosen)
    counted = np.isfinite(changes).all(axis=(0, 1)) if counted is None else np.array(counted)
    return Cells(changes, chosen, counted)


BY_HAND = cells(  # two numbers of loops, one layer, four tokens, of which the last was not run
    [[[0.0, 0.5, 0.0, np.nan]], [[0.3, 0.0, TIE / 2, np.nan]]], [[1, 2, 1, 2]]
)


def test_regret_is_what_the_best_number_gains():
    np.testing.assert_allclose(regret(BY_HAND), [[0.3, 0.5, TIE / 2, np.nan]])
    assert best_loops(BY_HAND).tolist() == [[2, 1, 1, 0]]  # the third ties, and was chosen
    assert tied(BY_HAND).tolist() == [[False, False, True, False]]


def test_a_random_gate_deals_the_histogram_of_the_layer():
    two_thirds = np.array([[0.3 - 0.1, 0.5 - 2 * 0.5 / 3, TIE / 2 - TIE / 6]])  # one loop has 2/3, two loops 1/3
    np.testing.assert_allclose(regret_of_random(BY_HAND)[:, :3], two_thirds)


def test_gates_are_compared_on_the_tokens_that_were_run():
    table = gates_compared(BY_HAND).set_index("gate")
    assert table.index.tolist() == ["learned", "random", "always 1", "always 2", "best"]
    assert table.loc["learned", "regret"] == pytest.approx((0.8 + TIE / 2) / 3)
    assert table.loc["always 1", "more"] == pytest.approx(-0.5 / 3)
    assert table.loc["learned", "loops"] == pytest.approx(4 / 3)
    assert (table["cells"] == 3).all()


def test_ties_stand_apart_in_the_confusion_matrix():
    table = best_by_chosen(BY_HAND)
    counts = table.set_index(["chosen", table["best"].fillna(0)])["cells"].to_dict()
    assert counts == {(1, 1): 0, (1, 2): 1, (1, 0): 1, (2, 1): 1, (2, 2): 0, (2, 0): 0}
    assert choices_by_chance(BY_HAND) == (0.0, 0.5)


def test_of_no_tokens_nothing_is_said():
    nothing = cells(np.full((2, 1, 2), np.nan), [[1, 2]])
    assert gates_compared(nothing)["regret"].isna().all()
    assert (best_by_chosen(nothing)["cells"] == 0).all()
    assert np.isnan(choices_by_chance(nothing)).all()


# Planted --------------------------------------------------------------------------------------------------------------

PLANTED = "bccbcbbbccbcb"


@pytest.fixture(scope="module")
def planted():
    """One layer whose loops move a state step by step: from "b" three steps lead to what the head reads, from "c" one.

    The head gives "b" and "c" alike, and most where the state is what three loops make of "b"; the fourth leads past
    it. "c" begins where two loops of "b" end. The depth head always takes four loops, so lambda is 0.
    """
    loaded = small_loaded(num_hidden_layers=1)
    model, units = loaded.model, loaded.config.intermediate_size
    ffn, first, second = (
        model.model.layers[0].mlp,
        loaded.tokenizer("b")["input_ids"],
        loaded.tokenizer("c")["input_ids"],
    )
    with torch.no_grad():
        written = (model.model.layers[0].self_attn.o_proj, ffn.up_gate_proj, ffn.down_proj, ffn.depth_head)
        for weight in (model.model.embed_tokens.weight, model.lm_head.weight, *(each.weight for each in written)):
            weight.zero_()
        model.model.embed_tokens.weight[:, 0] = 1.0  # what the FFN and the depth head read
        ffn.up_gate_proj.weight[[0, units], 0] = 1.0
        ffn.down_proj.weight[1, 0] = 0.02  # every loop moves the state along direction 1
        ffn.depth_head.weight[3, 0] = 1.0
        states = [model.model.embed_tokens.weight[first]]
        for _ in range(3):
            states.append(ffn.loop(states[-1]))
        model.model.embed_tokens.weight[second] = states[2]
        model.lm_head.weight[[*first, *second]] = 0.2 * model.model.norm(states[3])
    return loaded


def test_the_depth_that_is_needed_is_found_in_a_model_with_planted_weights(planted):
    trace = capture(planted, PLANTED)
    assert (trace.loops == 4).all()
    found = cells_of(depth_sweep(planted, trace), "own", "held")
    needed = [3 if letter == "b" else 1 for letter in PLANTED[:-1]]
    assert best_loops(found)[0, :-1].tolist() == needed
    assert not tied(found).any()
    table = gates_compared(found).set_index("gate")
    assert table["regret"].drop("best").min() > 10 * TIE
    assert table.loc["best", "loops"] == pytest.approx(np.mean(needed))
    confused = best_by_chosen(found)
    assert confused[confused["cells"] > 0][["chosen", "best"]].to_numpy().tolist() == [[4, 1], [4, 3]]


def test_no_gate_loses_less_than_the_oracle_where_cells_do_not_act_on_each_other(planted):
    """Nothing attends and there is one layer, so the best loops of every cell are the best ones together."""
    found = frontier(planted, depth_sweep(planted, capture(planted, PLANTED)))
    free = found.rule.index("oracle")
    assert found.setting[free] == 0
    assert found.loss[free] <= found.loss.min() + 1e-6
    assert found.loss[free] < found.loss[0] - 10 * TIE


def simulated(rng, texts=8, layers=2, tokens=30, *, skill=0.0):
    """Cells of texts whose outcomes are noise, with some that depend on the text; `skill` of the choices are best."""
    made = []
    for _ in range(texts):
        changes = rng.normal(size=(4, layers, tokens)) + rng.normal(size=(4, 1, 1))
        chosen = rng.choice(4, p=[0.1, 0.5, 0.3, 0.1], size=(layers, tokens)) + 1
        clever = rng.random(chosen.shape) < skill
        made.append(cells(changes, np.where(clever, changes.argmax(axis=0) + 1, chosen)))
    return made


def test_a_gate_that_knows_is_found_and_shuffled_outcomes_are_not():
    """Of 200 draws without anything to find, about 5% of the 95% intervals leave out zero."""
    rng = np.random.default_rng(0)
    known = gates_over_texts(simulated(rng, skill=0.4)).set_index("gate")
    assert known.loc["random", "low"] > 0
    assert known.loc["random", "texts"] == 8
    found = 0
    for _ in range(200):
        row = gates_over_texts(simulated(rng)).set_index("gate").loc["random"]
        found += not row["low"] <= 0 <= row["high"]
    assert found <= 18  # of a true rate of 5% more happen once in a hundred


def test_fewer_texts_than_five_have_no_interval():
    table = gates_over_texts(simulated(np.random.default_rng(1), texts=4))
    assert table["low"].isna().all()
    assert table["more"].notna().all()
