"""Tokenizers from anywhere: run as they are, or refused in one sentence."""

import json
import shutil

import pytest

from hooks import capture
from hooks.token_text import display_tokens
from sample_models import load_model, tokenizer_files
from tests.fuzzed import fuzz_json
from tests.model_folders import TEXT
from tests.strange_files import LONGEST, as_nest, refusal


@pytest.fixture
def folder(saved_model, tmp_path):
    return shutil.copytree(saved_model, tmp_path / "tiny")


def edit_tokenizer(folder, edit):
    path = folder / "tokenizer.json"
    parts = json.loads(path.read_text())
    edit(parts)
    path.write_text(json.dumps(parts))


def normalizer(pattern: dict, content: str) -> dict:
    return {"normalizer": {"type": "Replace", "pattern": pattern, "content": content}}


def splitting(pattern: str) -> dict:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]}}


TOKENIZERS = {
    "replaces nothing by something": normalizer({"String": ""}, "x"),
    "a damaged table of characters": {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
    "a template with a token that is missing": {
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<gone>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<gone>": {"id": "<gone>", "ids": [999_999], "tokens": ["<gone>"]}},
        }
    },
    "exponential time": splitting("(a+)+$"),
    "a letter for ten million": normalizer({"String": "a"}, "a" * 10**7),
    "a letter for a thousand": normalizer({"String": "a"}, "ab" * 500),
}


@pytest.mark.parametrize("case", TOKENIZERS)
def test_tokenizer_that_cannot_be_run_is_refused(folder, case, monkeypatch):
    edit_tokenizer(folder, lambda parts: parts.update(TOKENIZERS[case]))
    monkeypatch.setattr(tokenizer_files, "CLOCK_S", 2)
    assert refusal(load_model, folder).startswith("the tokenizer in ")


def test_ids_that_belong_to_no_token_are_shown_as_ids(folder):
    def move_last(parts):
        vocabulary = parts["model"]["vocab"]
        last = max(vocabulary, key=vocabulary.get)
        vocabulary[last] = 299

    edit_tokenizer(folder, move_last)
    loaded = load_model(folder)
    trace = capture(loaded, TEXT)
    assert len(trace.tokens) == trace.num_tokens
    gap = next(i for i in range(300) if loaded.tokenizer.convert_ids_to_tokens(i) is None)
    assert display_tokens(loaded.tokenizer, [gap]) == [f"⟨#{gap}⟩"]


def test_id_beyond_the_embeddings_is_refused_though_there_are_few_tokens(folder):
    edit_tokenizer(folder, lambda parts: parts["model"]["vocab"].update({max(parts["model"]["vocab"]): 300}))
    assert "must have ids below vocab_size = 300, got 300: take tokenizer" in refusal(load_model, folder)


@pytest.mark.parametrize(
    "fields",
    [
        {"tokenizer_class": "NoSuchTokenizer"},
        {"tokenizer_class": 7},
        {"added_tokens_decoder": {"5000000000": {"content": "<x>"}}},
        {"added_tokens_decoder": "x"},
        {"model_max_length": "x"},
        {"auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]}},
        {"eos_token": ["x"]},
    ],
)
def test_settings_of_a_tokenizer_are_read_or_refused(folder, fields):
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    try:
        loaded = load_model(folder)
    except ValueError as error:
        assert str(error).startswith("the tokenizer in ") and "\n" not in str(error) and len(str(error)) < LONGEST
    else:
        assert capture(loaded, TEXT).num_tokens > 0


def test_deep_settings_of_a_tokenizer_are_refused(folder):
    as_nest(folder / "tokenizer_config.json")
    assert "tokenizer_config.json is not readable JSON" in refusal(load_model, folder)


def test_tokenizer_that_ships_is_not_tried_again(monkeypatch):
    monkeypatch.setattr(tokenizer_files, "TRIAL", ())
    assert load_model("versatile-4l-0.4m").tokenizer.is_fast


def test_tokenizer_with_any_strange_value_is_read_or_refused(folder):
    found = fuzz_json(folder / "tokenizer.json", lambda: capture(load_model(folder), TEXT), 10)
    found |= fuzz_json(folder / "tokenizer_config.json", lambda: capture(load_model(folder), TEXT), 10)
    assert found.keys() <= {"read", "refused"}, found
