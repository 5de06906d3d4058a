"""`load_model` and the registry: what is loaded, and one clear sentence for everything that is not."""

import hashlib
import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from hooks import capture
from sample_models import load_model, model_folders, registry
from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.id_tokenizer import IdTokenizer
from sample_models.loading import LoadedModel
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.registry import available_models
from sample_models.self_check import check_model
from sample_models.text_data import train_tokenizer

SIZES = dict(vocab_size=300, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
TEXT = "the king and the queen\n"


def save_model(folder, **settings):
    """A small model folder with fresh weights and a tokenizer."""
    torch.manual_seed(0)
    model = VersatileFFNForCausalLM(VersatileFFNConfig(**SIZES | dict(eos_token_id=0, bos_token_id=None) | settings))
    model.save_pretrained(folder)
    text = folder.parent / "text.txt"
    text.write_text(TEXT * 20)
    train_tokenizer([text], 300, 64).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(tmp_path):
    return save_model(tmp_path / "tiny")


def edit_config(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def edit_weights(folder, edit):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


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
    with pytest.raises(ValueError, match=r"index.json holds no weight_map of file names: save the model again"):
        load_model(folder)


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


def test_file_in_place_of_a_folder_is_refused(folder):
    with pytest.raises(ValueError, match=r"expected the folder of a model, got the file .*config.json"):
        load_model(folder / "config.json")


def test_folder_that_holds_no_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds no model: expected config.json there"):
        load_model(tmp_path)


def test_other_kind_of_model_is_refused(folder):
    edit_config(folder, model_type="llama")
    with pytest.raises(ValueError, match=r"must have model_type 'versatile_ffn', got 'llama'"):
        load_model(folder)


def test_config_that_is_no_json_is_refused(folder):
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"must have model_type 'versatile_ffn', got None"):
        load_model(folder)


def test_sizes_that_do_not_fit_are_refused(folder):
    edit_config(folder, num_experts=7)
    with pytest.raises(ValueError, match=r"config.json has a field that does not fit: .*multiple of num_experts"):
        load_model(folder)


def test_config_field_of_the_wrong_type_is_refused(folder):
    edit_config(folder, max_loops="four")
    with pytest.raises(ValueError, match=r"config.json has a field that does not fit: .*max_loops"):
        load_model(folder)


def test_folder_without_weights_is_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"holds no weights: expected model.safetensors there"):
        load_model(folder)


@pytest.mark.parametrize("kept", [0, 4, 100, -10])
def test_truncated_weights_are_refused(folder, kept):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"model.safetensors is no whole safetensors file .*download it again"):
        load_model(folder)


def test_missing_tensor_is_refused_by_name(folder):
    edit_weights(folder, lambda tensors: tensors.pop("model.layers.1.mlp.depth_head.weight"))
    with pytest.raises(ValueError, match=r"lacks 1 expected tensor\(s\), model.layers.1.mlp.depth_head.weight"):
        load_model(folder)


def test_unexpected_tensor_is_refused_by_name(folder):
    edit_weights(folder, lambda tensors: tensors.update({"model.layers.2.mlp.norm.weight": torch.ones(16)}))
    with pytest.raises(ValueError, match=r"holds 1 unexpected tensor\(s\), model.layers.2.mlp.norm.weight"):
        load_model(folder)


def test_tensor_of_another_shape_is_refused_with_both_shapes(folder):
    edit_weights(folder, lambda tensors: tensors.update({"model.norm.weight": torch.ones(8)}))
    with pytest.raises(ValueError, match=r"model.norm.weight in .* must have shape \(16,\) by config.json, got \(8,\)"):
        load_model(folder)


def test_folder_with_a_tokenizer_of_another_format_is_refused(folder):
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"holds a tokenizer of another format \(tokenizer_config.json\): expected"):
        load_model(folder)


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
    with pytest.raises(ValueError, match=r"no tokenizer: type token ids, whole numbers from 0 to 299 .*, got '"):
        IdTokenizer(300)(f"12 {word} 7")


@pytest.mark.parametrize("content", ["{", "{}", "[1]"])
def test_damaged_tokenizer_is_refused(folder, content):
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(ValueError, match=r"the tokenizer in .* cannot be read .*: copy or save it again"):
        load_model(folder)


def test_tokenizer_with_more_tokens_than_embeddings_is_refused(folder):
    tokenizer = load_model(folder).tokenizer
    tokenizer.add_tokens([f"<extra {i}>" for i in range(300)])
    tokenizer.save_pretrained(folder)
    with pytest.raises(ValueError, match=r"must have at most vocab_size = 300 tokens, got \d+"):
        load_model(folder)


def test_weights_that_are_not_finite_are_refused(folder):
    edit_weights(folder, lambda tensors: tensors["model.norm.weight"].fill_(float("nan")))
    with pytest.raises(ValueError, match=r"was refused: its logits are not finite"):
        load_model(folder)


def test_model_whose_parts_do_not_add_up_is_refused_naming_layer_and_gap(folder):
    model = load_model(folder).model
    check_model(model)
    model.model.layers[1].mlp.hook_out.register_forward_hook(lambda module, inputs, output: 1.5 * output)
    with pytest.raises(ValueError, match=r"FFN output of layer 1 must equal .* got a gap of 0\.33"):
        check_model(model)


def test_hub_id_is_fetched_without_code_and_its_configuration_first(folder, monkeypatch):
    asked = []

    def fetch(name, *, allow_patterns):
        asked.append((name, allow_patterns))
        return str(folder)

    monkeypatch.setattr(model_folders, "snapshot_download", fetch)
    assert load_model("hf:some-org/some.model").name == "some-org/some.model"
    configs = ("some-org/some.model", ["config.json", "config.yaml"])
    assert asked == [configs, ("some-org/some.model", ["*.json", "*.safetensors"])]


def test_hub_id_that_cannot_be_fetched_is_refused(monkeypatch):
    def fail(*args, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(model_folders, "snapshot_download", fail)
    with pytest.raises(ValueError, match=r"hf:org/name could not be fetched from the hub \(FileNotFoundError\): check"):
        load_model("hf:org/name")


@pytest.mark.parametrize("source", ["hf:", "hf:name", "hf:a/b/c", "hf:../x"])
def test_hub_id_must_read_org_and_name(source):
    with pytest.raises(ValueError, match=r"a hub id must read hf:org/name, got hf:"):
        load_model(source)


def test_existing_folder_is_never_taken_for_a_hub_id(folder, monkeypatch):
    monkeypatch.setattr(model_folders, "snapshot_download", lambda *args, **kwargs: pytest.fail("asked the hub"))
    monkeypatch.chdir(folder.parent.parent)
    assert load_model(f"{folder.parent.name}/tiny").name == "tiny"


def test_available_models_lists_the_default_first_and_only_our_models(tmp_path, monkeypatch):
    for name, model_type in (("a", "versatile_ffn"), (registry.DEFAULT_MODEL, "versatile_ffn"), ("b", "llama")):
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
