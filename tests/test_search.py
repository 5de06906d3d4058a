"""Search: texts across the seams of tokens, conditions on the routing, and nothing that did not run is found."""

import dataclasses

import numpy as np
import pytest

from analysis.words.search import MEASURES, Query, described, matching_tokens
from tests.traces import make_trace, random_trace

TOKENS = ["The", "␣light", "house", "↵", "␣⟨E2 82⟩", "⟨AC⟩", "␣LIGHT"]


def spelled(tokens=TOKENS, **fields):
    trace = make_trace(loops=[[1] * len(tokens)], tokens=tokens, **fields)
    return dataclasses.replace(trace, meta={**trace.meta, "text": "The lighthouse\n € LIGHT"})


def found(trace, **query) -> list[int]:
    return np.flatnonzero(matching_tokens(trace, Query(**query))).tolist()


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("light", [1, 6]),
        ("Lighthouse", [1, 2]),
        ("house\n", [2, 3]),
        ("house↵", [2, 3]),
        (" light", [1, 6]),
        ("thel", []),
        ("€", [4, 5]),
        ("⟨AC⟩", []),  # half a character is no text
        ("", []),
    ],
)
def test_text_is_found_across_tokens_and_whatever_its_case(text, tokens):
    assert found(spelled(), text=text) == tokens


def test_overlapping_occurrences_are_all_found():
    trace = make_trace(loops=[[1] * 5], tokens=["a", "b", "a", "b", "a"])
    trace = dataclasses.replace(trace, meta={"text": "ababa"})
    assert found(trace, text="aba") == [0, 1, 2, 3, 4]


def test_tokens_that_do_not_spell_the_text_are_searched_one_by_one():
    trace = dataclasses.replace(make_trace(loops=[[1] * 3], tokens=["12", "7", "127"]), meta={"text": "12 7 127"})
    assert found(trace, text="127") == [2]


def test_loops_are_compared_in_one_layer_or_in_any():
    trace = make_trace(loops=[[1, 2, 4], [3, 1, 1]])
    assert found(trace, quantity="loops", comparison="is", value=1, where=0) == [0]
    assert found(trace, quantity="loops", comparison="is", value=1, where="any") == [0, 1, 2]
    assert found(trace, quantity="loops", comparison="at least", value=3, where="any") == [0, 2]
    assert found(trace, quantity="loops", comparison="at most", value=2, where=1) == [1, 2]


def test_a_token_that_did_not_route_has_no_expert_not_even_0():
    trace = make_trace(loops=[[4, 1, 4], [4, 4, 1]])  # every token names experts 0 and 1
    assert found(trace, quantity="first expert", value=0, where=0) == [1]
    assert found(trace, quantity="any chosen expert", value=1, where="any") == [1, 2]
    assert found(trace, quantity="first expert", value=1, where="any") == []
    assert found(trace, quantity="did not route", where=0) == [0, 2]


def test_special_tokens_meet_no_condition_but_can_be_found_by_their_text():
    trace = make_trace(loops=[[4, 4]], tokens=["<s>", "a"], special=[True, False])
    trace = dataclasses.replace(trace, meta={"text": "a"})
    assert found(trace, quantity="loops", comparison="at least", value=1) == [1]
    assert found(trace, quantity="did not route") == [1]
    assert found(trace, text="<s>") == [0]


def test_what_is_undefined_meets_no_condition():
    trace = make_trace(loops=[[1, 2, 3]], max_loops=4)
    assert np.isnan(trace.logprob[0])
    for comparison in ("at least", "at most"):
        assert 0 not in found(trace, quantity="surprisal", comparison=comparison, value=1)
    assert found(trace, quantity="surprisal", comparison="at least", value=1) == [1, 2]
    one = random_trace(2, 9, 2, max_loops=1, k=1)
    assert found(one, quantity="margin of the loops", comparison="at most", value=9) == []


def test_difficulty_is_asked_for_as_the_mean_over_layers_or_in_a_layer():
    trace = make_trace(loops=[[1, 4], [4, 4]])
    assert found(trace, quantity="difficulty", comparison="at least", value=0.6, where="mean") == [1]
    assert found(trace, quantity="difficulty", comparison="at least", value=0.6, where="any") == [0, 1]
    assert found(trace, quantity="difficulty", comparison="at most", value=0.1, where=0) == [0]


def test_text_and_condition_both_count():
    trace = dataclasses.replace(make_trace(loops=[[1, 4, 4]], tokens=["a", "a", "b"]), meta={"text": "aab"})
    assert found(trace, text="a", quantity="loops", comparison="is", value=4) == [1]
    assert described(Query("a", "loops", "is", 4, 0)) == "“a”, loops = 4 in layer 0"
    assert described(Query(quantity="surprisal", comparison="at least", value=5)) == "surprisal ≥ 5"


@pytest.mark.parametrize("quantity", MEASURES)
def test_a_layer_or_a_comparison_that_does_not_exist_is_refused(quantity):
    trace, measure = random_trace(2, 5, 8), MEASURES[quantity]
    assert measure.where or "is" not in measure.comparisons, "nothing would be asked here"
    if measure.where:
        with pytest.raises(ValueError, match=r"0\.\.1 for " + quantity):
            asked = Query(quantity=quantity, comparison=(measure.comparisons or ("is",))[0], where=2)
            matching_tokens(trace, asked)
    if measure.comparisons and "is" not in measure.comparisons:
        with pytest.raises(ValueError, match="not is"):
            matching_tokens(trace, Query(quantity=quantity, comparison="is"))
