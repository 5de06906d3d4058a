"""Knock-outs of a text: what is measured, beside which controls, in which steps, and what is found of a planted one."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.explain.knock_out import carrier, knock_out_table, largest
from analysis.texts.knock_out import knock_out_study
from hooks import DropExpert, ForceLoops, ForceTopK, KnockOutRun, capture, knock_outs
from hooks.knock_out_trace import PATHS, STAGES, pair_experts
from hooks.knock_outs import _plan
from tests.planted import DIGIT, EXPERT, LAYER, LETTERS, TEXTS, planted

TEXT = "Once upon a fox."


@pytest.fixture(scope="module")
def measured(loaded):
    return knock_outs(loaded, TEXT, draws=2)


def change(loaded, trace, *interventions) -> np.ndarray:
    return trace.logprob - capture(loaded, TEXT, interventions=interventions).logprob


def test_every_number_is_the_change_of_the_loss_under_its_intervention(loaded, measured):
    trace, close = measured.routing, {"rtol": 0, "atol": 1e-5}
    assert measured.finished == set(STAGES)
    for number, path in enumerate(PATHS):
        for layer, expert in np.argwhere(measured.had)[::7].tolist():
            expected = change(loaded, trace, DropExpert(expert, layer, path=path))
            np.testing.assert_allclose(measured.change[number, layer, expert], expected, **close)
        everything = [DropExpert(each, 1, path=path, then="kept") for each in range(8)]
        np.testing.assert_allclose(measured.whole[number, 1], change(loaded, trace, *everything), **close)
    np.testing.assert_allclose(measured.top_k[2, 2], change(loaded, trace, ForceTopK(3)), **close)
    np.testing.assert_allclose(measured.top_k[1, 7], change(loaded, trace, ForceTopK(8, 1)), **close)
    assert np.abs(measured.top_k[:, trace.own_k - 1, 1:]).max() < 1e-5, "the model's own k changes nothing"
    number = pair_experts(8).index((1, 4))
    pair = change(loaded, trace, DropExpert(1, 0), DropExpert(4, 0))
    np.testing.assert_allclose(measured.pairs[0, number], pair, **close)


@pytest.mark.parametrize("path", PATHS)
def test_a_control_drops_as_many_experts_at_the_same_tokens(measured, path):
    trace = measured.routing
    own = [set(row) for row in trace.expert_ids[1].tolist()]
    items = [
        item for item in _plan(trace, "kept", 20, 0) if (item.stage, item.into, item.layer) == (path, "control", 1)
    ]
    others = 0
    for item in items:
        expert, dropped = item.at[-1], {}
        for each in item.variant:
            assert (each.path, each.then, each.layers) == (path, "kept", (1,))
            dropped |= dict.fromkeys(each.tokens, each.expert)
        had = {token for token in range(trace.num_tokens) if trace.width_ran[1, token] and expert in own[token]}
        assert sum(len(each.tokens) for each in item.variant) == len(dropped)
        assert set(dropped) == (had if path == "width" else set(range(trace.num_tokens)))
        if path != "depth":
            assert all(
                (dropped[token] in own[token]) == (token in had) for token in dropped if trace.width_ran[1, token]
            )
        others += sum(each != expert for each in dropped.values())
    assert others > 0.3 * sum(len(each.tokens) for item in items for each in item.variant)


def test_an_expert_that_no_token_chose_is_not_measured_in_the_width_path():
    found = knock_outs(planted(), TEXTS[0], stages=["width"])
    unused = found.had == 0
    assert unused.any() and np.isnan(found.change[0, unused]).all() and "width" in found.finished
    table = knock_out_table(found).query("path == 'width' and expert.notna()")
    assert (table["change"].isna() == (table["had"] == 0)).all() and (table["lost"] == table["had"]).all()


def test_steps_lose_nothing_when_one_is_interrupted(loaded, measured):
    run, shares = KnockOutRun(measured.routing, draws=2), []
    assert run.share() == 0 and not run.result().finished

    def interrupt() -> None:
        raise InterruptedError

    while run.advance(loaded):
        shares.append(run.share())
        with pytest.raises(InterruptedError):
            run.advance(loaded, between=interrupt) or interrupt()
        assert run.share() == shares[-1]
        assert run.result() is run.result()
    assert shares == sorted(shares) and shares[-1] == 1 and len(shares) > 3
    for name in ("change", "control", "whole", "top_k", "pairs"):
        np.testing.assert_allclose(getattr(run.result(), name), getattr(measured, name), rtol=0, atol=1e-5)


def test_stages_are_measured_alone_and_a_result_says_what_is_finished(loaded, measured):
    run = KnockOutRun(measured.routing)
    while run.advance(loaded, ["k"]):
        assert run.share(["depth"]) == 0
    assert run.result().finished == {"k"} and 0 < run.share() < 1


def test_what_cannot_be_measured_is_refused(loaded, measured):
    with pytest.raises(ValueError, match="the stages are width, depth, both, k, pairs, got 'wide'"):
        knock_outs(loaded, TEXT, stages=["wide"])
    with pytest.raises(ValueError, match="at least one draw, got 0"):
        knock_outs(loaded, TEXT, draws=0)
    with pytest.raises(ValueError, match="made with interventions"):
        knock_outs(loaded, capture(loaded, TEXT, interventions=(ForceLoops(2),)))


def test_the_planted_expert_is_found_in_the_text_and_for_the_prediction_it_makes():
    loaded = planted()
    for then in ("repick", "kept", "mean"):
        found = knock_outs(loaded, TEXTS[0], then=then, stages=PATHS)
        for path in PATHS:
            top = largest(found, path)
            assert (top.layer, top.expert) == (LAYER, EXPERT) and top.change > 1.3 * top.control > 0, (then, path)
        for token, text in enumerate(found.routing.tokens[:-1]):
            one = carrier(found, "width", token)
            if text in LETTERS:
                assert (one.layer, one.expert) == (LAYER, EXPERT) and one.change > 0.05
                assert found.routing.tokens[token + 1] == DIGIT and one.change >= one.control
            else:
                assert abs(one.change) < 1e-6


def test_the_planted_expert_is_beyond_chance_over_texts_and_nothing_else_costs_more():
    loaded = planted()
    many = [*TEXTS, *(f"{text[3:]} {text[:2]}" for text in TEXTS)]
    found = [knock_outs(loaded, text, draws=8, stages=["width"]) for text in many]
    table = knock_out_study(found).table
    beyond = table[(table["p_corrected"] < 0.05) & (table["beyond"] > 0)]  # others cost less: their control may drop it
    assert beyond[["path", "layer", "expert"]].values.tolist() == [["width", LAYER, EXPERT]]
    assert beyond["beyond"].item() > 0 and beyond["beyond_low"].item() > 0 and beyond["texts"].item() == len(many)


def test_with_control_and_knock_out_shuffled_the_planted_expert_is_found_as_often_as_chance_allows():
    """200 shuffles: in every text a coin decides which of the two is which, so that nothing is left to be found."""
    loaded, rng, hits = planted(), np.random.default_rng(0), 0
    many = [*TEXTS, *(f"{text[3:]} {text[:2]}" for text in TEXTS)]
    found = [knock_outs(loaded, text, draws=8, stages=["width"]) for text in many]
    for _ in range(200):
        swapped = [
            replace(each, change=each.control, control=each.change) if coin else each
            for each, coin in zip(found, rng.integers(0, 2, size=len(found)), strict=True)
        ]
        hits += bool((knock_out_study(swapped).table["p_corrected"] < 0.05).any())
    assert hits <= 16  # of 200 at 5%: P(more) = 2%
