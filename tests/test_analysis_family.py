"""The family's table as the Models page shows it."""

import numpy as np
import pytest

from analysis.models.family import family_table, read_members

HEAD = (
    "member,seeds,loss,lowest,highest,minus_dense,minus_dense_standard_error,against_dense,minus_4-loop,"
    "minus_4-loop_standard_error,against_4-loop,parameters,ffn_parameters,mean_loops,routed_share,ffn_flops_per_token\n"
)
ROWS = (
    "dense,3,3.1,3.0,3.2,,,,-0.02,0.004,better,1000,500,1,0,2e+06\n"
    "4-loop,1,3.12,3.12,3.12,0.02,0.004,worse,,,,1000,500,4,0,8e+06\n"
    "2-loop,1,3.11,3.11,3.11,0.01,0.001,open (one seed),-0.01,0.001,open (one seed),1000,500,2,0,4e+06\n"
    '"versatile, no entropy term",2,3.1005,3.1,3.101,0.0005,0.0004,tie,-0.0195,0.003,better,1100,600,2.5,0.9,5.45e+06\n'
)


def test_table_speaks_the_words_of_the_report():
    table = family_table(read_members((HEAD + ROWS).encode())).set_index("member")
    assert table["range over seeds"].tolist() == ["3.000 to 3.200", "one seed", "one seed", "3.100 to 3.101"]
    assert table.loc["4-loop", "minus dense"] == "+0.0200 (0.0040) worse"
    assert table.loc["2-loop", "minus dense"] == "+0.0100 (0.0010) open (one seed)"
    assert table.loc["versatile, no entropy term", "minus dense"] == "+0.0005 (0.0004) tie"
    assert table.loc["dense", "minus dense"] == table.loc["4-loop", "minus 4-loop"] == ""
    assert table["x dense"].tolist() == [1, 4, 2, 2.725]
    assert table["FFN MFLOPs per token"].tolist() == [2, 8, 4, 5.45]


def test_without_the_dense_member_no_cost_is_relative():
    table = family_table(read_members((HEAD + ROWS.split("\n", 1)[1]).encode()))
    assert np.isnan(table["x dense"]).all()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not a table"),
        (b"member,seeds\ndense,1\n", r"lacks the column\(s\) against_dense, against_4-loop, loss"),
        ((HEAD + "dense,1,many,1,1,,,,,,,1,1,1,0,1\n").encode(), "must have seeds, losses and FLOPs in every row"),
        (HEAD.encode(), "must have seeds, losses and FLOPs in every row"),
    ],
)
def test_file_that_is_no_such_table_is_refused(content, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_members(content)
