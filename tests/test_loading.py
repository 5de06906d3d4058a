"""`load_model` and the registry: what is loaded, and one clear sentence for everything that is not."""

import hashlib
import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from hooks import capture
from sample_models import load_model, model_folders, registry
from sample_models.id_tokenizer import IdTokenizer
from sample_models.loading import LoadedModel
from sample_models.registry import available_models
from tests.model_folders import TEXT, edit_config, save_model


@pytest.fixture
def folder(saved_model, tmp_path):
    return shutil.copytree(saved_model, tmp_path / "tiny")


def test_loaded_folder_is_in_eval_mode_and_knows_its_facts(folder):
    loaded = load_model(folder)
    assert not loaded.model.training
    assert loaded.name == "tiny"
    assert loaded.config.num_hidden_layers == 2
    assert loaded.heads_parameter_count == 2 * (8 + 4) * 16
    assert loaded.parameter_count == sum(tensor.numel() for tensor in load_file(folder / "model.safetensors").values())
    assert loaded.weights_sha256 == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert not loaded.gates_trained
    assert loaded.tokenizer.decode(loaded.tokenizer(TEXT).input_ids) == TEXT


def test_loading_says_nothing_on_the_terminal(folder, capfd):
    load_model(folder)
    assert capfd.readouterr() == ("", "")


def test_weights_are_taken_in_the_dtype_asked_for(folder):
    assert load_model(str(folder), dtype=torch.bfloat16).model.dtype == torch.bfloat16


def test_gates_trained_is_read_from_the_configuration(folder):
    edit_config(folder, gates_trained=True)
    assert load_model(folder).gates_trained


def test_dense_model_has_no_heads(tmp_path):
    assert load_model(save_model(tmp_path / "dense", ffn="dense")).heads_parameter_count == 0


def test_tied_model_loads_without_a_head_in_its_file(tmp_path):
    folder = save_model(tmp_path / "tied", tie_word_embeddings=True)
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    model = load_model(folder).model
    assert model.lm_head.weight is model.model.embed_tokens.weight


@pytest.mark.parametrize("field", ["_attn_implementation", "attn_implementation", "_attn_implementation_internal"])
def test_configuration_cannot_choose_an_attention_kernel(folder, field):
    edit_config(folder, **{field: "kernels-community/flash-attn2"})
    assert load_model(folder).config._attn_implementation == "sdpa"


def test_configuration_cannot_name_other_weights(folder):
    tensors = load_file(folder / "model.safetensors")
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, folder / "other.safetensors", {"format": "pt"})
    edit_config(folder, transformers_weights="other.safetensors")
    assert torch.equal(load_model(folder).model.lm_head.weight, tensors["lm_head.weight"])


def test_model_without_files_is_known_by_its_tensors(folder):
    loaded = load_model(folder)
    first = LoadedModel(loaded.model, loaded.tokenizer, "here").weights_sha256
    with torch.no_grad():
        loaded.model.lm_head.weight[0, 0] += 1
    assert LoadedModel(loaded.model, loaded.tokenizer, "here").weights_sha256 != first


@pytest.mark.parametrize("source", ["no-such-model", "./nowhere/at/all", "/nowhere", "runs/dens"])
def test_folder_that_does_not_exist_is_refused_without_asking_the_hub(source, monkeypatch):
    monkeypatch.setattr(model_folders, "snapshot_download", lambda *args, **kwargs: pytest.fail("asked the hub"))
    with pytest.raises(
        ValueError, match=r"no model folder and no shipped model at .*give an existing folder, a hub id as hf:org/name"
    ):
        load_model(source)


def test_model_without_any_tokenizer_reads_token_ids(folder):
    for path in folder.glob("*token*"):
        path.unlink()
    loaded = load_model(folder)
    assert loaded.reads_ids
    assert loaded.tokenizer("12 7\n299 ").input_ids == [12, 7, 299]
    assert loaded.tokenizer.decode([12, 7, 299]) == "12 7 299"
    assert capture(loaded, "12 7 299").tokens == ["12", "7", "299"]


@pytest.mark.parametrize("word", ["fox", "300", "-1", "07", "1.5", "١٢", "9" * 5000])
def test_text_that_is_no_token_id_is_refused(word):
    with pytest.raises(ValueError, match=r"no tokenizer: type token ids \(whole numbers from 0 to 299\) .*, got '"):
        IdTokenizer(300)(f"12 {word} 7")


def test_hub_id_is_fetched_without_code_and_its_configuration_first(folder, monkeypatch):
    asked = []

    def fetch(name, *, allow_patterns, revision):
        asked.append((name, allow_patterns, revision))
        return str(folder)

    monkeypatch.setattr(model_folders, "snapshot_download", fetch)
    assert load_model("hf:some-org/some.model").name == "some-org/some.model"
    assert load_model("hf:some-org/some.model@refs/pr/1").name == "some-org/some.model@refs/pr/1"
    patterns = ["config.json", "config.yaml"], ["*.json", "*.safetensors"]
    revisions = None, "refs/pr/1"
    assert asked == [("some-org/some.model", each, revision) for revision in revisions for each in patterns]


def test_hub_id_that_cannot_be_fetched_is_refused(monkeypatch):
    def fail(*args, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(model_folders, "snapshot_download", fail)
    with pytest.raises(ValueError, match=r"hf:org/name could not be fetched from the hub \(FileNotFoundError\): check"):
        load_model("hf:org/name")


@pytest.mark.parametrize("source", ["hf:", "hf:name", "hf:a/b/c", "hf:../x", "hf:a/b@", "hf:a/b@-x"])
def test_hub_id_must_read_org_and_name(source):
    with pytest.raises(ValueError, match=r"a hub id must read hf:org/name, got hf:"):
        load_model(source)


def test_existing_folder_is_never_taken_for_a_hub_id(folder, monkeypatch):
    monkeypatch.setattr(model_folders, "snapshot_download", lambda *args, **kwargs: pytest.fail("asked the hub"))
    monkeypatch.chdir(folder.parent.parent)
    assert load_model(f"{folder.parent.name}/tiny").name == "tiny"


def test_available_models_lists_the_default_first_and_only_our_models(tmp_path, monkeypatch):
    for name, model_type in (("a", "versatile_ffn"), (registry.DEFAULT_MODEL, "versatile_ffn"), ("b", "gpt2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({"model_type": model_type}))
    for name in ("b", "authors"):  # a config.json comes before the trainer's config.yaml
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "config.yaml").touch()
        (tmp_path / name / "model.pt").touch()
    (tmp_path / "empty").mkdir()
    found = available_models([tmp_path, tmp_path / "nowhere"])
    assert found == [(name, tmp_path / name) for name in (registry.DEFAULT_MODEL, "a", "authors")]


def test_folder_above_the_checkpoints_is_no_shipped_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^\.\. holds no model"):
        load_model("..")


def test_shipped_name_is_loaded_from_the_checkpoints(folder, monkeypatch):
    monkeypatch.setattr(model_folders, "CHECKPOINTS", folder.parent)
    assert load_model("tiny").name == "tiny"


def test_registry_does_not_import_torch():
    code = "import sys, sample_models.registry as r; r.available_models(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
