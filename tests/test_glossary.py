"""The glossary: the field's terms are there, short, and shown where a page first needs them."""

import re

import pytest
from streamlit.testing.v1 import AppTest

from app.pages import PAGES
from app.texts.glossary import GROUPS, NEEDS, OF_OTHERS, TERMS, explained, found
from sample_models.adapter_families import DENSE, LOOPED, MOE

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


OF_A_VERSATILE = (
    "virtual expert",
    "λ",
    "width path",
    "depth path",
    "both paths",
    "depth head",
    "shared FFN",
    "Validity",
)


@pytest.mark.parametrize(("parts", "family"), [({"width"}, MOE), ({"depth"}, LOOPED), (set(), DENSE)])
def test_page_explains_nothing_that_a_model_of_another_family_does_not_have(parts, family):
    meta = {"parts": sorted(parts), "family": family}
    for page in PAGES:
        if page.about == "run" or page.why_lacking(meta):
            continue
        told = explained(*page.terms, parts=parts)
        assert [word for word in OF_A_VERSATILE if word in told] == [], page.name
        assert "width" in parts or "expert" not in told.replace("loops or experts", ""), page.name
        assert "depth" in parts or "**loop**" not in told, page.name
    assert NEEDS.keys() | OF_OTHERS.keys() <= TERMS.keys()
    assert "**expert**: " in explained("virtual expert", parts={"width"}) and not explained("λ", parts=parts)


def test_search_finds_terms_by_name_and_by_words_of_their_explanation():
    assert found("") == GROUPS and found("no such word at all") == {}
    by_name = found("LOOP")
    assert next(iter(by_name["Model"])) == "loop" and "depth path" in by_name["Model"]
    assert list(by_name)[0] == "Model"
    hard = [term for terms in found("hard").values() for term in terms]
    assert hard[0] == "hard difficulty" and "soft difficulty" in hard
    assert list(found("windows begin anew")) == ["Measures"] and list(found("windows begin anew")["Measures"]) == [
        "position"
    ]
    assert all(text == TERMS[term] for terms in found("a").values() for term, text in terms.items())


def test_glossary_opens_with_all_terms_and_its_search_narrows_them():
    def script():
        from app.texts.glossary import glossary_dialog

        glossary_dialog()

    app = AppTest.from_function(script, default_timeout=60)

    def shown() -> set[str]:
        told = " ".join(each.value for each in app.markdown)
        return {term for term in TERMS if f"**{term}**: " in told}

    app.run()
    assert not app.exception and shown() == TERMS.keys()
    app.text_input[0].set_value("depth path weighs").run()
    assert shown() == {"λ"}
    app.text_input[0].set_value("*zz*").run()
    assert not shown() and [each.value for each in app.markdown][0].startswith(r"No term has “\*zz\*”")


def test_dialog_explains_what_is_true_of_a_model_of_another_family():
    for parts in ({"width"}, {"depth"}, set()):
        told = {term: text for terms in found("", parts).values() for term, text in terms.items()}
        assert told.keys().isdisjoint({"λ", "width path", "depth path", "virtual expert"})
        assert ("loop" in told) == ("depth" in parts) and ("expert" in told) == ("width" in parts)
        assert "both paths" not in told["FFN"] and "The loops run" not in told.get("knock-out", "")
    assert "exit gate" in found("exits there", {"depth"})["Model"]


def test_button_opens_the_glossary_with_its_search(app):
    app.run()
    next(button for button in app.button if button.label == "Glossary").click().run()
    assert not app.exception and "Search the glossary" in [field.label for field in app.text_input]
