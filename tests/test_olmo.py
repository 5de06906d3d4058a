"""Checkpoints of the authors' trainer: every layout gives the released numbers, everything else one clear sentence."""

import base64
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from sample_models import load_model
from sample_models.conversion import import_olmo
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.olmo_weights import decode_name
from tests.golden_weights import golden
from tests.olmo_folders import (
    encode,
    golden_settings,
    in_groups,
    random_olmo,
    with_prefix,
    write_olmo,
)
from tests.olmo_reference import TOLERANCE, check_golden, olmo_logits

LAYOUTS = {
    "model.pt": (dict, "pt", {}),
    "encoded names": (dict, "encoded", {}),
    "plain names": (dict, "plain", {"block_type": "versatilevffn"}),
    "prefix outside, model.pt": (with_prefix, "pt", {}),
    "prefix inside, encoded": (lambda tensors: with_prefix(tensors, "inside"), "encoded", {}),
    "one group of all layers": (lambda tensors: in_groups(tensors, 3), "pt", {"block_group_size": 3}),
    "prefix and groups, encoded": (lambda t: with_prefix(in_groups(t, 3)), "encoded", {"block_group_size": 3}),
    "mlp_hidden_size": (dict, "pt", {"mlp_ratio": None, "mlp_hidden_size": 256}),
    "scientific notation that YAML takes for a string": (dict, "pt", {"layer_norm_eps": "1e-6"}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_released_numbers(tmp_path, layout):
    change, kind, settings = LAYOUTS[layout]
    folder = write_olmo(
        tmp_path / "tiny", change(golden("tiny/model_plainkeys")), kind=kind, settings=golden_settings(**settings)
    )
    loaded = load_model(folder)
    assert loaded.gates_trained and loaded.reads_ids and loaded.name == "tiny"
    check_golden(loaded)


def test_imported_folder_gives_the_released_numbers_and_is_all_there_is(tmp_path):
    said = []
    loaded = import_olmo(
        write_olmo(tmp_path / "source", kind="pt"), tmp_path / "new" / "tiny", progress=lambda *step: said.append(step)
    )
    check_golden(loaded)
    check_golden(load_model(tmp_path / "new" / "tiny"))
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["tiny"]
    written = {path.name for path in (tmp_path / "new" / "tiny").iterdir() if path.suffix != ".py"}  # beside its code
    assert written == {"config.json", "model.safetensors"}
    assert loaded.gates_trained and loaded.config.eos_token_id == 0 and loaded.config.max_position_embeddings == 64
    assert [step for step in said if step[0] == "reading tensors"] == [("reading tensors", i, 33) for i in range(33)]
    assert said[-1] == ("checking", 1, 1)


RANDOM = {
    "grouped heads": dict(block="versatile", kv_heads=2),
    "one key/value head": dict(block="versatile", kv_heads=1),
    "tied head, other theta and eps": dict(block="versatile", tied=True, rope_theta=500, layer_norm_eps=1e-3),
    "dense sequential block": dict(block="sequential", kv_heads=2),
    "dense llama block, tied": dict(block="llama", tied=True),
}


@pytest.mark.parametrize("case", RANDOM)
@torch.no_grad()
def test_random_checkpoint_gives_the_logits_of_a_plain_forward_pass(tmp_path, case):
    tensors, settings = random_olmo(**RANDOM[case])
    loaded = load_model(write_olmo(tmp_path, tensors, kind="pt", settings=settings))
    ids = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6, 49])
    expected = olmo_logits(tensors, settings, ids)
    model = loaded.model
    dense = RANDOM[case]["block"] in ("sequential", "llama")
    assert loaded.gates_trained is not dense
    if dense:  # the untrained gates aside, it is the dense model
        config = type(loaded.config)(**loaded.config.to_dict() | {"ffn": "dense"})
        model = VersatileFFNForCausalLM(config).eval()
        rest = model.load_state_dict(loaded.model.state_dict(), strict=False)
        assert not rest.missing_keys and all("router" in n or "depth_head" in n for n in rest.unexpected_keys)
    logits = model(ids[None]).logits[0]
    assert logits.shape == (9, 64)  # the padded columns are kept
    torch.testing.assert_close(logits, expected, rtol=0, atol=TOLERANCE)


