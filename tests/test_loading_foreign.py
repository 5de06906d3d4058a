"""Folders that may hold anything: each is loaded as what it means, or refused in one sentence with a remedy."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hooks import capture
from hooks.trace_checks import COUNTS, MAX_SIZES
from sample_models import load_model
from sample_models.config_file import MOST
from sample_models.registry import available_models, strange_folders
from tests.fuzzed import fuzz_json
from tests.model_folders import TEXT, edit_config, edit_weights
from tests.strange_files import STRANGE, as_device, as_folder, as_nest, as_pipe, refusal

ROOT = Path(__file__).parents[1]


@pytest.fixture
def folder(saved_model, tmp_path):
    return shutil.copytree(saved_model, tmp_path / "tiny")


CONFIGS = {
    "ten million layers": (
        {"num_hidden_layers": 10**7},
        "num_hidden_layers must be .* 1 to 256, got 10000000; correct",
    ),
    "more layers than tensors": ({"num_hidden_layers": 200}, "holds 23 tensor.s., too few for the 200 layers .*: take"),
    "a million loops": ({"max_loops": 10**6}, "max_loops must be a whole number from 1 to 64, got 1000000; correct it"),
    "a number of 5,000 digits": ({"max_loops": 10**4000}, "max_loops must be .*, got 1000000"),
    "loops of another model without tensors for them": ({"ffn": "k_loop", "max_loops": 10**12}, "max_loops must be"),
    "no heads": ({"num_attention_heads": 0}, "num_attention_heads must be a whole number from 1 to .*, got 0"),
    "no width of a head": ({"head_dim": 0}, "head_dim must be a whole number from 1 to .*, got 0"),
    "an odd head": ({"head_dim": 7}, "head_dim must be even, .*, got 7"),
    "heads that do not share": ({"num_key_value_heads": 3}, "must be a multiple of num_key_value_heads, got 2 and 3"),
    "a huge vocabulary": ({"vocab_size": 10**12}, "vocab_size must be"),
    "true for a number": ({"num_experts": True}, "num_experts must be a whole number from 1 to 256, got True"),
    "half a layer": ({"num_hidden_layers": 1.5}, "num_hidden_layers must be a whole number .*, got 1.5"),
    "rotation nobody knows": ({"rope_parameters": {"rope_type": "spiral"}}, "rope_type must be one of .*, got spiral"),
    "rotation of no kind": ({"rope_parameters": {"rope_type": ["x"]}}, "rope_type must be one of"),
    "rotation that is a word": ({"rope_parameters": "linear"}, "rope_parameters must be an object, got linear"),
    "rotation without its base": (
        {"rope_parameters": {"rope_theta": "x"}},
        "rotary positions that cannot be .*: correct",
    ),
    "half a rotation": (
        {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}},
        "does not fit|rotate",
    ),
    "bitsandbytes": (
        {"quantization_config": {"quant_method": "bitsandbytes"}},
        r"\(bitsandbytes\), .*dequantize\(\) it",
    ),
    "GPTQ": ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, r"quantization_config \(gptq\), "),
    "quantised, of no method": ({"quantization_config": "x"}, "quantization_config .*dequantize"),
    "another activation": ({"hidden_act": "gelu"}, "must have hidden_act silu, .*, got gelu"),
    "a model type of a megabyte": ({"model_type": "x" * 900_000}, "must have model_type 'versatile_ffn', got 'xxx"),
    "a word of a megabyte": ({"max_loops": "x" * 900_000}, "max_loops must be a whole number"),
    "not finite": ({"rms_norm_eps": float("nan")}, "its logits are not finite"),
    "a word for a small number": ({"rms_norm_eps": "small"}, "has a field that does not fit .*rms_norm_eps"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_configuration_that_no_model_has_is_refused(folder, case):
    fields, sentence = CONFIGS[case]
    edit_config(folder, **fields)
    told = refusal(load_model, folder)
    assert re.search(sentence, told)
    assert told.rpartition(":")[2] != "", "it names a remedy"


def test_sizes_that_are_read_are_those_that_a_trace_may_have():
    assert {name: MOST[name] for name in COUNTS} == COUNTS
    assert (MOST["num_hidden_layers"], MOST["max_loops"]) == (MAX_SIZES["layer"], MAX_SIZES["loop"])
    assert (MOST["num_experts"], MOST["num_experts_per_tok"]) == (MAX_SIZES["expert"], MAX_SIZES["k"])


WITHOUT_EFFECT = {
    "return_dict": False,
    "use_return_dict": False,
    "num_labels": 10**9,
    "dtype": "float12",
    "output_attentions": True,
    "output_hidden_states": True,
    "auto_map": {"AutoModelForCausalLM": "evil.Model"},
    "is_encoder_decoder": True,
    "per_layer_config": {"0": {"hidden_size": 1}},
    "tokenizer_class": "Nonsense",
}


@pytest.mark.parametrize("field", WITHOUT_EFFECT)
def test_field_that_means_nothing_here_changes_nothing(folder, field):
    before = capture(load_model(folder), TEXT)
    edit_config(folder, **{field: WITHOUT_EFFECT[field]})
    np.testing.assert_array_equal(capture(load_model(folder), TEXT).gate, before.gate)


def test_configuration_may_begin_with_a_byte_order_mark(folder):
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text, encoding="utf-8-sig")
    assert load_model(folder).config.num_hidden_layers == 2


@pytest.mark.parametrize("make", STRANGE)
def test_config_that_is_no_file_of_json_is_refused(folder, make):
    (folder / "config.json").unlink()
    make(folder / "config.json")
    assert str(folder / "config.json") in refusal(load_model, folder)


def test_strange_folder_hides_no_other_and_is_told(saved_model, tmp_path):
    shutil.copytree(saved_model, tmp_path / "good")
    for make in STRANGE:
        (tmp_path / make.__name__).mkdir()
        make(tmp_path / make.__name__ / "config.json")
    shutil.copytree(saved_model, os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "gpt2"}')
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "config.yaml")
    (tmp_path / "file").touch()
    assert available_models([tmp_path, tmp_path / "file"]) == [("good", tmp_path / "good")]
    told = strange_folders([tmp_path])
    assert len(told) == len(STRANGE) + 2 and all("\n" not in sentence and sentence.isprintable() for sentence in told)
    assert sum("not a name in UTF-8: rename the folder" in sentence for sentence in told) == 1


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("make", [as_folder, as_pipe, as_device])
def test_weights_and_tokenizer_that_are_no_files_are_refused(folder, name, make):
    (folder / name).unlink()
    make(folder / name)
    assert "holds no weights" in (told := refusal(load_model, folder)) or "must be a file" in told


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64, torch.float8_e4m3fn, torch.bool])
def test_weights_that_are_no_plain_floats_are_refused_with_the_remedy(folder, dtype):
    edit_weights(folder, lambda tensors: tensors.update({"model.norm.weight": torch.ones(16).to(dtype)}))
    told = refusal(load_model, folder)
    assert "must hold weights in float32, float16 or bfloat16, got" in told and "dequantize() the model" in told


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod.", "_fsdp_wrapped_module."])
def test_prefix_of_what_wrapped_a_model_is_taken_off(folder, prefix):
    before = load_model(folder).model.state_dict()
    path = folder / "model.safetensors"
    save_file({prefix + name: tensor for name, tensor in load_file(path).items()}, path, {"format": "pt"})
    after = load_model(folder).model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_tensor_under_two_names_is_refused(folder):
    edit_weights(folder, lambda tensors: tensors.update({"module.model.norm.weight": torch.ones(16)}))
    assert "model.norm.weight twice, under two names: save the model again" in refusal(load_model, folder)


def test_index_without_metadata_is_enough(folder):
    whole = load_model(folder).model
    (folder / "model.safetensors").unlink()
    whole.save_pretrained(folder, max_shard_size="20KB")
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": json.loads(path.read_text())["weight_map"]}))
    assert torch.equal(load_model(folder).model.lm_head.weight, whole.lm_head.weight)


def test_deep_generation_config_does_no_harm(folder):
    as_nest(folder / "generation_config.json")
    assert load_model(folder).config.num_hidden_layers == 2


def test_weights_with_any_bit_turned_over_are_run_or_refused_and_never_a_traceback():
    """In one process for all, as in a server; `make bench` turns over many more."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.flipped", "model", "200"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    outcomes = json.loads(ran.stdout)
    assert outcomes.keys() == {"read", "refused"} and sum(map(len, outcomes.values())) == 200
    assert len(outcomes["refused"]) > 40


def test_config_with_any_strange_value_is_read_or_refused(folder):
    for path in folder.glob("*token*"):
        path.unlink()
    found = fuzz_json(folder / "config.json", lambda: capture(load_model(folder), "1 2 3"), 60)
    assert found.keys() == {"read", "refused"}, found
