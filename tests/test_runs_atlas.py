"""The atlas' tables: each equals a direct computation from the traces, under every part of a filter."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from analysis import answers
from analysis.models.health import LOAD_BOUNDS
from analysis.runs import atlas
from analysis.runs.atlas import DEAD, MANY, NONE, TOO_FEW, TOO_MUCH, atlas_of
from analysis.runs.filters import ALL_TOKENS, TokenFilter
from analysis.view import DEFAULT_VIEW
from tests.runs import all_routed, make_run, random_traces, uneven_trace
from tests.traces import make_trace, random_trace

TRACES = random_traces(40)
FILTERS = {
    "all": ALL_TOKENS,
    "special too": TokenFilter(special=True),
    "a source": TokenFilter(sources=("code.txt",)),
    "a column": TokenFilter(others=(("kind", "even"),)),
    "a text": TokenFilter(text=TRACES[0].tokens[3][:2].upper()),
    "words of the prompt": TokenFilter(in_prompt=TRACES[5].meta["text"][3:9].upper()),
    "positions": TokenFilter(positions=(2, 6)),
    "loops in a layer": TokenFilter(layer=2, loops=(1, 3)),
    "loops anywhere": TokenFilter(loops=(4,)),
    "an expert in a layer": TokenFilter(layer=1, expert=5),
    "an expert and loops anywhere": TokenFilter(expert=0, loops=(2,)),
    "difficulty": TokenFilter(layer=0, difficulty=(0.2, 0.6)),
    "nothing": TokenFilter(text="no token has this text"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with make_run(tmp_path_factory.mktemp("runs") / "run", TRACES) as made:
        yield made


def counted(chosen: TokenFilter) -> list[np.ndarray]:
    """Whether each token of each trace counts, without SQL."""
    masks = []
    for number, trace in enumerate(TRACES):
        mask = np.full(trace.num_tokens, True) if chosen.special else ~trace.special
        if chosen.sources:
            mask &= ("stories.txt", "code.txt")[number % 2] in chosen.sources
        for _, value in chosen.others:
            mask &= value == ("odd" if number % 2 else "even")
        if chosen.in_prompt:
            mask &= chosen.in_prompt.lower() in trace.meta["text"].lower()
        if chosen.text:
            mask &= np.array([chosen.text.lower() in text.lower() for text in trace.tokens])
        if chosen.positions:
            at = np.arange(trace.num_tokens)
            mask &= (at >= chosen.positions[0]) & (at <= chosen.positions[1])
        in_layer = np.full(trace.loops.shape, True)
        if chosen.loops:
            in_layer &= np.isin(trace.loops, chosen.loops)
        if chosen.expert is not None:
            in_layer &= ((trace.expert_ids == chosen.expert) & trace.expert_ran).any(axis=-1)
        if chosen.difficulty:
            low, high = chosen.difficulty
            soft = trace.difficulty_soft.astype(np.float32)
            in_layer &= (soft >= np.float32(low)) & (soft <= np.float32(high))
        mask &= in_layer.any(axis=0) if chosen.layer is None else in_layer[chosen.layer]
        masks.append(mask)
    return masks


@pytest.mark.parametrize("name", FILTERS)
def test_tables_equal_a_direct_count_over_the_traces(run, name):
    masks, drawn = counted(FILTERS[name]), atlas_of(run, FILTERS[name])
    tokens, prompts, every = drawn.table("counts").iloc[0]
    assert tokens == drawn.tokens == sum(mask.sum() for mask in masks)
    assert prompts == sum(mask.any() for mask in masks) and every == sum((~trace.special).sum() for trace in TRACES)
    assert (tokens == 0) == (name == "nothing")
    loops, gate, ran, ids = (
        np.concatenate([getattr(trace, of)[:, mask] for trace, mask in zip(TRACES, masks, strict=True)], axis=1)
        for of in ("loops", "gate", "expert_ran", "expert_ids")
    )
    table = drawn.table("loops")
    for layer, value, count, share, mean in table.itertuples(index=False):
        assert count == (loops[layer] == value).sum()
        if tokens:
            assert share == pytest.approx((loops[layer] == value).mean())
            assert mean == pytest.approx(loops[layer].mean())
    assert len(table) == 16 and table["share"].isna().all() == (not tokens)
    for layer, value, count, _, mean in drawn.table("gate").itertuples(index=False):
        assert count == np.isclose(gate[layer], value).sum()
        assert not tokens or mean == pytest.approx(gate[layer].mean(), abs=1e-6)
    for row in drawn.table("experts").itertuples():
        chosen = (ids[row.layer] == row.expert) & ran[row.layer]
        assert (row.first_choices, row.later_choices) == (chosen[:, 0].sum(), chosen[:, 1:].sum())
        assert (row.tokens, row.routed_tokens) == (tokens, ran[row.layer, :, 0].sum())
        if ran[row.layer].any():
            assert row.share == pytest.approx(chosen.sum() / ran[row.layer].sum())


def test_balance_loss_is_that_of_the_traces_whatever_the_filter(run):
    probs = np.concatenate([softmax(trace.expert_logits[:, ~trace.special], axis=-1) for trace in TRACES], axis=1)
    loads = atlas_of(run).table("experts")["share"].to_numpy().reshape(4, -1)
    for chosen in (ALL_TOKENS, TokenFilter(text="nothing at all")):
        table = atlas_of(run, chosen).table("router")
        np.testing.assert_allclose(table["balance_loss"], 8 * (loads * probs.mean(axis=1)).sum(axis=1), rtol=1e-5)


def test_balance_loss_is_that_of_transformers_where_all_tokens_route(tmp_path):
    traces = [all_routed(random_trace(layers=3, tokens=30, seed=seed)) for seed in range(4)]
    with make_run(tmp_path / "run", traces) as made:
        drawn = atlas_of(made)
        table = atlas.atlas_balance(drawn)
    for layer, found in enumerate(table["balance_loss"]):
        logits = torch.tensor(np.concatenate([trace.expert_logits[layer] for trace in traces]))
        expected = load_balancing_loss_func((logits,), traces[0].num_experts, traces[0].expert_ids.shape[2])
        assert found == pytest.approx(float(expected) / traces[0].expert_ids.shape[2], rel=1e-5)
    loads = drawn.table("experts").groupby("layer")["share"]
    np.testing.assert_allclose(table["load_cv"], loads.std(ddof=0) / loads.mean())
    assert (table["did_not_route"] == 0).all() and (table["least"] <= 1 / 8).all()


def test_experts_outside_the_bounds_of_the_health_check_are_named_and_few_choices_are_not_judged(tmp_path):
    trace = uneven_trace()
    with make_run(tmp_path / "run", [trace]) as made:
        table = atlas_of(made).table("experts").set_index("expert")
        few = atlas_of(made, TokenFilter(positions=(0, 20))).table("experts")
    assert table["verdict"][0] == DEAD and table["verdict"][7] == TOO_MUCH and (table["verdict"][1:7] == "").all()
    assert table["share"][7] > LOAD_BOUNDS[1] / 8
    assert (few["verdict"] == TOO_FEW).all()


def test_under_a_filter_an_expert_is_not_dead_but_served_none_of_its_tokens(tmp_path):
    with make_run(tmp_path / "run", [uneven_trace()]) as made:
        drawn = atlas_of(made, TokenFilter(positions=(0, 399)))
        texts = [answers.atlas(each, DEFAULT_VIEW).text for each in (drawn, atlas_of(made))]
        verdicts, balance = drawn.table("experts")["verdict"], atlas.atlas_balance(drawn)
    assert verdicts.iloc[[0, 7]].tolist() == [NONE, MANY] and (verdicts[1:7] == "").all()
    assert balance[["below_bounds", "above_bounds"]].iloc[0].tolist() == [1, 1]
    none, many = "served none (expert 0 of layer 0)", "served many (expert 7 of layer 0)"
    assert texts[0].endswith(f" Of these 400 tokens, 1 expert {none} and 1 expert {many}.")
    assert texts[1].endswith(
        "By load, 1 expert is dead (expert 0 of layer 0) and 1 expert takes too much (expert 7 of layer 0)."
    )


def test_a_layer_whose_tokens_take_one_number_of_loops_has_collapsed(tmp_path):
    with make_run(tmp_path / "run", [make_trace(loops=[[2] * 30, [1, 2, 3] * 10])]) as made:
        assert atlas.collapsed_layers(atlas_of(made).table("loops")) == [0]


@pytest.mark.parametrize("parts", [("width",), ("depth",), ()])
def test_a_run_of_another_family_has_no_rows_of_what_its_model_does_not_decide(tmp_path, parts):
    trace = random_trace(layers=2, tokens=8)
    trace = replace(trace, meta={**trace.meta, "parts": list(parts), "family": "mixture of experts"})
    with make_run(tmp_path / "run", [trace]) as made:
        drawn = atlas_of(made)
        assert len(drawn.table("gate")) == 0 and len(drawn.table("loops")) == 8
        assert (len(drawn.table("experts")) > 0) == ("width" in parts) == (len(drawn.table("router")) > 0)


def test_a_filter_comes_back_from_json_and_nothing_else_does(run):
    for chosen in FILTERS.values():
        assert TokenFilter.from_json(chosen.as_json()) == chosen
    for hostile in (3, [], {"layer": "1"}, {"layer": -1}, {"loops": 4}, {"text": 3}, {"other": 1}, {"special": 1},
                    {"difficulty": [0, float("nan")]}, {"difficulty": [1]}, {"others": [["a"]]}, {"expert": True},
                    {"text": "x" * 2000}, {"sources": ["x"] * 999}, {"layer": 2**40}, {"text": "\ud83d"},
                    {"others": [["kind", "\udfff"]]}):  # fmt: skip
        with pytest.raises(ValueError, match="no filter"):
            TokenFilter.from_json(hostile)
    wide = TokenFilter(layer=99, loops=(2, 9), expert=77, others=(("kind", "odd"), ("gone", "x")))
    assert wide.fitting(run.sizes, ("kind",)) == TokenFilter(loops=(2,), others=(("kind", "odd"),))
    assert TokenFilter.from_json({"loops": [0]}).fitting(run.sizes, ()) == ALL_TOKENS
