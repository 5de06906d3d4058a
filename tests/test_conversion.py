"""Imported and upcycled folders appear whole or not at all, and hold the model that came in."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from transformers import LlamaConfig, LlamaForCausalLM

from app.cli import main
from hooks import capture
from sample_models import conversion, import_olmo, load_model, upcycle
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from tests.golden_weights import golden
from tests.models import byte_tokenizer
from tests.olmo_folders import random_olmo, write_olmo


def refused(capsys, *arguments) -> str:
    assert main([str(argument) for argument in arguments]) == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told
    return told.splitlines()[-1]


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def source(tmp_path):
    return write_olmo(tmp_path / "source")


@pytest.fixture
def words(tmp_path):
    """A folder with a tokenizer of 257 tokens."""
    byte_tokenizer().save_pretrained(tmp_path / "words")
    return tmp_path / "words"


def test_command_writes_the_folder_and_says_what_it_is(source, tmp_path, capsys):
    (tmp_path / "new").mkdir()  # an empty folder may be there
    assert main(["import-olmo", str(source), str(tmp_path / "new")]) == 0
    said = capsys.readouterr()
    assert said.out.strip().split("\t")[1:] == ["0.1 M parameters", "no tokenizer: it reads token ids", "gates trained"]
    lines = said.err.splitlines()
    assert lines[0] == "reading tensors: 0 of 33" and lines[-2:] == ["writing weights ...", "checking ..."]
    assert load_model(tmp_path / "new").gates_trained
    assert main(["models", "--models", str(tmp_path)]) == 0
    listed = capsys.readouterr().out
    assert f"new\t{tmp_path / 'new'}\n" in listed
    assert f"source\t{source}\tcheckpoint of the authors' trainer\n" in listed
    assert main(["trace", "1 2 3", "--model", str(tmp_path / "new"), "--out", str(tmp_path / "traced")]) == 0
    assert "new: it has no tokenizer, so the text is read as token ids" in capsys.readouterr().err


def test_target_that_holds_something_is_left_alone(source, tmp_path, capsys):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine").write_text("mine")
    assert "exists and is not empty" in refused(capsys, "import-olmo", source, tmp_path / "new")
    assert "exists and is not empty" in refused(capsys, "import-olmo", source, tmp_path / "new" / "mine")
    assert (tmp_path / "new" / "mine").read_text() == "mine"


def test_an_exported_model_holds_its_code_and_routes_the_same(tmp_path, capsys):
    assert main(["export-model", "versatile-4l-0.4m", str(tmp_path / "portable")]) == 0
    assert capsys.readouterr().out == f"versatile-4l-0.4m\t{tmp_path / 'portable'}\n"
    assert {"modeling_versatile.py", "model.safetensors", "tokenizer.json"} <= set(names(tmp_path / "portable"))
    assert "AutoModelForCausalLM" in json.loads((tmp_path / "portable" / "config.json").read_text())["auto_map"]
    first, again = (capture(load_model(each), "A fox.") for each in ("versatile-4l-0.4m", tmp_path / "portable"))
    assert (first.loops == again.loops).all() and (first.logprob == again.logprob)[1:].all()
    assert "exists and is not empty" in refused(capsys, "export-model", "versatile-4l-0.4m", tmp_path / "portable")


@pytest.mark.parametrize("fails_at", ["save_file", "load_model"])
def test_import_that_fails_leaves_nothing(source, tmp_path, monkeypatch, capsys, fails_at):
    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(conversion, fails_at, fail)
    told = refused(capsys, "import-olmo", source, tmp_path / "new")
    assert told == f"cannot write {tmp_path / 'new'} (No space left on device)"
    assert names(tmp_path) == ["source"]


def test_what_a_killed_import_left_goes_with_the_next_and_what_another_writes_stays(source, tmp_path):
    for name in (".new-killed", ".new-running", ".new-mine"):
        (tmp_path / name / "new").mkdir(parents=True)
        if name != ".new-mine":
            (tmp_path / name / conversion.LOCK).touch()
    with FileLock(tmp_path / ".new-running" / conversion.LOCK):
        import_olmo(source, tmp_path / "new")
    assert names(tmp_path) == [".new-mine", ".new-running", "new", "source"]


def test_weights_that_are_not_finite_are_refused_by_name(tmp_path, capsys):
    tensors = golden("tiny/model_plainkeys")
    tensors["transformer.wte.weight"][99, 1] = torch.inf  # a row that no check of a running model may meet
    told = refused(capsys, "import-olmo", write_olmo(tmp_path / "source", tensors), tmp_path / "new")
    assert "model.embed_tokens.weight of" in told and "not finite" in told
    assert names(tmp_path) == ["source"]


@pytest.mark.parametrize(
    ("verb", "source", "remedy"),
    [
        ("import-olmo", "nowhere", "give"),
        ("import-olmo", "empty", "give"),
        ("upcycle", "nowhere", "is not a folder: give the folder of a checkpoint"),
        ("upcycle", "empty", "must hold a model of model_type 'llama'"),
    ],
)
def test_folder_that_is_no_checkpoint_is_refused(verb, source, remedy, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    told = refused(capsys, verb, tmp_path / source, tmp_path / "new")
    assert str(tmp_path / source) in told and remedy in told
    assert not (tmp_path / "new").exists()


# Tokenizers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["beside", "folder", "file"])
def test_tokenizer_is_taken_along(words, tmp_path, way):
    torch.manual_seed(0)
    tensors, settings = random_olmo("versatile")
    tensors |= {name: torch.randn(300, 32) for name in ("transformer.wte.weight", "transformer.ff_out.weight")}
    settings |= {"vocab_size": 257, "embedding_size": 300}
    source = write_olmo(tmp_path / "source", tensors, settings=settings)
    if way == "beside":
        shutil.copytree(words, source, dirs_exist_ok=True)
    named = {"beside": None, "folder": words, "file": words / "tokenizer.json"}[way]
    loaded = import_olmo(source, tmp_path / "new", tokenizer=named)
    assert not loaded.reads_ids
    assert load_model(tmp_path / "new").tokenizer.decode(loaded.tokenizer("a fox").input_ids) == "a fox"
    trace = capture(loaded, "a fox")
    padded = trace.next_ids >= 257  # rows of the embedding that belong to no token
    assert padded.any() and np.array(trace.next_tokens)[padded].tolist() == [f"⟨#{i}⟩" for i in trace.next_ids[padded]]


def test_tokenizer_that_does_not_fit_is_refused(source, words, tmp_path, capsys):
    for tokenizer in (words, words / "tokenizer.json"):
        told = refused(capsys, "import-olmo", source, tmp_path / "new", "--tokenizer", tokenizer)
        assert "must have at most vocab_size = 128 tokens, got 257" in told
    for tokenizer, sentence in ((tmp_path / "nowhere", "no tokenizer at"), (source, "holds no tokenizer.json")):
        assert sentence in refused(capsys, "import-olmo", source, tmp_path / "new", "--tokenizer", tokenizer)
    (tmp_path / "broken.json").write_text("{")
    told = refused(capsys, "import-olmo", source, tmp_path / "new", "--tokenizer", tmp_path / "broken.json")
    assert "cannot be read" in told
    assert not (tmp_path / "new").exists()


# Upcycling ------------------------------------------------------------------------------------------------------------


def llama_folder(folder, **changes):
    """A random Llama as transformers saves it."""
    torch.manual_seed(0)
    sizes = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, vocab_size=300)
    fields = dict(num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5, eos_token_id=256)
    rope = {"rope_type": "llama3", "rope_theta": 500.0, "factor": 4.0, "low_freq_factor": 1.0}
    rope |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 16}
    model = LlamaForCausalLM(LlamaConfig(**sizes | fields | {"rope_parameters": rope} | changes)).eval()
    model.save_pretrained(folder)
    return model


def dense_logits(model: VersatileFFNForCausalLM, ids: torch.Tensor) -> torch.Tensor:
    """Logits of the model with every FFN passed once, as if it had no gates."""
    dense = VersatileFFNForCausalLM(type(model.config)(**model.config.to_dict() | {"ffn": "dense"})).eval()
    dense.load_state_dict(model.state_dict(), strict=False)
    return dense(ids).logits


@pytest.mark.parametrize("tied", [False, True])
@torch.no_grad()
def test_upcycled_llama_is_that_llama_with_untrained_gates(words, tmp_path, capsys, tied):
    llama = llama_folder(tmp_path / "llama", tie_word_embeddings=tied)
    shutil.copytree(words, tmp_path / "llama", dirs_exist_ok=True)
    assert main(["upcycle", str(tmp_path / "llama"), str(tmp_path / "new")]) == 0
    assert "gates untrained: the routing is noise" in capsys.readouterr().out
    loaded = load_model(tmp_path / "new")
    assert not loaded.gates_trained and not loaded.reads_ids
    assert loaded.heads_parameter_count == 2 * (8 + 4) * 32
    ids = torch.tensor([[1, 2, 3, 4, 5, 250, 7]])
    torch.testing.assert_close(dense_logits(loaded.model, ids), llama(ids).logits, rtol=0, atol=1e-5)


def test_dense_model_of_this_project_is_upcycled(tmp_path):
    tensors, settings = random_olmo("sequential")
    first = import_olmo(write_olmo(tmp_path / "olmo", tensors, settings=settings), tmp_path / "first")
    dense = VersatileFFNForCausalLM(type(first.config)(**first.config.to_dict() | {"ffn": "dense"}))
    dense.load_state_dict(first.model.state_dict(), strict=False)
    dense.save_pretrained(tmp_path / "dense")
    second = upcycle(tmp_path / "dense", tmp_path / "second")
    assert all(
        torch.equal(tensor, first.model.state_dict()[name]) for name, tensor in second.model.state_dict().items()
    )
    with pytest.raises(ValueError, match="must hold a dense model, got ffn 'versatile': this one already has gates"):
        upcycle(tmp_path / "second", tmp_path / "third")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"hidden_act": "gelu"}, "hidden_act must be 'silu'"),
        ({"attention_bias": True}, "attention_bias must be False"),
        ({"mlp_bias": True}, "mlp_bias must be False"),
        ({"intermediate_size": 60}, "cannot become a VersatileFFN: .*multiple of num_experts"),
    ],
)
def test_llama_outside_the_family_is_refused_by_name(tmp_path, changes, sentence):
    llama_folder(tmp_path / "llama", **changes)
    with pytest.raises(ValueError, match=sentence):
        upcycle(tmp_path / "llama", tmp_path / "new")


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda folder: (folder / "model.safetensors").write_bytes(b"no"), "is not a complete safetensors file"),
        (lambda folder: (folder / "model.safetensors").unlink(), "holds no weights"),
        (lambda folder: edit_config(folder, model_type="gpt2"), "must hold a model of model_type 'llama' .*got 'gpt2'"),
        (lambda folder: edit_config(folder, num_hidden_layers=3), r"lacks 9 expected tensor\(s\)"),
        (lambda folder: edit_config(folder, vocab_size=301), r"must have shape \(301, 32\) by config.json, got \(300"),
        (lambda folder: edit_config(folder, hidden_size="big"), "has a field that does not fit: .*hidden_size"),
        (
            lambda folder: (folder / "config.yaml").touch() or (folder / "config.json").unlink(),
            "give it to import-olmo",
        ),
    ],
)
def test_folder_that_is_no_whole_llama_is_refused(tmp_path, edit, sentence):
    llama_folder(tmp_path / "llama")
    edit(tmp_path / "llama")
    with pytest.raises(ValueError, match=sentence):
        upcycle(tmp_path / "llama", tmp_path / "new")
    assert names(tmp_path) == ["llama"]


def edit_config(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


# Memory ---------------------------------------------------------------------------------------------------------------


IMPORTING = """
import sys
from sample_models import import_olmo

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

