"""Cards of a run, against direct computation from its single traces and against what was planted."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.experts import choice_counts, expert_pairs, routed
from analysis.export.captions import source
from analysis.runs import layer_columns, layer_counts, units
from analysis.runs.cards import card, mean_weight
from analysis.runs.choices import Choice, choices_of
from analysis.runs.contexts import AROUND, contexts
from analysis.runs.filters import TokenFilter
from analysis.runs.occurrences import plain_text
from analysis.runs.run import Run
from analysis.runs.sampling import sample_tokens
from analysis.runs.schema import Sizes
from analysis.runs.token_class import classed
from analysis.texts.tokens import CLASSES, token_classes
from tests.planted_runs import EXPERT, LAYER, drawn_traces
from tests.runs import make_run, random_traces
from tests.traces import make_trace

CHOICES = (Choice(2, expert=3), Choice(1, loops=2))


@pytest.fixture(scope="module")
def traces():
    return random_traces(40)


@pytest.fixture(scope="module")
def run(traces, tmp_path_factory):
    with make_run(tmp_path_factory.mktemp("runs") / "random", traces) as found:
        yield found


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    with make_run(tmp_path_factory.mktemp("runs") / "planted", drawn_traces(60, seed=1, planted=True)) as found:
        yield found


@pytest.fixture(scope="module")
def shuffled(tmp_path_factory):
    with make_run(tmp_path_factory.mktemp("runs") / "shuffled", drawn_traces(60, seed=2)) as found:
        yield found


def cells(trace, choice):
    """(made, had) of the ordinary tokens of a trace, both [token]."""
    if choice.loops is not None:
        return (trace.loops[choice.layer] == choice.loops)[~trace.special], np.ones((~trace.special).sum(), bool)
    ran = trace.expert_ran[choice.layer] & (trace.expert_ids[choice.layer] == choice.expert)
    return ran.any(axis=1)[~trace.special], routed(trace)[choice.layer][~trace.special]


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.words)
def test_a_card_counts_what_the_single_traces_have(run, traces, choice):
    found = card(run, choice)
    made, had = (np.concatenate([cells(trace, choice)[i] for trace in traces]) for i in (0, 1))
    ids = np.concatenate([trace.token_ids[~trace.special] for trace in traces])
    row = found.counts.iloc[0]
    assert (row["tokens"], row["had"], row["made"], row["prompts"]) == (len(made), had.sum(), made.sum(), len(traces))
    assert found.base == pytest.approx(made.sum() / had.sum())
    for each in found.tokens.itertuples():
        same = ids == each.token_id
        assert (each.had, each.made) == ((same & had).sum(), (same & made).sum())
        assert each.lift == pytest.approx((same & made).sum() / (same & had).sum() / found.base)
    classes = np.concatenate([np.array(token_classes(trace.tokens))[~trace.special] for trace in traces])
    for each in found.classes.itertuples():
        of = classes == each[1]
        assert (each.had, each.made) == ((of & had).sum(), (of & made).sum())
        assert each.of_made == pytest.approx((of & made).sum() / made.sum())
    for each in found.loops.itertuples():
        loops = np.concatenate([trace.loops[each.layer][~trace.special] for trace in traces]) == each.loops
        assert (each.made, each.had) == ((loops & made).sum(), (loops & had).sum())
    for each in found.experts.itertuples():
        chosen = np.concatenate([cells(trace, Choice(each.layer, expert=each.expert))[0] for trace in traces])
        assert (each.made, each.had) == ((chosen & made).sum(), (chosen & had).sum())


def test_a_card_of_an_expert_has_its_first_choices_its_weight_and_its_neighbours(run, traces):
    choice = Choice(2, expert=3)
    found = card(run, choice)
    weights = [trace.expert_weights[2][trace.expert_ran[2] & (trace.expert_ids[2] == 3)] for trace in traces]
    assert mean_weight(run, choice) == pytest.approx(np.concatenate(weights).mean(), rel=1e-5)
    assert found.counts["first"].iloc[0] == sum(choice_counts(trace)[2, 0, 3] for trace in traces)
    pairs = sum(expert_pairs(trace, 2)["together"] for trace in traces)
    table = expert_pairs(traces[0], 2).assign(together=pairs)
    own = table[(table["first"] == 3) | (table["second"] == 3)]
    assert found.neighbours["together"].tolist() == own["together"].tolist()
    assert found.neighbours["expected"].sum() == pytest.approx(own["together"].sum(), rel=1e-4)


def test_of_tokens_that_choose_alike_those_that_occur_more_often_come_first(tmp_path, monkeypatch):
    """A choice of 100 of 170 is surer than one of 10 of 17, and no accident of rounding may put it second."""
    ids = np.repeat([5, 6, 7], [170, 17, 100])
    made = np.concatenate([np.arange(170) < 100, np.arange(17) < 10, np.arange(100) < 1])
    trace = make_trace(loops=np.where(made, 2, 1)[None], token_ids=ids, tokens=[f"␣{each}" for each in ids])
    monkeypatch.setattr("analysis.runs.cards.CANDIDATES", 1)
    with make_run(tmp_path / "run", [trace]) as run:
        found = card(run, Choice(0, loops=2))
    assert found.tokens["token_id"].tolist() == [5] and found.compared == 3


def test_what_is_said_of_a_run_names_the_interventions_under_which_it_was_made(tmp_path):
    made = [{"kind": "ForceLoops", "loops": 4}]
    with make_run(tmp_path / "run", random_traces(2), settings={"interventions": made}) as run:
        about = (card(run, Choice(0, loops=2)), sample_tokens(run), run.texts())
    for each in about:
        assert "Under interventions, not the model's own routing: 4 loops" in source(each)


def test_a_card_obeys_the_filter(run, traces):
    found = card(run, Choice(0, loops=2), TokenFilter(others=(("kind", "odd"),), positions=(2, 6)))
    kept = [trace.loops[0, 2:7][~trace.special[2:7]] for trace in traces[1::2]]
    assert found.counts["had"].iloc[0] == sum(map(len, kept))
    assert found.counts["made"].iloc[0] == sum((each == 2).sum() for each in kept)


@pytest.mark.parametrize(("part", "choice"), [("width", Choice(1, expert=2)), ("depth", Choice(1, loops=2))])
def test_a_card_of_another_family_counts_what_its_model_decides(tmp_path, part, choice):
    traces = [replace(trace, meta={**trace.meta, "parts": [part]}) for trace in random_traces(8)]
    with make_run(tmp_path / "run", traces) as run:
        found = card(run, choice)
    made, had = (np.concatenate([cells(trace, choice)[i] for trace in traces]).sum() for i in (0, 1))
    assert found.counts[["made", "had"]].to_numpy().tolist() == [[made, had]]
    assert found.experts.empty == (part == "depth") and found.loops.empty == (part == "width")


def test_a_card_of_no_token_says_so(run):
    found = card(run, Choice(0, expert=1), TokenFilter(text="no such token"))
    assert found.counts[["tokens", "had", "made", "prompts"]].to_numpy().tolist() == [[0, 0, 0, 0]]
    assert np.isnan(found.base) and found.tokens.empty and found.classes.empty


def test_a_layer_is_counted_alike_in_small_pieces_and_with_every_column_apart(run, monkeypatch):
    whole, ask = layer_counts.layer_counts(run, 2), Run.ask_batches

    def in_pieces(self, sql, values, rows):
        for batch in ask(self, sql, values, rows):
            yield from (batch.slice(first, 7) for first in range(0, len(batch), 7))

    monkeypatch.setattr(Run, "ask_batches", in_pieces)
    monkeypatch.setattr(layer_columns, "MOST_VALUES", 1)
    apart = layer_counts.layer_counts(run, 2)
    for name, value in vars(whole).items():
        np.testing.assert_array_equal(value, getattr(apart, name), err_msg=name)
    again, first = (card(run, Choice(2, expert=3), counts=counts) for counts in (apart, whole))
    assert again.tokens.equals(first.tokens) and again.experts.equals(first.experts)


def test_many_prompts_are_dealt_into_units(run, traces, monkeypatch):
    whole = card(run, Choice(1, loops=2))
    monkeypatch.setattr(units, "UNITS", 16)
    dealt = card(run, Choice(1, loops=2))
    assert dealt.base == whole.base and dealt.classes["made"].tolist() == whole.classes["made"].tolist()
    assert (dealt.classes["units"] <= 16).all()
    width = [(each["high"] - each["low"]).mean() for each in (whole.classes, dealt.classes)]
    assert 0.5 < width[1] / width[0] < 2


def test_the_classes_in_sql_are_those_of_python(tmp_path):
    odd = [
        *("␣a", "b", "²", "9", "b", "⟨e2⟩", "c", "␣", "↵↵", "x1", "y", "␣é", "ß", "日本", "a’", "s", "-", "٣", "①"),
        "⟨80⟩a",
    ]
    traces = [make_trace(loops=[[1] * len(odd)], tokens=odd), make_trace(loops=[[1] * 3], tokens=["b", "c", "!"])]
    with make_run(tmp_path / "run", traces) as run:
        found = run.ask(f"SELECT class FROM ({classed()})")["class"]
    assert [CLASSES[each] for each in found] == [each for trace in traces for each in token_classes(trace.tokens)]


def test_what_an_expert_follows_is_found_and_on_top(planted):
    found = card(planted, Choice(LAYER, expert=EXPERT))
    assert set(found.tokens["text"][:2]) == {"␣7", "␣12"}
    assert (found.tokens["p_corrected"][:2] < 0.001).all() and (found.tokens["lift_low"][:2] > 1.5).all()
    top = found.classes.sort_values("lift_low").iloc[-1]
    assert top["class"] == "digits" and top["p_corrected"] < 0.001


def test_where_experts_follow_nothing_little_is_found(shuffled):
    """Uncorrected p falls below 0.05 in about a twentieth of the comparisons, and corrected p hardly ever."""
    cards = [card(shuffled, choice) for choice in choices_of(shuffled.sizes)]
    p, corrected = (np.concatenate([each.tokens[name] for each in cards]) for name in ("p", "p_corrected"))
    assert len(p) > 300
    assert 0.02 < np.mean(p < 0.05) < 0.08
    assert np.mean([each.tokens["p_corrected"].min() < 0.05 for each in cards]) <= 0.15


def test_contexts_are_occurrences_in_the_text_around_them(run, traces):
    found = contexts(run, Choice(2, expert=3), count=9, seed=4)
    assert len(found) == 9 and found[["prompt", "token"]].drop_duplicates().shape[0] == 9
    for each in found.itertuples():
        trace = traces[each.prompt]
        assert cells_at(trace, each.token) and each.text == trace.tokens[each.token]
        assert each.before == plain_text(trace.tokens[max(each.token - AROUND, 0) : each.token])
        assert each.after == plain_text(trace.tokens[each.token + 1 : each.token + AROUND + 1])
        assert each.prompt_id == f"row {each.prompt}"
    assert not found.equals(contexts(run, Choice(2, expert=3), count=9, seed=5))
    only = contexts(run, Choice(1, loops=2), token_ids=[int(traces[0].token_ids[3])], count=50)
    assert set(only["text"]) <= {traces[0].tokens[3]}


def cells_at(trace, token) -> bool:
    return bool((trace.expert_ran[2, token] & (trace.expert_ids[2, token] == 3)).any())


def test_choices_that_a_model_has_not_are_refused(run):
    for choice, words in (
        (Choice(9, loops=1), "layer must be from 0 to 3"),
        (Choice(0, loops=5), "loops must be from 1 to 4"),
        (Choice(0, expert=8), "expert must be from 0 to 7"),
    ):
        with pytest.raises(ValueError, match=words):
            card(run, choice)
    with pytest.raises(ValueError, match="only an expert has a weight, got 2 loops in layer 0"):
        mean_weight(run, Choice(0, loops=2))
    with pytest.raises(ValueError, match="chooses no experts"):
        Choice(0, expert=0).check(Sizes(2, 4, 8, 2, parts=("depth",)))
    with pytest.raises(ValueError, match="an expert or a number of loops"):
        Choice(0)