def test_untrained_gates_are_the_same_every_time(tmp_path):
    tensors, settings = random_olmo("sequential")
    folder = write_olmo(tmp_path / "dense", tensors, settings=settings)
    first = load_model(folder).model.state_dict()
    second = import_olmo(folder, tmp_path / "new").model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert "router" in " ".join(first) and not load_model(tmp_path / "new").gates_trained


def test_weights_keep_their_type(tmp_path):
    tensors = {name: tensor.bfloat16() for name, tensor in golden("tiny/model_plainkeys").items()}
    import_olmo(write_olmo(tmp_path / "source", tensors, kind="pt"), tmp_path / "new")
    assert {tensor.dtype for tensor in load_file(tmp_path / "new" / "model.safetensors").values()} == {torch.bfloat16}
    assert load_model(tmp_path / "new").model.dtype == torch.float32


# Names in safetensors files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_encoded_name_is_read_in_every_protocol(protocol):
    assert decode_name(encode("transformer.wte.weight", protocol=protocol)) == "transformer.wte.weight"


class Evil:
    def __reduce__(self):
        return pytest.fail, ("a name was unpickled",)


@pytest.mark.parametrize(
    ("pickled", "sentence"),
    [
        (pickle.dumps(((Evil(),), False)), "opcode STACK_GLOBAL is not allowed"),
        (pickle.dumps(((Evil(),), False), protocol=0), "opcode GLOBAL is not allowed"),
        (pickle.dumps((("a", 7), False)), "opcode BININT1 is not allowed"),
        (pickle.dumps((["a"], False)), "opcode EMPTY_LIST is not allowed"),
        (pickle.dumps(("a", False)), r"must hold \(\(string, ...\), False\)"),
        (pickle.dumps((("a",), True)), "marks its value as pickled"),
        (pickle.dumps((("a",), False))[:-3], "is not base64 of a pickled tuple"),
        (b"\x80\x04\x86.", "a tuple of more items than the file has"),
        (b"\x80\x04t.", "is not base64 of a pickled tuple"),
        (b"", "is not base64 of a pickled tuple"),
    ],
)
def test_name_that_is_no_tuple_of_strings_is_refused_unread(tmp_path, pickled, sentence):
    folder = write_olmo(tmp_path)
    tensors = {base64.urlsafe_b64encode(pickled).decode(): torch.ones(1)}
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ValueError, match=sentence):
        load_model(folder)


def test_name_that_is_no_base64_is_refused(tmp_path):
    folder = write_olmo(tmp_path)
    save_file({"not base64!": torch.ones(1)}, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"the name 'not base64!' is not base64 of a pickled tuple .*authors' trainer"):
        load_model(folder)


def test_name_that_is_there_twice_is_refused(tmp_path):
    tensors = golden("tiny/model_plainkeys")
    tensors |= with_prefix({"transformer.ln_f.weight": torch.ones(64)})
    with pytest.raises(ValueError, match=r"holds transformer.ln_f.weight twice, with and without a wrapper's prefix"):
        load_model(write_olmo(tmp_path, tensors, kind="pt"))


