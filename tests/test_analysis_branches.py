"""Branches of a generated text: where two part, what they share, and their loops."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.answers import generate
from analysis.catalogue import spec
from analysis.export.captions import generation, numbers
from analysis.texts.branches import (
    Branches,
    BranchOfText,
    first_difference,
    layers_table,
    shared_tokens_table,
    written_loops,
)
from analysis.view import View
from analysis.words.strip import strip
from hooks.trace import RoutingTrace
from tests.traces import make_trace


def written(loops, ids, first: int = 2, **more) -> RoutingTrace:
    """A trace whose tokens from `first` on the model wrote."""
    trace = make_trace(loops=loops, token_ids=np.array(ids), **more)
    sampled = [{"first": first, "temperature": 0.5, "seed": 3}]
    return replace(trace, meta=trace.meta | {"generated": {"first": first, "sampling": sampled}})


FIRST = written([[1, 2, 3, 4, 1], [1, 1, 1, 1, 1]], [0, 1, 2, 3, 4])
SECOND = written([[1, 2, 4, 4], [1, 1, 3, 2]], [0, 1, 2, 9])


def test_texts_part_at_the_first_other_token_or_where_one_ends():
    assert first_difference(FIRST, SECOND) == 3 == first_difference(SECOND, FIRST)
    assert first_difference(FIRST, FIRST) is None
    assert first_difference(FIRST, written([[1, 2, 3], [1, 1, 1]], [0, 1, 2])) == 3


def test_loops_are_compared_where_both_have_read_the_same():
    table = shared_tokens_table(FIRST, SECOND)
    assert len(table) == 6 and table["token"].max() == 2
    assert table.loc[table["loops_first"] != table["loops_second"], ["layer", "token"]].values.tolist() == [
        [0, 2],
        [1, 2],
    ]
    assert table["generated"].tolist() == [False, False, True] * 2
    by_layer = layers_table(FIRST, SECOND)
    assert by_layer["shared_tokens"].tolist() == [3, 3] and by_layer["other_loops"].tolist() == [1, 1]
    assert by_layer["mean_loops_first"].tolist() == [8 / 3, 1] and by_layer["mean_loops_second"].tolist() == [4, 2.5]
    assert by_layer["difference"].tolist() == [pytest.approx(4 / 3), 1.5]
    with pytest.raises(ValueError, match="by the same model"):
        shared_tokens_table(FIRST, replace(SECOND, meta=SECOND.meta | {"weights_sha256": "other"}))


def test_prompt_and_written_tokens_have_means_of_their_own():
    assert written_loops(FIRST) == (1.25, pytest.approx(11 / 6))
    prompt, rest = written_loops(make_trace())
    assert prompt == 2.5 and np.isnan(rest), "nothing was written"
    special = replace(FIRST, special=np.array([True, False, False, False, False]))
    assert written_loops(special)[0] == 1.5


def test_answer_names_the_first_token_that_differs():
    two = (BranchOfText("A", FIRST), BranchOfText("C", SECOND, 0, 2, "4 loops"))
    said = generate(Branches(two, 1, 0)).text
    assert said.startswith(
        "In branch C the model has written 2 tokens, which took 3.25 loops per layer on average; the"
    )
    assert "the prompt’s 2 tokens took 1.25." in said
    assert said.endswith("Its first token that differs from branch A is token 3: “d” instead of “d”.")
    ended = BranchOfText("B", written([[1, 2, 3], [1, 1, 1]], [0, 1, 2]), 0, 2)
    assert generate(Branches((two[0], ended), 1, 0)).text.endswith("is token 3: nothing more instead of “d”.")
    assert generate(Branches((two[0], replace(ended, trace=FIRST)), 1, 0)).text.endswith("the same tokens as branch A.")
    assert generate(Branches(two[:1])).text.startswith("After the prompt the model has written 3 tokens")


def test_strip_and_captions_mark_what_the_model_wrote():
    drawn = strip(FIRST, "Loops", layer=0, token=0, at_layer=0, theme="light")
    assert drawn.first_generated == 2 and drawn.legend[-1] == ("text", "dotted: generated")
    plain = strip(make_trace(), "Loops", layer=0, token=0, at_layer=0, theme="light")
    assert plain.first_generated == 2 == plain.tokens and plain.legend[-1] != ("text", "dotted: generated")
    sentence = "Tokens from 2 on were generated (temperature 0.5, seed 3); those before are the prompt."
    assert generation(FIRST) == sentence and generation(make_trace()) is None
    assert sentence in numbers(spec("loop_map"), FIRST, View())
