"""What if: comparisons by hand, interventions that join, words, first questions, and links."""

import json
import math

import numpy as np
import pytest

from analysis.answers import what_if
from analysis.figures import logprob_change_figure, what_if_map_figure
from analysis.view import View
from analysis.what_if.comparison import (
    Comparison,
    cascade_numbers,
    cascade_table,
    gained_and_lost,
    logprob_change,
    losses,
    named_cells,
    other_prediction,
    reached_cells,
    token_table,
)
from analysis.what_if.in_words import EXAMPLES, examples_of, interventions_in_words
from analysis.what_if.joining import joined
from analysis.what_if.questions import first_questions
from app.limits import MOST_INTERVENTIONS, MOST_INTERVENTIONS_IN_LINK
from app.texts.what_if_link import from_link, to_link
from hooks.interventions import (
    DropExpert,
    DropPath,
    ForceExperts,
    ForceGate,
    ForceLoops,
    ForceTopK,
    as_json,
)
from sample_models.intervention import Sizes
from tests.traces import make_trace, random_trace

BEFORE = [[1, 2, 2, 1], [2, 2, 2, 2], [3, 3, 3, 4]]


def traces(after=BEFORE, interventions=(), **overrides):
    """The trace of `BEFORE`, and one with the loops `after` and these interventions."""
    before = make_trace(loops=BEFORE, logprob=np.array([np.nan, -1, -2, -3], np.float32))
    meta = {**before.meta, **({"interventions": as_json(interventions)} if interventions else {})}
    changed = {"logprob": np.array([np.nan, -1, -1.5, -4], np.float32), **overrides}
    return before, make_trace(loops=after, meta=meta, **changed)


def compared(*args, **kwargs):
    return Comparison(*traces(*args, **kwargs), np.zeros(4, np.float32))


def test_losses_and_changes_are_those_of_the_log_probabilities():
    both = compared(interventions=(ForceLoops(4),))
    assert np.nan_to_num(logprob_change(both), nan=9).tolist() == [9, 0, 0.5, -1]
    assert (losses(both).before, losses(both).after, losses(both).tokens) == (2, pytest.approx(6.5 / 3), 3)


def test_tokens_that_the_tokenizer_added_count_nowhere():
    special = [False, False, True, False]
    before, after = (make_trace(loops=BEFORE, special=special, logprob=trace.logprob) for trace in traces())
    both = Comparison(before, after, np.zeros(4, np.float32))
    assert losses(both).tokens == 2 and math.isnan(logprob_change(both)[2])


