"""Checkpoints of the authors' trainer and dense models from anywhere: read, or refused in one sentence."""

import re
import shutil

import pytest
import torch
import yaml

from sample_models import conversion, load_model
from sample_models.olmo_config import read_olmo_config
from tests.fuzzed import fuzz_bytes
from tests.model_folders import edit_config
from tests.olmo_folders import golden_settings, write_olmo
from tests.strange_files import refusal


@pytest.fixture
def folder(saved_model, tmp_path):
    return shutil.copytree(saved_model, tmp_path / "tiny")


YAML = {
    "an alias": "a: &a [x]\nmodel: {d_model: *a}\n",
    "aliases of aliases": "a: &a [x, x]\nb: &b [*a, *a]\nmodel: {d_model: *b}\n",
    "a merge key": "model: {<<: {d_model: 4}}\n",
    "an integer without digits": "model: {d_model: !!int ''}\n",
    "a deep nest": "model: " + "[" * 50_000,
    "a tag for code": "model: !!python/object/apply:os.system ['true']\n",
    "control characters": "model: \x00\n",
}


@pytest.mark.parametrize("case", YAML)
def test_yaml_that_the_trainer_never_writes_is_refused(tmp_path, case):
    folder = write_olmo(tmp_path / "olmo")
    (folder / "config.yaml").write_text(YAML[case])
    told = refusal(load_model, folder)
    assert "is not readable YAML" in told and told.endswith("copy or download it again")


def test_long_values_of_yaml_are_not_printed_whole(tmp_path):
    for value in ("x" * 10**5, "[" + "x, " * 1000 + "]", "0x" + "f" * 5000, "[0x" + "f" * 5000 + "]"):
        folder = write_olmo(tmp_path / "olmo")
        for name in ("n_layers", "block_type", "y" * 100):
            fields = golden_settings() | {name: "VALUE"}
            (folder / "config.yaml").write_text(yaml.safe_dump({"model": fields}).replace("VALUE", value))
            assert value not in refusal(load_model, folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda tensor: tensor.to("meta"), "the shape of .* without its values .*: save the checkpoint again"),
        (lambda tensor: tensor.to(torch.float8_e4m3fn), "got float8_e4m3fn in .*: save the model's weights as they"),
        (lambda tensor: tensor.to(torch.int8), "got int8 in .*: save the model's weights as they were trained"),
    ],
)
def test_tensors_without_values_of_their_own_are_refused(tmp_path, change, sentence):
    folder = write_olmo(tmp_path / "olmo", kind="pt")
    tensors = torch.load(folder / "model.pt", weights_only=True)
    name = "transformer.ln_f.weight"
    torch.save(tensors | {name: change(tensors[name])}, folder / "model.pt")
    assert re.search(sentence, refusal(load_model, folder))


@pytest.mark.parametrize("fields", [{"num_hidden_layers": 10**7}, {"quantization_config": {"quant_method": "gptq"}}])
def test_dense_model_of_strange_settings_is_refused(folder, tmp_path, fields):
    edit_config(folder, model_type="llama", **fields)
    told = refusal(conversion.upcycle, folder, tmp_path / "out")
    assert next(iter(fields)) in told and not (tmp_path / "out").exists()


def test_yaml_with_any_strange_bytes_is_read_or_refused(tmp_path):
    path = write_olmo(tmp_path / "olmo") / "config.yaml"
    found = fuzz_bytes(path, lambda: read_olmo_config(path), 200)
    assert found.keys() == {"read", "refused"}, found
