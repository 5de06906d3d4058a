"""The glossary: the field's terms are there, short, and shown where a page first needs them."""

import re

import pytest

from app.pages import PAGES
from app.texts.glossary import GROUPS, TERMS, explained

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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.url_path)
def test_page_explains_its_terms(page):
    assert len(page.terms) >= 2 and set(page.terms) <= TERMS.keys()
