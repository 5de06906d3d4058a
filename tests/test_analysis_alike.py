import numpy as np
import pytest

from analysis.catalogue import spec
from analysis.export.captions import caption
from analysis.texts import alike
from analysis.texts.alike import AT_ONCE, near_duplicates
from analysis.texts.study import repeats_told, study
from analysis.view import DEFAULT_VIEW
from tests.traces import make_trace


def reading(*ids: int, special=None, text: str = ""):
    """A trace of tokens with these ids."""
    trace = make_trace(loops=[[1] * len(ids)], token_ids=np.array(ids), special=special)
    trace.meta["text"] = text
    return trace


def test_shared_runs_are_counted_of_the_shorter_text_by_hand():
    """1234 2345 3456 against 1234 2345 3459 4592 5923: two runs of three."""
    table = near_duplicates([reading(1, 2, 3, 4, 5, 6), reading(1, 2, 3, 4, 5, 9, 2, 3)])
    assert table.to_numpy().tolist() == [[1, 0, pytest.approx(2 / 3)]]


def test_rows_of_a_template_are_found_and_like_the_one_they_share_most_with():
    rows = [reading(1, 2, 3, 4, 5, n, 6) for n in (10, 11, 12)]
    rows.append(reading(1, 2, 3, 4, 5, 12, 7))
    assert near_duplicates(rows)[["text", "like"]].to_numpy().tolist() == [[1, 0], [2, 0], [3, 2]]


def test_texts_that_share_an_opening_alone_or_are_too_short_or_share_added_tokens_are_not_alike():
    opening = (1, 2, 3, 4)
    assert near_duplicates([reading(*opening, *range(n, n + 20)) for n in (100, 200, 300)]).empty
    assert near_duplicates([reading(1, 2, 3)] * 3).empty
    assert near_duplicates([reading(9, 9, 9, 9, n, special=[True] * 4 + [False]) for n in (1, 2)]).empty


def test_long_lists_are_compared_over_the_borders_of_blocks():
    rows = [reading(*range(10 * n, 10 * n + 8)) for n in range(AT_ONCE + 3)]
    rows.append(reading(*range(8)))
    assert near_duplicates(rows).to_numpy().tolist() == [[AT_ONCE + 3, 0, 1]]


def test_rows_of_a_template_that_many_texts_hold_are_found_among_copies_and_others(monkeypatch):
    """A run that more than MOST_HOLD texts hold is looked up in the first few of them alone; who is alike stays."""
    rng = np.random.default_rng(0)
    template = [1, 2, 3, 4, 5, 6, 7, 8]
    rows = [reading(*template, *rng.integers(100, 10**6, 4)) for _ in range(30)]
    rows += [reading(*rng.integers(100, 10**6, 12)) for _ in range(30)]
    rows.append(reading(*template[:4], *rng.integers(100, 10**6, 20)))
    rows.append(rows[20])
    every = near_duplicates(rows)
    assert every["text"].tolist() == [*range(1, 30), 61] and every["like"].tolist()[-1] == 20
    monkeypatch.setattr(alike, "MOST_HOLD", 10)
    monkeypatch.setattr(alike, "FIRST_HOLD", 3)
    assert near_duplicates(rows).equals(every)


def test_a_study_and_its_captions_tell_near_duplicates_with_the_threshold():
    alike = [reading(1, 2, 3, 4, 5, n, text=f"The capital of country {n}") for n in range(10, 15)]
    told = repeats_told(study(alike, draws=9))
    assert told.startswith("4 of 5 texts nearly repeat an earlier one: of all runs of 4 tokens")
    assert "40% or more" in told and "“The capital of country 11” and “The capital of country 10”" in told
    assert told in caption(spec("together"), study(alike, draws=9), DEFAULT_VIEW)
    apart = study([reading(*range(9 * n, 9 * n + 9)) for n in range(5)], draws=9)
    assert repeats_told(apart) is None


def test_texts_whose_words_are_unknown_are_named_by_their_number():
    assert "The first pair is text 2 and text 1;" in repeats_told(study([reading(*range(9))] * 2, draws=9))
