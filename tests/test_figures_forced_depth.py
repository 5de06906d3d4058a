"""The figures of forced depth against the numbers below them."""

import numpy as np
import pytest

from analysis import figures
from analysis.answers import forced_depth
from analysis.explain.frontier import at_learned_cost, frontier_table, gate_sweep_table
from analysis.explain.regret import best_loops, cells_of, gates_compared, regret
from analysis.texts.gate_placement import GatePlacement, frontier_over_texts, gate_placement, placement_table, told
from analysis.view import View
from analysis.words.numbers import MINUS, NOTHING
from hooks import DepthEffects, Frontier
from tests.capture_results import make_effects, make_frontier, make_gate_sweep
from tests.figure_texts import figure_texts
from tests.traces import make_trace, random_trace

TRACE = random_trace(layers=4, tokens=20)
EFFECTS = make_effects(TRACE)


def test_the_map_shows_the_regret_and_numbers_the_best_loops_where_they_are_others():
    figure = figures.regret_map_figure(EFFECTS, View(layer=1, token=3), of="own")
    cells = cells_of(EFFECTS)
    lost, top = regret(cells), figure.data[0].zmax
    np.testing.assert_allclose(figure.data[0].z, np.minimum(lost, top))
    assert np.isnan(figure.data[0].z[:, -1]).all()
    written = {
        (y, x): text
        for each in figure.data
        if each.type == "scatter" and each.mode == "text"
        for x, y, text in zip(each.x, each.y, each.text, strict=True)
    }
    best = best_loops(cells)
    other = {(y, x): str(best[y, x]) for y, x in np.argwhere((best != cells.chosen) & np.isfinite(lost)).tolist()}
    assert written == other
    held = figures.regret_map_figure(EFFECTS, View(), of="later_held")
    np.testing.assert_allclose(
        held.data[0].z, np.minimum(regret(cells_of(EFFECTS, "later", "held")), held.data[0].zmax)
    )


def test_a_sweep_that_was_stopped_is_blank_where_nothing_was_run():
    own = np.where(np.arange(20) < 5, EFFECTS.own, np.nan)
    figure = figures.regret_map_figure(DepthEffects(TRACE, own, own.copy(), 1e-6))
    assert np.isfinite(figure.data[0].z[:, :5]).all() and np.isnan(figure.data[0].z[:, 5:]).all()
    told_of = forced_depth(DepthEffects(TRACE, own, own.copy(), 1e-6))
    assert "in 20 cells (a token in a layer) of the 5 tokens run so far, the best" in told_of.text


def test_the_answer_says_what_the_table_says_and_links_the_largest_regret():
    found, table = forced_depth(EFFECTS), gates_compared(cells_of(EFFECTS)).set_index("gate")
    assert f"by {table.loc['learned', 'regret']:.3f} nats on average" in found.text
    lost = regret(cells_of(EFFECTS))[:, :-1]
    layer, token = np.unravel_index(lost.argmax(), lost.shape)
    assert [(link.layer, link.token) for link in found.links] == [(layer, token), (layer, None)]
    assert f"missed most, {lost.max():.3f} in layer {layer} (" in found.text
    assert "only one loop" in forced_depth(make_effects(random_trace(max_loops=1))).text
    special = make_trace(loops=np.full((2, 2), 2), special=[True, True])
    assert forced_depth(make_effects(special)).text == "None of the text's own tokens was run."


def by_hand() -> Frontier:
    rule = ["learned", "random", "random", "always", "always", "oracle"]
    loops, loss = np.array([1.5, 1.5, 1.5, 2, 1, 1.2]), np.array([3.0, 3.2, 3.4, 3.1, 3.9, 2.0])
    return Frontier(TRACE, rule, np.zeros(6), loops, loss)


def test_other_gates_are_compared_at_the_cost_of_the_learned_one():
    more = at_learned_cost(by_hand()).set_index("rule")["more"]
    assert more["random"] == pytest.approx(0.3) and more["always"] == pytest.approx(0.5)
    assert more[["threshold", "change", "entropy", "oracle"]].isna().all(), "not interpolated beyond their points"
    assert frontier_table(by_hand())["more"].iloc[3] == pytest.approx(0.1)


def test_the_frontier_of_several_texts_has_an_interval_and_counts_its_texts():
    few = frontier_over_texts([by_hand()] * 4).set_index("rule")
    assert few.loc["random", "more"] == pytest.approx(0.3) and np.isnan(few.loc["random", "low"])
    texts = [make_frontier(TRACE, seed) for seed in range(6)]
    table = frontier_over_texts([*texts, by_hand()]).set_index("rule")
    assert table.loc["always", "texts"] == 7 and table.loc["threshold", "texts"] == 6
    assert (table["low"] <= table["more"]).all() and (table["more"] <= table["high"]).all()
    placed = gate_placement("texts", [cells_of(make_effects(TRACE, seed)) for seed in range(6)], texts)
    assert GatePlacement.from_json(placed.to_json()) == placed
    assert told(placed).startswith("In 6 texts (120 tokens), the learned gate takes ")
    shown = placement_table(placed)
    assert shown["other gate"].tolist()[0] == "its loops, shuffled within each layer" and len(shown) == 6
    assert shown["regret per cell"][1] == NOTHING and placed.together["oracle"].more == pytest.approx(
        float(shown["loss per token"][5].split(" ")[0].replace(MINUS, "-")), abs=5e-4
    )
    assert placed.cells["best"].high < 0


def test_the_sweep_of_lambda_marks_what_was_chosen():
    found = make_gate_sweep(TRACE, 2, 5)
    figure = figures.gate_sweep_figure(found)
    assert figure.layout.shapes[0].x0 == pytest.approx(TRACE.gate[2, 5])
    assert figure.data[0].y == pytest.approx(found.loss[0]) and figure.data[1].y == pytest.approx(found.own)
    whole = figures.gate_sweep_figure(found, scope="model")
    assert whole.layout.shapes[0].x0 == pytest.approx(TRACE.gate.mean()) and len(whole.data) == 1
    assert any("all tokens in all layers" in text for text in figure_texts(whole))
    assert gate_sweep_table(found)["scope"].unique().tolist() == ["next", "cell", "layer", "model"]


def test_the_frontier_draws_every_rule_once_and_the_learned_gate_last():
    figure = figures.frontier_figure(make_frontier(TRACE))
    assert len(figure.data) == 7 and figure.data[-1].name == "learned gate"
    assert all(list(each.x) == sorted(each.x) for each in figure.data)
