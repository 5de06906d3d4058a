"""The glossary: the field's terms are there, short, and shown where a page first needs them."""

import re
from pathlib import Path

import pytest

from app.texts.glossary import GROUPS, TERMS, explained

VIEWS = Path(__file__).parents[1] / "app" / "views"
NEEDED = """token, layer, loop, depth head, router, virtual expert, λ, width path, depth path, hard difficulty,
soft difficulty, E[L], margin, surprisal, entropy, near miss, did not route, special token, FFN-equivalent,
residual stream, logit"""


@pytest.mark.parametrize("term", re.split(r",\s+", NEEDED))
def test_term_of_the_field_is_explained(term):
    assert TERMS[term].endswith((".", ".)"))


def test_explanations_are_short_and_no_term_stands_twice():
    assert max(map(len, TERMS.values())) < 330
    assert sum(map(len, GROUPS.values())) == len(TERMS)


def test_tooltip_names_each_of_its_terms():
    assert explained("loop", "λ").startswith(f"**loop**: {TERMS['loop']}\n\n**λ**: ")
    with pytest.raises(KeyError, match="no such term"):
        explained("no such term")


@pytest.mark.parametrize("view", sorted(VIEWS.glob("*.py")), ids=lambda view: view.stem)
def test_page_explains_its_terms(view):
    source = view.read_text(encoding="utf-8")
    arguments = re.search(r"\nheading\((.*?)\n?\)\n", source, flags=re.DOTALL)[1]
    assert sum(term in TERMS for term in re.findall(r'"([^"]*)"', arguments)) >= 2
