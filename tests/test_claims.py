"""The explorer says no more than is known: words that claim too much are nowhere, limits stand where they belong."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from analysis.catalogue import CATALOGUE, spec
from analysis.explain.geometry import CLASSES
from analysis.recursion import NEAR_MISS, logit_spread, margin_table
from analysis.texts.sources import SMOOTHING
from app.pages import PAGES
from app.texts.examples import EXAMPLES, LOOK_FOR
from app.texts.glossary import TERMS
from hooks import capture
from sample_models import CHECKPOINTS, load_model
from tests.traces import make_trace

ROOT = Path(__file__).parents[1]
TOO_MUCH = {
    "a gate does not know how hard a token is": (
        r"how hard (it|the model) finds|finds? (\w+ )?hard\b|is hard\.|harder tokens?\b"
    ),
    "a few steps do not settle": r"recursion settles|do(es)? the \w+ settle|converg(es|ing)\b",
    "an intervention at one token is not the cause": r"is a cause\b|really falls",
    "a ratio of lengths is no share": r"chosen (experts|ones) hold\b",
    "one token drawn does not say how badly": r"[Oo]nly the surprisal|only this says",
    "other decisions are new to the model": r"the decision counts|would have done\s+better",
    "plain words": r"\bforetell|\bforetold|\bleaned to\b",
}


def sentences() -> dict[str, str]:
    """Where something is said -> what is said there."""
    said = {f"figure {each.name}": f"{each.title}. {each.whole_caption}" for each in CATALOGUE}
    said |= {f"page {page.name}": page.question for page in PAGES}
    said |= {f"term {term}": text for term, text in TERMS.items()}
    said |= {f"example {key}": text for key, text in LOOK_FOR.items()}
    said |= {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "app").glob("*/*.py")}
    said |= {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "docs").glob("*.md")}
    said |= {f"card {path.parent.name}": path.read_text() for path in CHECKPOINTS.parent.glob("*/*/README.md")}
    for path in (ROOT / "docs").glob("*.ipynb"):
        cells = json.loads(path.read_text())["cells"]
        said[path.name] = "\n".join("".join(cell["source"]) for cell in cells)
    return said | {"README": (ROOT / "README.md").read_text()}


@pytest.mark.parametrize("why", TOO_MUCH)
def test_nothing_claims_more_than_is_known(why):
    found = {where: re.search(TOO_MUCH[why], text) for where, text in sentences().items()}
    assert not {where: hit.group() for where, hit in found.items() if hit}


@pytest.mark.parametrize(
    ("figure", "limits"),
    [
        ("difficulty_map", ("what the depth head assigned, not how hard",)),
        ("difficulty_surprisal", ("a single draw", "the loops have already changed it", "equally frequent")),
        ("validity_by_layer", ("a single draw", "the loops have already changed it", "None of this shows a cause")),
        ("logit_attribution", ("at this token alone", "later loops of the same layer keep", "later tokens are not")),
        ("steps", ("do not show that the recursion would settle",)),
        ("recursion_states", ("do not show whether the recursion would settle",)),
        ("first_loop", ("a ratio of lengths, not a share", "“Exchanged” is")),
        ("depth_margin", (f"below {NEAR_MISS:g}", "the same in every layer", "logit_sd")),
        ("near_miss_map", (f"below {NEAR_MISS:g}", "the same in every layer")),
        (
            "routing_sources",
            (f"as much as {SMOOTHING:g} tokens", "in bins that double", "only the token before is drawn"),
        ),
    ],
)
def test_captions_name_the_limits_of_their_figures(figure, limits):
    assert [limit for limit in limits if limit not in spec(figure).whole_caption] == []


def test_what_decides_asks_for_no_more_than_it_draws():
    (page,) = (page for page in PAGES if page.name == "What decides")
    assert "context" not in page.question and "the token before" in page.question


def test_classes_of_steps_say_what_was_seen_and_not_where_it_leads():
    assert CLASSES == ("shrinking", "turning back", "growing", "mixed")


def test_spread_of_the_logits_is_about_the_mean_of_each_token():
    logits = np.array([[[0, 2], [10, 12], [5, 5]], [[0, 4], [0, 4], [0, 4]]], np.float32)
    trace = make_trace(loops=[[2, 2, 1], [2, 2, 2]], depth_logits=logits, max_loops=2)
    # Layer 0: -1, 1, -1, 1, 0, 0 about the means of the tokens; layer 1: -2, 2 three times.
    assert logit_spread(trace).tolist() == [pytest.approx(np.sqrt(4 / 6)), 2]
    assert margin_table(trace)["logit_sd"].tolist() == [pytest.approx(np.sqrt(4 / 6))] * 3 + [2] * 3


def test_one_bound_of_near_misses_means_more_in_some_layers_of_the_shipped_model_than_in_others():
    spread = logit_spread(capture(load_model(), EXAMPLES["fox"].text))
    assert spread.max() > 1.3 * spread.min()
