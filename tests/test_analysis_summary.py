"""The row of a whole prompt: means over its own tokens, missing where there is nothing to count."""

import numpy as np
import pandas as pd
import pytest

from analysis.texts.summary import as_numbers, column_names, grouping_columns, prompt_summary, summary_table
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


@pytest.mark.parametrize(
    ("cells", "made"),
    [
        (["1.5", "", "20"], [1.5, None, 20.0]),
        (["-3", "0", "0.5"], [-3, 0, 0.5]),
        (["0042", "7"], ["0042", "7"]),
        (["1", "nan"], ["1", "nan"]),
        (["1", "inf"], ["1", "inf"]),
        (["a", ""], ["a", None]),
        (["", ""], [None, None]),
    ],
)
def test_cells_are_numbers_only_if_all_are(cells, made):
    found = as_numbers(cells)
    assert [None if pd.isna(value) else value for value in found] == made


def test_columns_of_a_file_never_take_the_place_of_the_table_s_own():
    assert column_names(["kind", "loss", "loss (file)", "text"]) == [
        "kind",
        "loss (file)",
        "loss (file) (file)",
        "text (file)",
    ]


def test_a_column_groups_if_its_values_come_again():
    values = {"kind": ["a", "b"] * 10, "one": ["a"] * 20, "id": [f"{i}" for i in range(20)], "n": [1.0, 2.0] * 10}
    assert grouping_columns(pd.DataFrame(values), values) == ["kind", "n"]
