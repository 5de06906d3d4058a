"""Why the selected token loops this often: what is said of one choice of the depth head."""

import re
from dataclasses import replace

import numpy as np
import pytest

from analysis import answers
from analysis.explain.near_miss import TwoPrecisions
from analysis.texts.goes_with import MEASURES_TOLD, Correlation, GoesWith
from analysis.view import View
from app.pages import PAGES
from tests.test_answers import TRACES
from tests.traces import make_trace


def test_choice_of_loops_tells_what_the_depth_head_saw_and_how_sure_it_was():
    logits = np.log([[[0.1, 0.6, 0.2, 0.1], [0.3, 0.3, 0.1, 0.3], [0.05, 0.05, 0.8, 0.1]]])
    trace = make_trace(loops=[[2, 1, 3]], tokens=["␣a", "␣b", "␣a"], depth_logits=logits.astype(np.float32))
    known = GoesWith("sample texts", 31, 9, dict.fromkeys(MEASURES_TOLD, Correlation(-0.5, -0.6, -0.4)))
    found = answers.choice_of_loops(trace, View(layer=0, token=0), known=known)
    assert (
        found["Because"].text == "In layer 0 the depth head gave 2 loops the highest probability for “a” (token 0), "
        "60%; 3 loops 20%, 1 loop 10%, 4 loops 10%."
    )
    assert found["How sure"].text.startswith(
        "2 loops won over 3 by 1.10 logits: no near miss (that is below 0.25), and clearer than 33% of this layer's "
        "choices. Would rounding flip it? "
    )
    assert found["In this text"].text.startswith(
        "“a” occurs 1 more time, and there took 3 loops in this layer; the mean of all tokens is 2."
    )
    assert found["What is known"].text.startswith(
        "It stands first, so nothing predicted it, and in many models that place is a sink of attention. In 31 sample "
        "texts, tokens to which the depth head gives more loops are rarer (ρ = −0.50) and less surprising (ρ = −0.50; "
    )
    unsure = replace(known, measures=known.measures | {"frequency": Correlation(0.1, -0.1, 0.3)})
    told = answers.choice_of_loops(trace, View(layer=0, token=0), known=unsure)["What is known"].text
    assert "are neither more frequent nor rarer (ρ = +0.10)" in told
    assert "Every layer" not in found, "of one layer"
    pages = [link.page for each in found.values() for link in each.links if link.page]
    assert pages == ["Near misses", "What decides", "Validity"] and set(pages) <= {page.name for page in PAGES}
    other = replace(trace, loops=np.array([[2, 2, 3]]))
    tied = answers.choice_of_loops(trace, View(token=1), precisions=TwoPrecisions(trace, other))
    assert (
        "by 0.00 logits: a near miss (that is below 0.25), and clearer than 0% of this layer's choices. bfloat16 flips "
        "it to 2 loops; in this " in (tied["How sure"].text)
    )
    assert "it flips 1 of 3 choices" in tied["How sure"].text and "occurs once" in tied["In this text"].text
    assert "has not been measured yet" in tied["What is known"].text
    forced = answers.choice_of_loops(replace(trace, loops=np.full((1, 3), 4)), View(token=0))
    assert forced["Because"].text.endswith(" But 4 loops ran.")
    assert answers.choice_of_loops(TRACES["one loop"]) == {}


@pytest.mark.parametrize("name", sorted(set(TRACES) - {"one loop"}))
def test_choice_of_loops_of_any_trace_is_plain_text_whose_links_are_its_own(name):
    trace = TRACES[name]
    for heading, found in answers.choice_of_loops(trace, View(trace.num_layers - 1, trace.num_tokens - 1)).items():
        assert found.text.endswith(".") and "  " not in found.text and len(found.text) < 330, heading
        assert "nan" not in re.sub("“.*?”", "", found.text).split()
        assert "".join(text for text, _ in found.parts()) == found.text
        assert all(link.page == text for text, link in found.parts() if link and link.page)
