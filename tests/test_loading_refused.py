"""A model folder that cannot be loaded is refused in one sentence that names what is wrong and what to do."""

import shutil

import pytest
import torch

from sample_models import load_model
from sample_models.self_check import check_model
from tests.model_folders import edit_config, edit_weights


@pytest.fixture
def folder(saved_model, tmp_path):
    return shutil.copytree(saved_model, tmp_path / "tiny")


def test_file_in_place_of_a_folder_is_refused(folder):
    with pytest.raises(ValueError, match=r"expected the folder of a model, got the file .*config.json"):
        load_model(folder / "config.json")


def test_folder_that_holds_no_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds no model: expected config.json there"):
        load_model(tmp_path)


def test_other_kind_of_model_is_refused(folder):
    edit_config(folder, model_type="gpt2")
    with pytest.raises(ValueError, match=r"must have model_type 'versatile_ffn'.*, got 'gpt2'"):
        load_model(folder)


def test_config_that_is_no_json_is_refused(folder):
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config.json is not readable JSON .*: copy or download it again"):
        load_model(folder)


def test_sizes_that_do_not_fit_are_refused(folder):
    edit_config(folder, num_experts=7)
    with pytest.raises(ValueError, match=r"config.json has a field that does not fit .*multiple of num_experts"):
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
    with pytest.raises(ValueError, match=r"model.safetensors is not a complete safetensors file .*download it again"):
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


def test_parts_that_do_not_add_up_are_found_beside_a_first_token_of_a_huge_stream(folder):
    model = load_model(folder).model
    with torch.no_grad():
        model.model.embed_tokens.weight[0] *= 1e6
    check_model(model)

    def spoil(module, inputs, output):
        output = output.clone()
        output[:, 7] *= 1.5
        return output

    model.model.layers[1].mlp.hook_out.register_forward_hook(spoil)
    with pytest.raises(ValueError, match=r"FFN output of layer 1 must equal .* got a gap of 0\.33"):
        check_model(model)


@pytest.mark.parametrize(("weight", "head"), [("depth_head", "depth head"), ("router", "router")])
@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_head_that_is_not_finite_is_refused_even_where_the_models_logits_are_finite(folder, weight, head, value):
    def spoil(tensors):
        tensors[f"model.layers.1.mlp.{weight}.weight"][0, 0] = value

    edit_weights(folder, spoil)
    with pytest.raises(ValueError, match=rf"logits (of the {head} of layer 1 )?are not finite"):
        load_model(folder)