# What does not fit ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("activation_type", "gelu", "must be swiglu .*, got gelu"),
        ("alibi", True, "must be false .*, got true"),
        ("attention_layer_norm", True, "must be false .*, got true"),
        ("bias_for_layer_norm", True, "must be false .*, got true"),
        ("clip_qkv", 8.0, "must be null .*, got 8.0"),
        ("embedding_layer_norm", True, "must be false .*, got true"),
        ("include_bias", True, "must be false .*, got true"),
        ("layer_norm_type", "default", "must be rms .*, got default"),
        ("layer_norm_with_affine", False, "must be true .*, got false"),
        ("norm_after", True, "must be false .*, got true"),
        ("rope", False, "must be true .*, got false"),
        ("scale_logits", True, "must be false .*, got true"),
    ],
)
def test_option_outside_the_family_is_refused_by_name(tmp_path, option, value, said):
    folder = write_olmo(tmp_path, settings=golden_settings(**{option: value}))
    with pytest.raises(ValueError, match=rf"config.yaml: {option} {said}: .* train one without this option"):
        load_model(folder)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sliding_window": 128}, "the option sliding_window: 128 is not known, .*: remove it if"),
        ({"block_type": "parallel"}, "block_type must be one of versatile, versatilevffn, .*, got parallel"),
        ({"block_type": ["x"]}, "block_type must be one of"),
        ({"d_model": 66}, "d_model must be a multiple of n_heads, got 66 and 4"),
        ({"d_model": "sixty"}, "d_model must be a positive number, got sixty"),
        ({"d_model": None}, "d_model must be a positive number, got null"),
        ({"n_layers": 2.5}, "n_layers must be a whole number, got 2.5"),
        ({"n_layers": -1}, "n_layers must be a positive number, got -1"),
        ({"n_layers": 10**400}, "n_layers must be a positive number, got 1000"),
        ({"block_group_size": 2}, "n_layers must be a multiple of block_group_size, got 3 and 2"),
        ({"n_kv_heads": 3}, "n_heads must be a multiple of n_kv_heads, got 4 and 3"),
        ({"n_kv_heads": 2, "multi_query_attention": True}, "asks for 1 key/value heads, n_kv_heads for 2: remove"),
        ({"multi_query_attention": "yes"}, "multi_query_attention must be true or false, got yes"),
        ({"embedding_size": 100}, "embedding_size must be at least vocab_size, got 100 and 128"),
        ({"mlp_hidden_size": 127}, "mlp_hidden_size: 127 must be even"),
        ({"rope_theta": "${theta}"}, r"rope_theta must be a positive number, got \$\{theta\}"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path, changes, sentence):
    folder = write_olmo(tmp_path, settings=golden_settings(**changes))
    with pytest.raises(ValueError, match=sentence):
        load_model(folder)


def test_layer_norm_type_that_is_absent_is_the_trainers_default(tmp_path):
    settings = golden_settings()
    del settings["layer_norm_type"]
    with pytest.raises(
        ValueError, match="layer_norm_type must be rms .*, got default, which the trainer uses if none is given"
    ):
        load_model(write_olmo(tmp_path, settings=settings))


def test_absent_options_that_the_weights_show_are_left_to_them(tmp_path):
    settings = golden_settings()
    for name in ("include_bias", "rope", "weight_tying", "embedding_size", "bias_for_layer_norm"):
        del settings[name]
    check_golden(load_model(write_olmo(tmp_path, settings=settings)))


@pytest.mark.parametrize(
    ("changes", "claim"),
    [
        ({"mlp_ratio": 8}, "mlp_ratio: 8 times d_model 64"),
        ({"mlp_ratio": 8, "mlp_hidden_size": 512}, "mlp_hidden_size: 512"),
    ],
)
def test_ffn_of_another_width_is_told_with_both_shapes(tmp_path, changes, claim):
    folder = write_olmo(tmp_path, settings=golden_settings(**changes))
    said = (
        rf"ff_out.weight in .* has shape \(64, 128\), but config.yaml \({claim}\) claims \(64, 256\): .*size: 256 there"
    )
    with pytest.raises(ValueError, match=said):
        load_model(folder)