def test_an_intervention_reaches_later_layers_of_its_token_and_of_those_after_it():
    both = compared(interventions=(ForceLoops(4, layers=0, tokens=1), ForceGate(0.5, layers=2, tokens=3)))
    assert named_cells(both.after).astype(int).tolist() == [[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    assert reached_cells(both).astype(int).tolist() == [[0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 1, 0]]


def test_windows_stop_what_an_intervention_reaches():
    windows = {"windows": {"context": 2, "overlap": 0, "number": 2}}
    before, after = traces(interventions=(ForceLoops(4, layers=0, tokens=1),))
    before, after = (make_trace(loops=BEFORE, meta={**trace.meta, **windows}) for trace in (before, after))
    assert reached_cells(Comparison(before, after, np.zeros(4, np.float32))).any(axis=0).tolist() == [0, 1, 0, 0]


def test_cascade_counts_other_loops_and_other_experts_apart_from_the_cells_that_were_named():
    # Token 1 is named in layer 0. Token 2 loops otherwise in layer 1, and token 1 has other experts in layer 2.
    ids = np.tile(np.arange(2), (3, 4, 1))
    ids[2, 1], ids[2, 2] = (2, 0), (1, 0)  # the second has the same experts in another order
    after = [[1, 4, 2, 1], [2, 2, 1, 2], [3, 3, 3, 4]]
    both = compared(after, (ForceLoops(4, layers=0, tokens=1),), expert_ids=ids)
    found = cascade_numbers(both)
    assert (found.reached, found.loops, found.experts, found.routed_in_both, found.first_layer) == (6, 1, 1, 4, 1)
    table = cascade_table(both)
    assert table.loc[table["named"], ["layer", "token", "loops_before", "loops_after"]].values.tolist() == [
        [0, 1, 2, 4]
    ]
    assert table["experts_differ"].isna().sum() == 2, "token 3 did not route in layer 2, nor token 1 now in layer 0"
    assert table.loc[table["experts_differ"].fillna(False), ["layer", "token"]].values.tolist() == [[2, 1]]


def test_next_tokens_are_gained_and_lost_by_their_ids():
    ids = np.zeros((4, 2), dtype=np.int64)
    ids[1] = (5, 0)
    both = compared(next_ids=ids, next_tokens=[["a", "b"], ["new", "a"], ["a", "b"], ["a", "b"]])
    assert gained_and_lost(both) == ([[], ["new"], [], []], [[], [], [], []])
    assert other_prediction(both).tolist() == [False, True, False, False]
    assert token_table(both)["gained"].tolist() == ["", "new", "", ""]


def test_a_comparison_of_different_texts_is_refused():
    with pytest.raises(ValueError, match="must be of one text in one model"):
        Comparison(make_trace(), random_trace(), np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="with one KL for each token"):
        Comparison(make_trace(), make_trace(), np.zeros(3, np.float32))


def test_answer_gives_both_losses_and_counts_the_cascade():
    both = compared([[1, 4, 2, 1], [2, 2, 1, 2], [3, 3, 3, 4]], (ForceLoops(4, layers=0, tokens=1),))
    text = what_if(both).text
    assert text.startswith(
        "The loss is 2.167 nats per token instead of 2.000 with the model's own choices (+0.167, over 3"
    )
    assert "of “d” changed most (−1.00)" in text
    assert (
        "Of 6 cells that read what they changed, 1 took a different number of loops and 0 only different experts"
        in text
    )
    assert text.endswith("This holds for this model and this text.")
    pinned = Comparison(both.after, both.before, both.kl)
    assert "instead of 2.167 under the pinned interventions (−0.167" in what_if(pinned).text


def test_answer_without_interventions_leads_to_the_first():
    text = what_if(Comparison(make_trace(), make_trace(), np.zeros(2, np.float32))).text
    assert text.startswith("Nothing is changed yet: with the model's own choices, the loss is 1.000 nats")


def test_map_marks_named_cells_by_a_corner_and_draws_the_cascade_in_its_own_colours():
    both = compared([[1, 4, 2, 1], [2, 2, 1, 2], [3, 3, 3, 4]], (ForceLoops(4, layers=0, tokens=1),))
    figure = what_if_map_figure(both, View())
    assert figure.data[0].z.tolist() == [[0, 3, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert figure.data[0].text[1][2].endswith("reached: loops 2 → 1, same experts")
    corner = figure.data[-1]
    assert (np.nanmax(corner.x), np.nanmax(corner.y), len(corner.x)) == (1.5, 0.5, 5)
    for of in ("loops", "gate", "experts"):
        assert np.nanmax(what_if_map_figure(both, View(), of=of).data[-1].x) == 1.5
    named = logprob_change_figure(both, View()).data[-1]
    assert list(named.x) == [1] and named.marker.symbol == "triangle-up"


LOOPS = ForceLoops(4, layers=3, tokens=5)


@pytest.mark.parametrize(
    ("there", "new", "together"),
    [
        ((), LOOPS, (LOOPS,)),
        ((LOOPS,), LOOPS, (LOOPS,)),
        ((LOOPS,), ForceLoops(2, layers=3, tokens=5), (ForceLoops(2, layers=3, tokens=5),)),
        ((LOOPS,), ForceLoops(4, layers=3, tokens=6), (ForceLoops(4, layers=3, tokens=(5, 6)),)),
        ((LOOPS,), ForceLoops(4, layers=2, tokens=5), (ForceLoops(4, layers=(2, 3), tokens=5),)),
        ((LOOPS,), ForceLoops(4, layers=2, tokens=6), (LOOPS, ForceLoops(4, layers=2, tokens=6))),
        ((LOOPS,), ForceLoops(4, layers=3), (ForceLoops(4, layers=3),)),
        ((ForceLoops(4),), ForceLoops(1, tokens=5), (ForceLoops(4), ForceLoops(1, tokens=5))),
        ((LOOPS,), ForceLoops(1), (ForceLoops(1),)),
        ((DropExpert(1),), DropExpert(2), (DropExpert(1), DropExpert(2))),
        ((DropExpert(1, layers=2),), DropExpert(1, then="kept"), (DropExpert(1, then="kept"),)),
        ((LOOPS, ForceGate(0.5)), ForceLoops(4, layers=3, tokens=6), None),
    ],
)
def test_a_new_intervention_replaces_what_it_covers_and_joins_the_last(there, new, together):
    assert joined(there, new) == ((*there, new) if together is None else together)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (EXAMPLES[0], (ForceLoops(4, layers=3),)),
        (EXAMPLES[1], (ForceLoops(1, layers=range(3), tokens=5, gate="held"),)),
        (EXAMPLES[2], (ForceGate(0.5, tokens=range(3, 7)),)),
        (EXAMPLES[3], (ForceExperts((1, 4), layers=2),)),
        (EXAMPLES[4], (ForceTopK(1, layers=2),)),
        (EXAMPLES[5], (DropExpert(5, layers=3, then="kept"),)),
        *((example, (DropPath("width", layers=(4, 5)),)) for example in EXAMPLES[6:]),
        ("4 Loops", (ForceLoops(4),)),
        ("layer 3, all tokens: 4 loops; everywhere: lambda 0", (ForceLoops(4, layers=3), ForceGate(0))),
        ("Layer 3 and token 5,7–8: 2 loops.", (ForceLoops(2, layers=3, tokens=(5, 7, 8)),)),
    ],
)
def test_words_mean_interventions(words, meant):
    assert interventions_in_words(words) == meant


@pytest.mark.parametrize("parts", [{"width"}, {"depth"}, {"width", "depth", "gate"}])
@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_examples_name_only_what_a_model_and_a_text_have(parts, size):
    sizes = Sizes(size, size, size, frozenset(parts), size)
    examples = examples_of(sizes)
    for example in examples:
        for each in interventions_in_words(example):
            each.check(sizes)
    assert any("no width path" in each for each in examples) == ("gate" in parts)
    assert any("no experts" in each for each in examples) == (parts == {"width"})
    assert set(examples) <= set(EXAMPLES) or size < 9


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (" ; ", "^Write where and what, such as “all tokens, layer 3: 4 loops”.$"),
        ("here: 1 loop", "^“here” is not understood as a place; write it as in “token 5, layers 0-2”.$"),
        ("layer 3: dance", "^“dance” is not understood as what to change; write it as in “all tokens,"),
        ("layer x: 4 loops", "^“layer x” is not understood as a place"),
        ("layer 1, layer 2: 4 loops", "^“layer 2” is not understood as a place"),
        ("tokens 5-3: 4 loops", "^“5-3” is no range; write the smaller number first, as in 3-5.$"),
        ("token 0-999999: 4 loops", "^“0-999999” is no range"),
        ("token 99999999: 4 loops", "^“99999999” is no number"),
        ("layer 3: 0 loops", "^ForceLoops: loops must be a whole number from 1, got 0.$"),
        ("gate 2", "^ForceGate: gate must be a number from 0 to 1, got 2.0.$"),
        ("<b>$x$ \U0001f600: 4 loops", r"^“<b>\$x\$ \\U0001f600” is not understood as a place"),
        ("x" * 301, "^Write at most 300 characters, this has 301.$"),
        ("layer 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1x: 2 loops", "place"),
    ],
)
def test_words_that_mean_nothing_are_told_in_one_sentence(words, told):
    with pytest.raises(ValueError, match=told) as refused:
        interventions_in_words(words)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 160
    with pytest.raises(ValueError) as refused:
        interventions_in_words(words, "layer 2: best 1 expert")
    assert EXAMPLES[0] not in str(refused.value)


