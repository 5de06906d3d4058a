"""The row of a whole prompt: means over its own tokens, missing where there is nothing to count."""

import numpy as np
import pandas as pd
import pytest

from analysis.texts.summary import prompt_summary, summary_table
from tests.traces import make_trace


def test_summary_counts_loops_gate_and_surprisal_of_ordinary_tokens_only():
    found = prompt_summary(make_trace(loops=[[4, 1, 2], [4, 4, 3]], special=[True, False, False]))
    assert found.tokens == 2
    assert found.difficulty == pytest.approx(np.mean([0, 1 / 3, 1, 2 / 3]), abs=1e-6)
    assert found.gate == pytest.approx(np.mean([0.75, 0.5, 0, 0.25]))
    assert found.did_not_route == pytest.approx(1 / 4)
    assert found.loss == pytest.approx(1.0)


def test_text_of_one_token_has_no_loss():
    assert np.isnan(prompt_summary(make_trace(loops=[[1], [2]])).loss)


def test_table_keeps_rows_that_are_not_traced_yet_or_cannot_be():
    known = prompt_summary(make_trace())
    table = summary_table([("a", "The", known), ("b", "fox", None), ("c", "ran", "It is too long.")])
    assert table["name"].tolist() == ["a", "b", "c"]
    assert table["tokens"].isna().tolist() == [False, True, True] and table["tokens"].dtype == pd.Int64Dtype()
    assert table["problem"].tolist()[2] == "It is too long." and table["problem"].isna().tolist() == [True, True, False]
    assert summary_table([]).empty