small, large = sys.argv[1:]
import_olmo(small, small + "-new")  # all libraries and their buffers are there now
before = peak()
import_olmo(large, large + "-new")
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured on Linux only")
@pytest.mark.parametrize(("dtype", "kind", "limit"), [(torch.float32, "encoded", 1.2), (torch.bfloat16, "pt", 1.7)])
def test_whole_import_takes_little_more_memory_than_the_float32_model(tmp_path, dtype, kind, limit):
    """In float32 weights: 1.0 from float32, whose mapped file is the model; 1.5 from bfloat16, file and model."""
    small, large = tmp_path / "small", tmp_path / "large"
    tensors, settings = random_olmo("versatile")
    write_olmo(small, tensors, settings=settings)
    sizes = dict(d_model=1024, n_heads=128, n_layers=2, mlp_hidden_size=8192)
    tensors, settings = random_olmo("versatile", kv_heads=128, **sizes)
    weights = 4 * sum(tensor.numel() for tensor in tensors.values())
    write_olmo(large, {name: tensor.to(dtype) for name, tensor in tensors.items()}, kind=kind, settings=settings)
    del tensors
    root = Path(__file__).parents[1]
    child = subprocess.run(
        [sys.executable, "-c", IMPORTING, small, large], cwd=root, capture_output=True, text=True, timeout=300
    )
    assert child.returncode == 0, child.stderr
    assert weights > 120_000_000 and int(child.stdout) < limit * weights
    for folder in tmp_path.iterdir():  # hundreds of megabytes that no later session needs to find
        shutil.rmtree(folder)
