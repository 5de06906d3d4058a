"""Classes of tokens in SQL: those of `analysis.texts.tokens.token_classes`, for rows of a run."""

import unicodedata
from functools import cache

from analysis.texts.tokens import CLASSES
from hooks.token_text import WHITE


def classed(prompts: str = "") -> str:
    """A question that gives the rows of `tokens` with their `class`, an index into CLASSES, in the order of the run.

    `prompts`: a condition in SQL on `prompt`. Others come after it: a class depends on the token before.
    """
    word, inside = CLASSES.index("word"), CLASSES.index("inside a word")
    where = f" WHERE {prompts}" if prompts else ""
    return (
        f"SELECT *, CASE WHEN of_text = {word} AND begins AND token > 0 AND coalesce(lag(ends) OVER (), false) "
        f"THEN {inside}::TINYINT ELSE of_text END AS class "
        f"FROM (SELECT *, {_of_text()} AS of_text, regexp_matches(text, '^\\pL') AS begins, "
        f"({_of_text()} = {word} AND regexp_matches(text, '\\pL$')) AS ends FROM tokens{where})"
    )


def _of_text() -> str:
    """The class of a token by its own text, in SQL."""
    core, at = f"trim(text, '{WHITE}')", CLASSES.index
    return (
        f"(CASE WHEN {core} = '' THEN {at('white space')} WHEN contains({core}, '⟨') THEN {at('other')} "
        f"WHEN regexp_matches({core}, '\\pL') THEN {at('word')} "
        f"WHEN regexp_matches({core}, '[\\p{{Nd}}{_other_digits()}]') THEN {at('digits')} "
        f"ELSE {at('punctuation')} END)::TINYINT"
    )


@cache
def _other_digits() -> str:
    """Digits that Unicode counts among other numbers, such as those above a line."""
    signs = map(chr, range(0x110000))
    return "".join(sign for sign in signs if sign.isdigit() and unicodedata.category(sign) != "Nd")


__all__ = ["classed"]
