"""Weights in several files are one model, if the index that names them is whole and stays in its folder."""

import json
import shutil

import pytest
import torch

from sample_models import load_model


@pytest.fixture
def folder(saved_model, tmp_path):
    return shutil.copytree(saved_model, tmp_path / "tiny")


def test_sharded_weights_are_one_model(folder):
    whole = load_model(folder)
    (folder / "model.safetensors").unlink()
    whole.model.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    assert torch.equal(load_model(folder).model.lm_head.weight, whole.model.lm_head.weight)


@pytest.fixture
def shards(folder):
    """The folder of a sharded model, and a function that edits the weight_map of its index."""
    model = load_model(folder).model
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="20KB")

    def edit_map(edit):
        path = folder / "model.safetensors.index.json"
        index = json.loads(path.read_text())
        edit(index["weight_map"])
        path.write_text(json.dumps(index))

    return folder, edit_map


def test_index_that_omits_a_shard_is_refused(shards):
    folder, edit_map = shards

    def omit(weight_map):
        gone = weight_map["model.norm.weight"]
        for name in [name for name, file in weight_map.items() if file == gone]:
            del weight_map[name]

    edit_map(omit)
    with pytest.raises(
        ValueError, match=r"lacks \d+ expected tensor\(s\), .*take weights and config.json from the same"
    ):
        load_model(folder)


def test_shard_that_holds_other_tensors_than_its_index_says_is_refused(shards):
    folder, edit_map = shards
    edit_map(lambda weight_map: weight_map.pop("model.norm.weight"))
    with pytest.raises(ValueError, match=r"must hold the tensors that .* got 1 that only .*, model.norm.weight: take"):
        load_model(folder)


def test_shard_that_does_not_exist_is_refused(shards):
    folder, edit_map = shards
    edit_map(lambda weight_map: weight_map.update({"model.norm.weight": "model-9.safetensors"}))
    with pytest.raises(ValueError, match=r"lacks 1 weight file\(s\), model-9.safetensors: copy or download"):
        load_model(folder)


@pytest.mark.parametrize("file", ["../x.safetensors", "/x.safetensors", "a/x.safetensors", "x.bin", ".."])
def test_index_that_points_out_of_its_folder_is_refused(shards, file):
    folder, edit_map = shards
    edit_map(lambda weight_map: weight_map.update({"model.norm.weight": file}))
    with pytest.raises(ValueError, match=r"must name .safetensors files of its own folder, got \["):
        load_model(folder)


@pytest.mark.parametrize("index", ["{", "[]", "{}", '{"weight_map": [1]}', '{"weight_map": {"a": 1}}'])
def test_damaged_index_is_refused(shards, index):
    folder, _ = shards
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(
        ValueError, match=r"index.json (holds no weight_map of file names|is not readable JSON|must hold a)"
    ):
        load_model(folder)
