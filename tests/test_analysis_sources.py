import numpy as np
import pytest

from analysis.catalogue import CATALOGUE, spec
from analysis.export.captions import caption
from analysis.figures import sources_figure
from analysis.texts.sources import explained, routing_sources
from analysis.texts.study import Study, study
from analysis.view import DEFAULT_VIEW
from tests.traces import make_trace, random_trace


def cases(types, distances=None):
    """Types, distance bins and types before of tokens."""
    types = np.array(types)
    distances = np.zeros_like(types) if distances is None else np.array(distances)
    return np.stack([types, distances, np.concatenate([[-1], types[:-1]])])


def by_type(count: int, seed: int, size: int = 40, **fields):
    """Texts in which the type of a token alone decides its loops, 1 to 3, and its first expert."""
    rng = np.random.default_rng(seed)
    traces = []
    for _ in range(count):
        ids = rng.integers(0, 6, size)
        loops = 1 + ids[None] % 3
        experts = np.stack([ids // 2, (ids // 2 + 1) % 4], axis=-1)[None]
        traces.append(make_trace(loops=loops, token_ids=ids, expert_ids=experts, **fields))
    return traces


def test_prediction_from_the_other_text_equals_what_is_found_by_hand():
    """Other text: one token of the type, of this choice. Usual: (1+1)/(2+2); mixed: (1 + 2 x .5)/(1 + 2) = 2/3."""
    found = explained(cases([0, 1, 0, 1]), np.array([0, 1, 0, 1]), [2, 2], 2, draws=9).set_index("source")
    assert found.loc["token", "explained"] == pytest.approx(1 - np.log(1.5) / np.log(2))
    assert found.loc["position", "explained"] == pytest.approx(0)
    assert found.loc["token", "tokens"] == 4 and found.loc["token", "unseen"] == 0


def test_types_of_no_other_text_are_counted_and_fall_back_to_the_usual():
    found = explained(cases([0, 1, 2, 3]), np.array([0, 1, 0, 1]), [2, 2], 2, draws=9).set_index("source")
    assert found.loc["token", "unseen"] == 1
    assert found.loc["token", "explained"] == pytest.approx(0)


def test_what_the_type_decides_is_explained_by_the_type_and_not_by_the_position():
    table = routing_sources(by_type(8, seed=0), draws=99).set_index(["target", "source"])
    for target in ("loops", "expert"):
        token, position = table.loc[(target, "token")], table.loc[(target, "position")]
        assert token["explained"] > 0.8 and token["p_corrected"] == 0.01 and token["low"] > 0.7
        assert abs(position["explained"]) < 0.1 and position["p_corrected"] > 0.01
        assert table.loc[(target, "both"), "explained"] > 0.7


def test_what_the_position_decides_is_explained_by_the_position():
    rng = np.random.default_rng(0)
    loops = 1 + (np.arange(16) >= 8)[None]
    traces = [make_trace(loops=loops, token_ids=rng.integers(0, 5, 16)) for _ in range(8)]
    table = routing_sources(traces, draws=99).set_index(["target", "source"])
    assert table.loc[("loops", "position"), "explained"] > 0.7
    assert table.loc[("loops", "position"), "p"] == 2 / 256, "all texts backwards are as easy to tell"
    assert table.loc[("loops", "token"), "explained"] < 0.2


def test_a_token_that_is_only_found_at_the_beginning_foretells_no_more_than_the_position():
    rng = np.random.default_rng(0)
    place = np.arange(24)
    traces = [
        make_trace(loops=1 + (place < 6)[None], token_ids=np.where(place < 6, 0, rng.integers(1, 4, 24)))
        for _ in range(8)
    ]
    table = routing_sources(traces, draws=99).set_index(["target", "source"])
    token, position = table.loc[("loops", "token")], table.loc[("loops", "position")]
    assert token["explained"] > 0.5 and token["p"] == 1 and token["chance"] == pytest.approx(token["explained"])
    assert position["p"] == 1 / 256 and position["chance"] < 0.1


def test_what_the_token_before_decides_is_explained_by_it_alone():
    rng = np.random.default_rng(0)
    ids = [rng.integers(0, 3, 120) for _ in range(6)]
    traces = [make_trace(loops=1 + np.append(0, each[:-1])[None], token_ids=each) for each in ids]
    table = routing_sources(traces, draws=19).set_index(["target", "source"])
    assert table.loc[("loops", "previous"), "explained"] > 0.6 > 0.1 > table.loc[("loops", "token"), "explained"]


def test_expert_counts_leave_out_tokens_that_did_not_route_and_special_ones():
    special = [True, False, False, False]
    traces = [make_trace(loops=[[1, 4, 2, 3]], special=special) for _ in range(2)]
    table = routing_sources(traces, draws=9).groupby("target")["tokens"].first()
    assert table["loops"] == 6 and table["expert"] == 4


def test_figure_and_caption_say_how_many_tokens_each_half_counts():
    """In layer 0 one of the four tokens did not route, in layer 1 two."""
    loops = [[1, 4, 2, 3], [4, 1, 2, 4]]
    found = study([make_trace(loops=loops) for _ in range(5)], draws=9)
    heads = [each.text for each in sources_figure(found).layout.annotations[:2]]
    assert heads == [
        "<b>loops</b> (and with them λ), n = 20",
        "<b>first expert</b>, n = 10 to 15 by layer",
    ]
    assert "Each number is over 10 to 20 tokens." in caption(spec("routing_sources"), found, DEFAULT_VIEW)


def test_fewer_than_five_texts_give_no_interval_and_no_p():
    table = routing_sources(by_type(4, seed=1, size=10), draws=9)
    assert table[["low", "high", "p", "p_corrected"]].isna().all(axis=None)
    assert table["explained"].notna().all()


def test_one_text_is_foretold_from_nothing_and_different_models_are_refused():
    found = study([random_trace(layers=2, tokens=12)], draws=9)
    assert found.routing_sources.empty
    (sentence,) = sources_figure(found).layout.annotations
    assert "needs at least two texts" in sentence.text
    with pytest.raises(ValueError, match="different models"):
        routing_sources([make_trace(), random_trace(layers=3, tokens=4)])


@pytest.mark.parametrize("texts", [1, 4, 5])
def test_every_figure_of_a_study_says_how_much_was_read_and_below_five_texts_why_nothing_is_inferred(texts):
    found = study([random_trace(layers=3, tokens=12, seed=seed) for seed in range(texts)], draws=9, name="mine.csv")
    counted = f"{texts} {'text' if texts == 1 else 'texts'}, {12 * texts} tokens"
    counted += "; fewer than 5 texts: no interval, no p" if texts < 5 else ""
    for drawn in (each for each in CATALOGUE if each.of is Study and (each.name, texts) != ("routing_sources", 1)):
        assert counted in [each.text for each in drawn.figure(found).layout.annotations], drawn.name
        said = caption(drawn, found, DEFAULT_VIEW)
        assert f"{counted.split(',')[0]} (mine.csv) of {12 * texts} tokens, 3 layers." in said
    for table in (*found.difficulty_validity.values(), found.loops_and_experts, found.layer_to_layer):
        assert table["p_corrected"].isna().all() == (texts < 5)


@pytest.mark.parametrize("texts", [5, 6, 7, 8])
def test_what_every_text_says_alike_has_the_smallest_p_that_so_few_texts_can_have(texts):
    table = routing_sources(by_type(texts, seed=0)).set_index(["target", "source"])
    for target in ("loops", "expert"):
        token = table.loc[(target, "token")]
        assert token["p"] == token["p_least"] == 2.0**-texts


def test_study_tells_how_far_it_is():
    told = []
    study(by_type(3, seed=1), draws=9, progress=told.append)
    assert told[0] == 0 and told == sorted(told) and len(told) == 2 and told[-1] < 1


def test_figure_fills_what_lies_beyond_chance():
    found = study(by_type(6, seed=2), draws=99)
    loops = {drawn.name: drawn for drawn in sources_figure(found).data if drawn.xaxis == "x"}
    assert loops["token"].marker.color[0] != loops["position"].marker.color[0]
    assert loops["token"].y[0] > 0.8
