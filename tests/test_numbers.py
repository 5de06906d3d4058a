"""Numbers are written in one way: real minus, no negative zero, the same decimals within a column."""

import ast
import re

import pytest

from analysis.words.numbers import column, number, percent, significant
from tests.test_plain_english import ROOT, words


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (number(1.005, 1), "1.0"),
        (number(-1.26), "−1.26"),
        (number(-0.004), "0.00"),
        (number(-0.0, 0), "0"),
        (number(0.4, signed=True), "+0.40"),
        (number(-0.001, signed=True), "0.00"),
        (number(float("nan")), "–"),
        (number(float("-inf")), "−inf"),
        (significant(-1.234e-8), "−1.23e−08"),
        (significant(-23552), "−23,600"),
        (significant(999.7), "1,000"),
        (significant(2.5e6), "2.5e+06"),
        (percent(0.1212), "12%"),
        (percent(0.0371, 1), "3.7%"),
        (percent(float("nan")), "–"),
    ],
)
def test_a_number_has_the_real_minus_and_no_negative_zero(written, text):
    assert written == text


def test_numbers_of_a_column_have_the_decimals_of_the_largest():
    assert column([12.34, -0.456, -0.001]) == ["12.3", "−0.5", "0.0"]
    assert column([0.0123, float("nan")]) == ["0.0123", "–"]
    assert column([1234.5, 1]) == ["1234", "1"]
    assert column([]) == []


def test_no_text_writes_small_numbers_or_per_cent_in_a_way_of_its_own():
    paths = [path for room in ("app", "analysis") for path in (ROOT / room).rglob("*.py")]
    assert len(paths) > 150
    found = []
    for path in paths:
        fields = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if is_exponent(node))
        found += [f"{path.name}, line {field.lineno}: {ast.unparse(field)}" for field in fields]
        found += [f"{path.name}: {hit.group()}" for hit in re.finditer(r"(?m).*(\d|\}|^) %(?![\w{(]).*", words(path))]
    assert not found, "`significant` writes 1.3e−07 with a real minus, and per cent follow their number without a space"


def is_exponent(node: ast.AST) -> bool:
    """Whether this is a field of a text that has a format such as .1e."""
    return isinstance(node, ast.FormattedValue) and node.format_spec and ast.unparse(node.format_spec).endswith("e'")
