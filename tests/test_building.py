"""Models built on this machine: from a pinned package and the update that ships, whole or not at all."""

import hashlib
import json
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from analysis.models.training import read_curves
from app.cli import main as command
from app.pages import PAGES
from app.server import model_building, models
from app.texts.examples import EXAMPLES, shipped_trace
from hooks import RoutingTrace, capture, to_bridge
from sample_models import DEFAULT_MODEL, default_models, load_model, model_card, recipes
from sample_models.distil import publish
from sample_models.distil.__main__ import main as distil
from sample_models.distil.building import build_model
from sample_models.distil.evaluation import bytes_of
from sample_models.distil.run import UPDATE
from sample_models.recipes import built_roots
from tests.app_in_process import captions, press, trace_text, turn_to
from tests.dense_models import write_dense, write_gguf
from tests.models import byte_tokenizer


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder of a run, wheel that holds its dense model): a distillation of one step."""
    root = tmp_path_factory.mktemp("made")
    text = root / "text.txt"
    text.write_text("\n<|endoftext|>\n".join("The cat sat on the mat, and the dog ran on." * 3 for _ in range(9)))
    write_gguf(root / "dense.gguf", write_dense(root / "dense"))
    options = "--layer-steps 1 --steps 1 --context 16 --rank 2 --no-compile --no-bf16 --device cpu --valid-windows 1"
    files = ["--data", str(text), "--valid", str(text), "--out", str(root / "run")]
    distil(["--dense", str(root / "dense.gguf"), *files, *options.split()])
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
    fields["update_sha256"] = recipes.update_digest([folder / "update.safetensors"])
    (folder / "recipe.json").write_text(json.dumps(fields))
    monkeypatch.setattr(recipes, "UPDATES", tmp_path / "updates")
    monkeypatch.setattr(recipes, "cache", lambda: tmp_path / "cache")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    return folder / "recipe.json"


def test_built_model_is_the_one_that_was_trained(made, recipe):
    steps = []
    folder = build_model("tiny", progress=lambda what, done, of: steps.append((what, done, of)))
    assert steps == [("downloading", 0, 3), ("building", 1, 3), ("checking", 2, 3), ("done", 3, 3)]
    ours, trained = load_file(folder / "model.safetensors"), load_file(made[0] / "model.safetensors")
    assert ours.keys() == trained.keys() and all(torch.equal(ours[name], trained[name]) for name in ours)
    assert load_model(folder).name == "tiny" and built_roots() == [folder.parent]


def test_model_that_was_built_is_not_built_again(recipe, monkeypatch):
    folder = build_model("tiny")
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    assert build_model("tiny") == folder


def test_another_update_is_another_model(recipe):
    before = build_model("tiny")
    update = recipe.parent / "update.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(update).items()}, update)
    fields = json.loads(recipe.read_text()) | {"update_sha256": recipes.update_digest([update])}
    recipe.write_text(json.dumps(fields))
    assert built_roots() == []
    assert build_model("tiny") != before


def test_damaged_update_is_refused(recipe):
    (recipe.parent / "update.safetensors").write_bytes(b"cut short")
    with pytest.raises(ValueError, match="the update in .* is damaged: restore its files"):
        build_model("tiny")


def test_command_builds_the_model_and_then_its_name_loads_it(recipe, capsys):
    assert command(["trace", "A fox.", "--model", "tiny", "--out", str(recipe.parent / "out")]) == 2
    assert "tiny is built on this machine first: run `python -m app get-model tiny`" in capsys.readouterr().err
    assert command(["get-model"]) == 0
    folder = capsys.readouterr().out.strip().partition("\t")[2]
    assert command(["models"]) == 0
    assert f"tiny\t{folder}" in capsys.readouterr().out
    assert load_model("tiny").folder == Path(folder)
    assert default_models() == ["tiny", DEFAULT_MODEL] and load_model().name == "tiny"
    waiting = shipped_trace(Path(folder), EXAMPLES["echo"].text)
    fresh = capture(load_model(), EXAMPLES["echo"].text)
    assert waiting.meta["model"] == "tiny" and waiting.loops.tolist() == fresh.loops.tolist()
    assert command(["get-model", "other"]) == 2
    assert "cannot build a model other: the known names are tiny" in capsys.readouterr().err


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"package": "tiny-dense==2.0"}])
def test_package_that_is_missing_or_another_is_refused_and_leaves_nothing(recipe, tmp_path, change):
    recipe.write_text(json.dumps(json.loads(recipe.read_text()) | change))
    with pytest.raises(ValueError, match="could not be downloaded .*: connect to a package index and try again"):
        build_model("tiny")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] and built_roots() == []


def test_build_without_what_the_extra_brings_is_refused_by_its_name(recipe, monkeypatch):
    monkeypatch.setattr("sample_models.distil.building.find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"built with pip and gguf, not installed here: install 'versatileffn\[train\]'"
    ):
        build_model("tiny")


def test_build_that_is_interrupted_leaves_nothing(recipe, tmp_path):
    def interrupted(loaded):
        (loaded.folder / "half.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_model("tiny", finish=interrupted)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] and built_roots() == []


def test_name_without_a_recipe_is_refused(recipe):
    with pytest.raises(ValueError, match="cannot build a model 'other': the known names are tiny"):
        build_model("other")


def test_published_run_builds_the_model_and_its_card_tells_its_figures(made, recipe, tmp_path, monkeypatch):
    """The update in two files; the ratio in the card is that of the figures in evaluation.json."""
    monkeypatch.setattr(publish, "SHARD_BYTES", 1_000)
    monkeypatch.setitem(model_card.SOURCES, "text", ("Two cats", "CC0"))
    given = ["--package", "tiny-dense==1.0", "--sha256", json.loads(recipe.read_text())["sha256"], "--licence", "MIT"]
    given += ["--member", "tiny_dense/dense.gguf", "--documents", "3", "--length", "24"]
    publish.main([str(made[0]), "--earlier", str(made[0]), *given, "--out", str(tmp_path / "updates" / "small")])
    folder = tmp_path / "updates" / "small"
    assert len(list(folder.glob("update-*.safetensors"))) > 1
    assert torch.equal(
        load_model(build_model("small")).model.model.norm.weight,
        load_model(build_model("tiny")).model.model.norm.weight,
    )
    evaluation = json.loads((folder / "evaluation.json").read_text())
    own, dense = (evaluation["by_kind"]["text"][name]["bits_per_byte"] for name in ("own", "dense"))
    built = build_model("small")
    curves = read_curves((built / "curves.csv").read_bytes())
    assert curves.step.tolist() == [2, 2] and curves.all_tokens.tolist() == [128, 256]
    card = (built / "MODEL_CARD.md").read_text()
    assert "256 tokens in 2 runs" in card and card.count("python -m sample_models.distil") == 2
    assert f"**{own / dense:.3f} times**" in card and "| text | Two cats | CC0 |" in card
    with pytest.raises(SystemExit, match="exists: give a new folder"):
        publish.main([str(made[0]), *given, "--out", str(folder)])


def test_bits_per_byte_count_the_bytes_of_what_is_predicted():
    """Two documents whose first token nobody predicts, in a tokenizer of single bytes."""
    tokenizer = byte_tokenizer()
    windows = torch.tensor([tokenizer(text).input_ids for text in ("abcde", "a\u00e9 b")])
    assert bytes_of(windows, tokenizer).tolist() == [4, 4]


@pytest.fixture(scope="module")
def chatting(made, tmp_path_factory):
    """The distilled model as a folder with a chat template, below a root of its own."""
    folder = tmp_path_factory.mktemp("models") / "distilled"
    folder.mkdir()
    for path in made[0].glob("*.*"):
        if path.suffix in (".json", ".safetensors") and not path.name.startswith("update"):
            (folder / path.name).write_bytes(path.read_bytes())
    (folder / "chat_template.jinja").write_text("<user>{{ messages[0].content }}<bot>")
    return folder


def test_distilled_model_has_every_command_and_the_bridge(made, chatting, tmp_path, capsys):
    """It has grouped-query attention and byte-level BPE, as the model that ships; so has an upcycled one."""
    assert command(["upcycle", str(made[0].parent / "dense"), str(tmp_path / "fresh")]) == 0
    (tmp_path / "texts.txt").write_text("The cat sat on the mat.\nThe dog ran on.\n")
    assert command(["check", str(chatting), "--file", str(tmp_path / "texts.txt")]) in (0, 1)
    said = capsys.readouterr().out
    assert "healthy           weights" in said and "distilled is " in said
    told = ["trace", "A fox ran.", "--chat", "--model", str(chatting), "--out", str(tmp_path / "traced")]
    assert command(told) == 0
    trace = tmp_path / "traced" / "0000.trace.safetensors"
    assert RoutingTrace.load(trace).meta["text"] == "<user>A fox ran.<bot>"
    assert command(["export", str(trace), "--out", str(tmp_path / "out"), "--figures", "gate_map"]) == 0
    assert {"gate_map.csv", "gate_map.html"} <= {path.name for path in (tmp_path / "out").iterdir()}
    loaded = load_model(chatting)
    assert loaded.config.num_key_value_heads == 2 < loaded.config.num_attention_heads
    with torch.no_grad():
        ids = torch.tensor([loaded.tokenizer("A fox ran.").input_ids])
        torch.testing.assert_close(to_bridge(loaded)("A fox ran."), loaded.model(ids).logits, rtol=0, atol=1e-4)


def test_distilled_model_has_every_page_of_a_text_and_offers_its_chat_template(chatting, app, monkeypatch):
    monkeypatch.setenv(models.ROOTS_VARIABLE, str(chatting.parent))
    app.run()
    assert not app.toggle, "a model without a template offers none"
    app.sidebar.selectbox[0].select("distilled").run()
    app.toggle[0].set_value(True)
    trace_text(app, "A fox ran.")
    assert app.session_state.prompt.text == "<user>A fox ran.<bot>" and app.text_area[0].value == "A fox ran."
    told = "The text stands in the model's chat template, as a user's message."
    assert told in captions(app) and any("It ran in float32." in each.value for each in app.sidebar.caption)
    for page in (each for each in PAGES if each.about == "text" and each.group != "Models"):
        turn_to(app, page.url_path)
        assert not app.exception and not app.error, page.name
    app.toggle[0].set_value(False)
    trace_text(app, "A fox ran.")
    assert app.session_state.prompt.text == "A fox ran." and told not in captions(app)


def test_models_page_offers_what_is_not_built_and_builds_it_on_request(recipe, app, monkeypatch):
    """The process that the page starts is this one's command line, which knows the recipe of this test."""

    class Finished:
        """`python -m app get-model tiny`, run here."""

        def __init__(self, arguments, **how):
            assert arguments[1:] == ["-m", "app", "get-model", "tiny"]
            self.stderr, self.returncode = ["building: 1 of 3\n"], command(arguments[3:])

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

    monkeypatch.setattr(model_building, "subprocess", SimpleNamespace(Popen=Finished, PIPE=None, DEVNULL=None))
    turn_to(app.run(), "models")
    press(app, "Get it")
    assert "tiny" in app.sidebar.selectbox[0].options
    assert "Get it" not in [button.label for button in app.button]
