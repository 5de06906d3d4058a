"""Checkpoints of the authors' trainer that are more than one file, or lie on the hub."""

import shutil
from fnmatch import fnmatch

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from app.cli import main
from sample_models import load_model, model_folders
from sample_models.conversion import import_olmo
from sample_models.registry import available_models
from tests.golden_weights import golden
from tests.olmo_folders import golden_settings, in_hub_cache, in_parts, with_prefix, write_olmo
from tests.olmo_reference import check_golden


def test_sharded_checkpoint_is_refused_with_a_remedy(tmp_path):
    """What the trainer saves on many devices holds pieces of tensors, which its own script puts together."""
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"model": golden_settings()}))
    (tmp_path / "model").mkdir()
    torch.save({}, tmp_path / "model" / "rank0.pt")
    sentence = r"holds no weights: expected model.safetensors or .* or model.pt there; .*scripts/unshard.py SRC DST"
    with pytest.raises(ValueError, match=sentence):
        load_model(tmp_path)


@pytest.mark.parametrize("kind", ["encoded", "plain"])
def test_parts_that_an_index_names_are_one_checkpoint(tmp_path, kind):
    folder = in_parts(write_olmo(tmp_path / "tiny", kind=kind))
    loaded = load_model(folder)
    check_golden(loaded)
    whole = load_model(write_olmo(tmp_path / "whole", kind=kind))
    assert loaded.weights_sha256 != whole.weights_sha256  # of the files as they are
    check_golden(import_olmo(folder, tmp_path / "imported"))
    assert available_models([tmp_path])[0] == ("imported", tmp_path / "imported")
    assert ("tiny", folder) in available_models([tmp_path])


def test_part_that_is_missing_or_holds_other_tensors_is_refused(tmp_path):
    folder = in_parts(write_olmo(tmp_path / "tiny"))
    first, second, _ = sorted(folder.glob("model-*.safetensors"))
    save_file(load_file(second) | {"more": torch.ones(2)}, second)
    with pytest.raises(ValueError, match=r"must hold the tensors that .*index.json places in it, got 1 .*more"):
        load_model(folder)
    first.unlink()
    with pytest.raises(ValueError, match=r"lacks 1 weight file\(s\), model-00001-of-00003.safetensors: copy or downl"):
        load_model(folder)


def test_tensor_in_two_parts_under_two_names_is_refused(tmp_path):
    tensors = golden("tiny/model_plainkeys")
    tensors |= with_prefix({"transformer.ln_f.weight": torch.ones(64)})
    folder = in_parts(write_olmo(tmp_path, tensors, kind="plain"))
    with pytest.raises(ValueError, match=r"holds transformer.ln_f.weight twice, with and without"):
        load_model(folder)


# On the hub -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty hub cache, without a network behind it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


@pytest.mark.parametrize("kind", ["pt", "encoded", "parts"])
def test_checkpoint_on_the_hub_opens_by_its_id_and_is_imported(tmp_path, hub, kind):
    folder = write_olmo(tmp_path / "made", kind="encoded" if kind == "parts" else kind)
    in_hub_cache(hub, "some-org/tiny", in_parts(folder) if kind == "parts" else folder)
    loaded = load_model("hf:some-org/tiny")
    assert loaded.name == "some-org/tiny"
    check_golden(loaded)
    check_golden(import_olmo("hf:some-org/tiny", tmp_path / "imported"))
    assert main(["import-olmo", "hf:some-org/tiny", str(tmp_path / "by command")]) == 0


def test_hub_checkpoint_that_is_neither_here_nor_to_be_had_is_told_in_a_sentence(hub):
    sentence = r"^hf:org/name could not be fetched from the hub \(LocalEntryNotFoundError\): check the spelling and the"
    with pytest.raises(ValueError, match=sentence):
        load_model("hf:org/name")


def test_only_what_the_model_needs_is_fetched_and_its_options_come_first(tmp_path, monkeypatch):
    """Of a checkpoint with its optimiser, pickled and not; the pickled model only where there is no other."""
    remote = write_olmo(tmp_path / "remote")
    for name in ("optim.safetensors", "optim.pt", "train.pt", "model.pt", "code.py"):
        (remote / name).write_bytes(b"")
    here = tmp_path / "here"
    here.mkdir()

    def download(name, *, allow_patterns, revision):
        for file in remote.iterdir():
            if any(fnmatch(file.name, pattern) for pattern in allow_patterns):
                shutil.copy(file, here)
        return str(here)

    monkeypatch.setattr(model_folders, "snapshot_download", download)
    check_golden(load_model("hf:org/name"))
    assert sorted(path.name for path in here.iterdir()) == ["config.yaml", "model.safetensors"]

    shutil.rmtree(here)
    here.mkdir()
    write_olmo(remote, kind="pt")
    (remote / "model.safetensors").unlink()
    check_golden(load_model("hf:org/name"))
    assert sorted(path.name for path in here.iterdir()) == ["config.yaml", "model.pt"]

    shutil.rmtree(here)
    here.mkdir()
    write_olmo(remote, kind="pt", settings=golden_settings(clip_qkv=8.0))
    with pytest.raises(ValueError, match="clip_qkv"):
        load_model("hf:org/name")
    assert [path.name for path in here.iterdir()] == ["config.yaml"]
