import numpy as np
import pytest

from analysis.catalogue import spec
from analysis.figures import loop_flow_figure, together_figure
from analysis.texts import interaction, layers_alike
from analysis.texts.interaction import loops_and_experts, shared_information
from analysis.texts.study import study
from analysis.texts.transitions import layer_to_layer, loop_flows, transitions
from tests.traces import make_trace, random_trace


def texts(count: int, expert_of, layers: int = 1, size: int = 30):
    """Texts with random loops 1..4, and experts that a function of the loops (and of chance) gives."""
    rng = np.random.default_rng(0)
    traces = []
    for _ in range(count):
        loops = rng.integers(1, 5, (layers, size))
        first = expert_of(loops, rng)
        traces.append(make_trace(loops=loops, expert_ids=np.stack([first, (first + 1) % 4], axis=-1)))
    return traces


def test_information_of_two_even_choices_equals_what_is_found_by_hand():
    same = shared_information(np.array([0, 1, 0, 1]), np.array([0, 1, 0, 1]), [4], draws=9)
    assert same.information == pytest.approx(np.log(2))
    apart = shared_information(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), [4], draws=9)
    assert apart.information == pytest.approx(0)


def test_pairs_that_occur_are_counted_as_all_of_them_are(monkeypatch):
    """Of many experts only pairs that occur are counted, which takes as long as there are tokens."""
    first, second = np.random.default_rng(0).integers(0, [[300], [40]], (2, 90))
    found = []
    for most_cells in (0, 10**6):
        monkeypatch.setattr(interaction, "MOST_CELLS", most_cells)
        found.append(vars(shared_information(first, second, [50, 40], draws=9)))
    assert found[0] == pytest.approx(found[1], nan_ok=True) and found[0]["information"] > 1


def test_of_very_many_layers_some_are_compared_and_the_caption_says_so(monkeypatch):
    assert f"more than {layers_alike.MOST_LAYERS} layers" in spec("layers_alike").details
    monkeypatch.setattr(layers_alike, "MOST_LAYERS", 4)
    found = layers_alike.layers_alike(random_trace(layers=10, tokens=25))
    assert np.union1d(found["layer"], found["other"]).tolist() == [0, 3, 6, 9]


def test_one_choice_that_settles_the_other_is_one_and_independent_ones_are_about_zero():
    settled = loops_and_experts(texts(6, lambda loops, rng: loops - 1), draws=99).iloc[0]
    assert settled["adjusted"] == pytest.approx(1) and settled["p"] < 0.04
    apart = loops_and_experts(texts(6, lambda loops, rng: rng.integers(0, 4, loops.shape)), draws=99).iloc[0]
    assert abs(apart["adjusted"]) < 0.05 < apart["p"]


def test_choices_bound_beside_a_shared_beginning_are_found_and_the_beginning_alone_is_not():
    """In texts of two lengths the first tokens choose 0 twice; of the rest, the second choice follows or does not."""
    rng = np.random.default_rng(0)
    lengths = [40, 24] * 4
    beginning = np.concatenate([np.arange(n) < 6 for n in lengths])
    first, other = rng.integers(0, 3, (2, sum(lengths)))
    first, apart = np.where(beginning, 0, first), np.where(beginning, 0, other)
    bound = np.where(rng.random(len(first)) < 0.5, first, apart)
    chance = shared_information(first, apart, lengths, draws=99)
    assert chance.information > 0.05 and abs(chance.adjusted) < 0.03 and chance.p > 0.05
    found = shared_information(first, bound, lengths, draws=99)
    assert found.p == 0.01 and found.adjusted > 0.1


def test_choices_that_differ_by_text_and_not_inside_are_no_finding():
    first = np.repeat([0, 1] * 4, 30)
    found = shared_information(first, first, [30] * 8, draws=99)
    assert found.p == 1 and found.chance == pytest.approx(found.information) and np.isnan(found.adjusted)


def test_positions_count_tokens_that_are_left_out_and_those_of_no_other_text_are_told():
    """The first text lacks its token 1, so the second one's is at a position of its own."""
    row = loops_and_experts([make_trace(loops=[[1, 4, 2]]), make_trace(loops=[[2, 1, 2]])], draws=9).iloc[0]
    assert (row["tokens"], row["alone"]) == (5, 1)


def test_tokens_that_took_all_loops_are_left_out_and_counted():
    row = loops_and_experts([make_trace(loops=[[4, 1, 2, 4]], special=[True, False, False, False])], draws=9).iloc[0]
    assert (row["tokens"], row["left_out"]) == (2, 1)
    assert np.isnan(row["p"])


def test_a_layer_where_nobody_routed_has_no_information():
    row = loops_and_experts([make_trace(loops=[[4, 4]])] * 6, draws=9).iloc[0]
    assert row["tokens"] == 0 and np.isnan(row["adjusted"])


def test_transitions_equal_what_is_found_by_hand():
    experts = np.array([[[0, 1], [2, 0], [0, 1]], [[1, 0], [1, 0], [3, 0]]])
    table = transitions([make_trace(loops=[[1, 4, 1], [2, 2, 3]], expert_ids=experts)])
    rows = table.fillna(-1).to_numpy().tolist()
    assert rows == [[0, 1, 0, 2, 1, 1, 0.5], [0, 1, 0, 3, 3, 1, 0.5], [0, 4, -1, 2, 1, 1, 1.0]]


def test_loop_flows_count_every_ordinary_token_once_per_layer():
    traces = [random_trace(layers=4, tokens=20, seed=seed) for seed in range(3)]
    assert loop_flows(traces).groupby("layer")["tokens"].sum().tolist() == [60] * 3


def test_choices_that_the_next_layer_repeats_are_found():
    def repeated(loops, rng):
        loops[1] = loops[0]
        return rng.integers(0, 4, loops.shape)

    table = layer_to_layer(texts(6, repeated, layers=2), draws=99).set_index("kind")
    assert table.loc["loops", "adjusted"] == pytest.approx(1)
    assert abs(table.loc["expert", "adjusted"]) < 0.1


def test_figures_draw_what_was_counted():
    found = study([random_trace(layers=3, tokens=12, seed=seed) for seed in range(5)], draws=19)
    assert [len(drawn.x) for drawn in together_figure(found).data] == [3, 2, 2]
    flow = loop_flow_figure(found).data[0]
    assert sum(flow.link.value) == found.loop_flows["tokens"].sum() == 2 * 60
    assert max(*flow.link.source, *flow.link.target) < len(flow.node.label)
