"""The tour: every step finds a telling token in any text, says what is true of it, and opens its page."""

import numpy as np
import pytest

from analysis.difficulty import difficulty_extremes, hardest_token
from analysis.texts.sample_texts import EXAMPLE_TEXTS
from app.frame.tour import STEPS, both_paths, did_not_route, hardest, widest_spread
from app.texts.examples import TRACES
from app.texts.glossary import TERMS
from hooks.trace import RoutingTrace
from tests.test_figures_catalogue import CASES
from tests.traces import make_trace


@pytest.mark.parametrize("case", CASES)
def test_every_step_has_something_to_say_about_any_text(case):
    trace, _ = CASES[case]
    for step in STEPS:
        layer, token = step.cell(trace)
        said = step.text(trace, layer, token)
        assert f"token {token})" in said and "layer" in said


def test_cells_are_the_ones_that_the_texts_speak_of():
    trace = make_trace(loops=[[4, 1, 2, 3], [4, 1, 2, 4], [4, 1, 4, 3]], special=[True, False, False, False])
    assert hardest(trace) == (1, 3)
    assert widest_spread(trace) == (0, 2)
    assert did_not_route(trace) == (1, 3) and not trace.width_ran[1, 3]
    layer, token = both_paths(trace)
    assert trace.width_ran[layer, token] and trace.loops[layer, token] == 3


def test_without_a_token_that_did_not_route_the_experts_are_named():
    trace = make_trace(loops=[[1, 2], [3, 1]])
    step = next(step for step in STEPS if step.page == "Experts")
    layer, token = step.cell(trace)
    assert trace.width_ran[layer, token] and "it chose 0 and 1" in step.text(trace, layer, token)


def test_numbers_in_the_texts_are_the_traces():
    trace = make_trace(loops=[[1, 4], [2, 4]])
    said = {step.page: step.text(trace, *step.cell(trace)) for step in STEPS}
    assert f"{np.mean(trace.loops):.2f} times" in said["Overview"]
    assert "4.00 loops on average" in said["Recursion"] and "4 in layer 0" in said["Recursion"]
    assert "λ from 0.50 to 0.75" in said["Gate"] and "did not route" in said["Experts"]


@pytest.mark.parametrize("example", sorted(EXAMPLE_TEXTS))
def test_the_hardest_token_is_one_on_the_tour_and_on_the_overview(example):
    trace = RoutingTrace.load(TRACES / f"{example}.trace.safetensors")
    assert hardest(trace)[1] == hardest_token(trace) == difficulty_extremes(trace)["token"].iloc[0]


def test_hardest_token_is_an_ordinary_one_and_the_first_of_several():
    trace = make_trace(loops=[[4, 1, 3, 3]] * 2, special=[True, False, False, False])
    assert hardest_token(trace) == 2
    assert hardest_token(make_trace(loops=[[1]], special=[True])) == 0


def test_terms_of_the_field_are_explained_where_the_tour_first_uses_them():
    trace = make_trace(loops=[[1, 4], [2, 4]])
    said = [step.text(trace, *step.cell(trace)) for step in STEPS]
    explained = {
        "token": "pieces that the model reads", "layer": "block of the model", "FFN": "feed-forward network",
        "loop": "Each run is called a loop", "depth head": "a small linear layer", "λ": "the weight of the width path",
        "router": "another small linear layer", "experts": "slices of the same FFN",
    }  # fmt: skip
    for term, words in explained.items():
        first = next(text for text in said if term in text)
        assert words in first, term
    assert {"depth head", "router"} <= TERMS.keys()
