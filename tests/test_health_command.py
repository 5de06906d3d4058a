"""`python -m app check`: what it says of healthy and of damaged models, and its exit codes."""

from shutil import copytree

import pytest
import torch
from safetensors.torch import load_file, save_file

from app.cli import main
from app.texts.examples import CHECKED
from sample_models.registry import CHECKPOINTS, DEFAULT_MODEL
from tests.golden_weights import golden
from tests.olmo_folders import write_olmo

TEXTS = CHECKED[:3]


@pytest.fixture
def copied(tmp_path):
    """A copy of the shipped model's folder, and its weights."""
    copytree(CHECKPOINTS / DEFAULT_MODEL, tmp_path / "copy")
    return tmp_path / "copy", load_file(tmp_path / "copy" / "model.safetensors")


def test_command_passes_a_healthy_model_on_the_readers_text(tmp_path, capsys):
    (tmp_path / "text.txt").write_text("\n\n".join(TEXTS), encoding="utf-8")
    code = main(["check", DEFAULT_MODEL, "--file", str(tmp_path / "text.txt"), "--per", "paragraph"])
    lines = capsys.readouterr().out.splitlines()
    assert code == 0 and lines[-1].startswith(f"{DEFAULT_MODEL} is healthy (effect not shown: ")
    assert lines[0].startswith("healthy           weights: 0 of 4,464,576 not finite")


def test_command_condemns_missing_and_damaged_weights(copied, capsys):
    folder, weights = copied
    save_file({k: v for k, v in weights.items() if "depth_head" not in k}, folder / "model.safetensors")
    assert main(["check", str(folder)]) == 1
    assert "sick              weights: " in (said := capsys.readouterr().out) and "lacks 6 expected tensor(s)" in said
    weights["model.norm.weight"][:] = torch.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert main(["check", str(folder)]) == 1
    assert "its logits are not finite" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["pt", "encoded"])
def test_command_condemns_missing_and_damaged_weights_of_the_authors(tmp_path, capsys, kind):
    weights = golden("tiny/model_plainkeys")
    lacking = {name: tensor for name, tensor in weights.items() if "depth_predictor" not in name}
    damaged = weights | {"transformer.ln_f.weight": torch.full_like(weights["transformer.ln_f.weight"], torch.nan)}
    for tensors, said in ((lacking, "lacks 3 tensor(s)"), (damaged, "its logits are not finite")):
        assert main(["check", str(write_olmo(tmp_path / "tiny", tensors, kind=kind))]) == 1
        answer = capsys.readouterr().out
        assert answer.startswith("sick              weights: ") and said in answer
    file = next((tmp_path / "tiny").glob("model.*"))
    file.write_bytes(file.read_bytes()[:5000])
    assert main(["check", str(tmp_path / "tiny")]) == 1
    assert "is not a complete" in capsys.readouterr().out
    (tmp_path / "tiny" / "config.yaml").write_text("model: 3")
    assert main(["check", str(tmp_path / "tiny")]) == 2


def test_command_tells_bad_input_from_a_sick_model(copied, capsys):
    assert main(["check", "nowhere"]) == 2
    assert "no model folder and no shipped model at nowhere" in capsys.readouterr().err
    (copied[0] / "tokenizer.json").write_text("{")
    assert main(["check", str(copied[0])]) == 2
    assert "the tokenizer in" in capsys.readouterr().err