def test_config_without_any_ffn_size_is_told_from_the_weights(tmp_path):
    tensors, settings = random_olmo("versatile", mlp_hidden_size=256)
    settings = settings | {"mlp_hidden_size": None, "mlp_ratio": None}
    said = r"config.yaml \(the trainer's default mlp_ratio 4 times d_model 32\) claims .*set mlp_hidden_size: 256 there"
    with pytest.raises(ValueError, match=said):
        load_model(write_olmo(tmp_path, tensors, settings=settings))


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda t: t.pop("transformer.ln_f.weight"), r"lacks 1 tensor\(s\) .*, transformer.ln_f.weight: take"),
        (
            lambda t: [t.pop(n) for n in list(t) if "expert_gate" in n or "depth_predictor" in n],
            r"lacks 6 tensor\(s\) .*depth_predictor.weight, .*: a dense checkpoint must say so, by block_type: seq",
        ),
        (lambda t: t.pop("transformer.blocks.2.depth_predictor.weight"), r"lacks 1 tensor\(s\)"),
        (
            lambda t: t.update({"transformer.blocks.0.q_norm.weight": torch.ones(64)}),
            r"holds 1 tensor\(s\) that have no place .*, transformer.blocks.0.q_norm.weight",
        ),
        (
            lambda t: t.update({"transformer.blocks.1.attn_out.weight": torch.ones(64, 32)}),
            r"attn_out.weight in .* has shape \(64, 32\), but config.yaml claims \(64, 64\): take",
        ),
        (
            lambda t: t.update({"transformer.ln_f.weight": torch.ones(1).expand(64)}),
            "holds fewer values of transformer.ln_f.weight than its shape has",
        ),
        (
            lambda t: t.update({"transformer.ln_f.weight": torch.ones(64, dtype=torch.int64)}),
            "must hold tensors in float32, float16 or bfloat16, got int64 in transformer.ln_f.weight",
        ),
        (lambda t: t["transformer.blocks.1.ff_norm.weight"].fill_(torch.nan), "was refused: its logits are not finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(tmp_path, edit, sentence):
    tensors = golden("tiny/model_plainkeys")
    edit(tensors)
    with pytest.raises(ValueError, match=sentence):
        load_model(write_olmo(tmp_path, tensors, kind="pt"))


def test_claim_of_layers_beyond_measure_is_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match=r"holds 27 tensors, too few for the n_layers: 10000000000 of config.yaml"):
        load_model(write_olmo(tmp_path, settings=golden_settings(n_layers=10**10)))


def test_width_that_eight_experts_cannot_share_is_refused(tmp_path):
    tensors, settings = random_olmo("versatile", mlp_hidden_size=120)
    with pytest.raises(ValueError, match="config.yaml claims a model that cannot be: .*multiple of num_experts"):
        load_model(write_olmo(tmp_path, tensors, settings=settings))


@pytest.mark.parametrize("kept", [0, 1, 400, -100])
@pytest.mark.parametrize("kind", ["pt", "encoded"])
def test_truncated_weights_are_refused(tmp_path, kind, kept):
    folder = write_olmo(tmp_path, kind=kind)
    path = next(folder.glob("model.*"))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"is not a complete .*: copy or download it again"):
        load_model(folder)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"model": {"a.b": torch.ones(1)}}, "must hold a flat state dict"),
        (torch.ones(1), "must hold a flat state dict"),
        (Evil(), "is not a complete file of tensors .*nothing but tensors is ever loaded"),
    ],
)
def test_model_pt_of_another_content_is_refused_unrun(tmp_path, content, sentence):
    folder = write_olmo(tmp_path, kind="pt")
    torch.save(content, folder / "model.pt")
    with pytest.raises(ValueError, match=sentence):
        load_model(folder)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("model: [", "config.yaml is not readable YAML"),
        ("model: !!python/object/apply:os.getcwd []", "is not readable YAML"),
        ("[" * 1000, "is not readable YAML"),
        ("- 1", "has no section `model:`"),
        ("model: {1: 2}", "has no section `model:`"),
        ("run_name: x", "has no section `model:`"),
        ("#" * (1 << 21), "has more than 1 MB"),
    ],
)
def test_config_that_is_none_is_refused(tmp_path, text, sentence):
    folder = write_olmo(tmp_path)
    (folder / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        load_model(folder)