def test_first_questions_ask_what_did_not_happen():
    trace = make_trace(loops=[[1, 4, 2]] * 3, tokens=["␣a", "␣<b>", "␣c"])
    asked = first_questions(trace, View(layer=2, token=0))
    assert asked == [
        ("What if “a” took 4 loops in layer 2?", ForceLoops(4, layers=2, tokens=0)),
        ("What if “a” took 4 loops in every layer?", ForceLoops(4, tokens=0)),
        ("What if no token used the experts of layer 2?", DropPath("width", layers=2)),
    ]
    deepest = first_questions(trace, View(layer=2, token=1))
    assert [each for _, each in deepest[:2]] == [ForceLoops(1, layers=2, tokens=1), ForceLoops(1, tokens=1)]
    one_loop = first_questions(random_trace(max_loops=1, experts=2, k=1), View())
    assert not any(isinstance(each, ForceLoops) for _, each in one_loop)
    assert first_questions(make_trace(loops=[[4]], max_loops=4), View())


def _made_longer_when_written_again() -> str:
    """A link that fits although its numbers, written as the app writes them, do not."""
    value = '[{"kind":"ForceExperts","experts":[0,1],"weights":[1,1],"tokens":[]}]'
    room = MOST_INTERVENTIONS_IN_LINK - len(value)
    return value.replace("[]", f"[{','.join(map(str, range(1000, 1000 + room // 5)))}]")


def test_a_link_holds_interventions_without_their_defaults():
    given = (LOOPS, ForceExperts((1, 4), weights=(0.5, 0.25)), DropPath("depth", other="renormalised"))
    made = to_link(given)
    assert json.loads(made)[0] == {"kind": "ForceLoops", "loops": 4, "layers": [3], "tokens": [5]}
    assert from_link(made) == given and to_link(()) == ""


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("{", "they are no JSON"),
        ("[" * 1_900, "they are no JSON|recursion"),
        ("[]", "interventions must be a list of 1"),
        ("7", "interventions must be a list of 1"),
        ('[{"kind":"Evil"}]', r"the kind of an intervention must be one of .* DropExpert…\)"),
        ('[{"kind":"ForceLoops","loops":"<b>"}]', "ForceLoops: loops must be a whole number"),
        ('[{"kind":"ForceLoops","loops":1e999}]', "ForceLoops: loops must be a whole number"),
        (json.dumps([{"kind": "ForceGate", "gate": 0}] * (MOST_INTERVENTIONS + 1)), "there are more than 32"),
        ("[" + " " * MOST_INTERVENTIONS_IN_LINK + "]", "they are longer than 2,000 characters"),
        (_made_longer_when_written_again(), "too many single layers and tokens for a link"),
    ],
)
def test_a_hostile_link_is_refused_in_one_sentence(value, why):
    with pytest.raises(ValueError, match=why) as refused:
        from_link(value)
    told = str(refused.value)
    assert told.startswith("The interventions of this link cannot be read (") and told.endswith("itself.")
    assert len(told) < 260 and "\n" not in told


def test_interventions_too_long_for_a_link_are_refused():
    with pytest.raises(ValueError, match="too many single layers and tokens for a link"):
        to_link((ForceLoops(4, tokens=range(900)),))
