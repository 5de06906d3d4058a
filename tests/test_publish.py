"""Publishing: a tiny two-phase training becomes a checkpoint folder whose card and figures are its own."""

import csv
import json
import math
import re
import shlex

import pytest
import torch
from safetensors.torch import load_file

from sample_models import CHECKPOINTS, load_model
from sample_models.intermediate_checkpoints import intermediate_checkpoints
from sample_models.model_card import command, controls_table, effect, mix, sources_table, table
from sample_models.publish import main, probe_loss, write_curves
from sample_models.train import parse, train

SIZES = "--hidden-size 16 --intermediate-size 32 --layers 2 --heads 2 --context 16 --vocab-size 300 --valid-windows 2"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    text = folder / "plays.valid.txt"
    document = "To be, or not to be, that is the question.\n" * 6
    text.write_text("<|endoftext|>\n".join([document] * 10))
    for name, options in (("dense", "--ffn dense"), ("versatile", f"--init {folder / 'dense'} --keep-checkpoints 3")):
        fixed = "--no-compile --no-bf16 --device cpu --steps 3 --log-every 1 --valid-every 3"
        files = ["--data", str(text), "--valid", str(text), "--out", str(folder / name)]
        train(parse([*files, *SIZES.split(), *fixed.split(), *options.split()]))
    return folder


@pytest.fixture(scope="module")
def published(runs):
    out = runs / "my-model"
    main(publish_arguments(runs, out))
    return out


def publish_arguments(runs, out):
    valid = str(runs / "plays.valid.txt")
    return [
        str(runs / "versatile"),
        "--dense-run",
        str(runs / "dense"),
        "--valid",
        valid,
        "--out",
        str(out),
        "--windows",
        "4",
        "--documents",
        "7",
    ]


def test_published_weights_are_the_runs_own_rounded_to_bfloat16(runs, published):
    weights = load_file(published / "model.safetensors")
    for name, tensor in load_file(runs / "versatile" / "model.safetensors").items():
        assert torch.equal(weights[name], tensor.to(torch.bfloat16))
    assert load_model(published).gates_trained


def test_published_evaluation_belongs_to_the_published_weights(published):
    evaluation, loaded = json.loads((published / "evaluation.json").read_text()), load_model(published)
    assert evaluation["weights_sha256"] == loaded.weights_sha256
    assert evaluation["probe"]["loss"] == pytest.approx(probe_loss(loaded), abs=1e-4)
    assert evaluation["held_out"]["windows"] == 4
    assert len(evaluation["layers"]) == 2 and len(evaluation["controls"]) == 10


def test_published_training_runs_and_tells_its_own_held_out_loss(runs, published):
    kept = intermediate_checkpoints(published)
    assert [(each.step, each.tokens) for each in kept] == [(0, 0), (1, 64), (3, 192)]
    evaluation = json.loads((published / "evaluation.json").read_text())
    assert [row["held_out"] for row in evaluation["training"]] == pytest.approx([each.held_out for each in kept], 1e-5)
    assert kept[-1].held_out == pytest.approx(evaluation["held_out"]["loss"], rel=1e-5)
    assert kept[0].held_out > kept[-1].held_out
    for each in kept:
        theirs = load_file(runs / "versatile" / "checkpoints" / each.path.name)
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in load_file(each.path).items())
    assert f"| 1 | 64 | {kept[1].tau:.3g} | {kept[1].held_out:.3f} |" in (published / "README.md").read_text()


def test_controls_are_measured_on_one_window_per_document(published):
    on = json.loads((published / "evaluation.json").read_text())["controls_on"]
    assert (on["documents"], on["document_tokens"]) == (7, 8)
    assert sum(on["documents_by_file"].values()) == 7
    card = (published / "README.md").read_text()
    assert "first 8 tokens of each of 7 held-out documents" in card
    assert f"that are long enough: {mix(on['documents_by_file'])})" in card


def test_card_states_figures_of_the_evaluation_and_where_the_text_came_from(published):
    card = (published / "README.md").read_text()
    evaluation = json.loads((published / "evaluation.json").read_text())
    assert f"**{evaluation['held_out']['loss']:.3f} nats per token**" in card
    assert evaluation["weights_sha256"] in card
    assert "Shakespeare (nltk_data)" in card and "Standard Ebooks" not in card
    shuffled = evaluation["controls"]["experts_shuffled"]
    assert f"| experts shuffled | {shuffled['mean']:+.4f} | {shuffled['standard_error']:.4f} |" in card


@pytest.mark.parametrize(
    "mean, said", [(0.021, "costs"), (-0.021, "helps"), (0.019, "not shown"), (-0.02, "not shown")]
)
def test_effect_within_two_standard_errors_is_not_shown(mean, said):
    assert effect(mean, 0.01) == said
    row = {"mean": mean, "standard_error": 0.01, "changed": 0.183}
    assert controls_table({"loops_shuffled": row}).endswith(f"| loops shuffled | {mean:+.4f} | 0.0100 | 18% | {said} |")


def test_published_folder_names_no_path_of_the_machine_it_was_made_on(runs, published):
    for file in ("README.md", "evaluation.json", "config.json", "curves.csv", "tokenizer_config.json"):
        assert str(runs) not in (published / file).read_text()


def test_existing_folder_is_not_overwritten(runs, published):
    with pytest.raises(SystemExit, match="my-model exists: give a new folder"):
        main(publish_arguments(runs, published))


def test_phases_the_wrong_way_round_are_refused(runs, tmp_path):
    arguments = publish_arguments(runs, tmp_path / "out")
    arguments[0], arguments[2] = arguments[2], arguments[0]
    with pytest.raises(SystemExit, match="must be a run with --ffn dense, got versatile"):
        main(arguments)


def test_unfinished_run_is_refused(runs, tmp_path):
    arguments = publish_arguments(runs, tmp_path / "out")
    arguments[0] = str(tmp_path)
    with pytest.raises(SystemExit, match="must be a finished training run"):
        main(arguments)


def test_text_of_unknown_origin_is_refused():
    with pytest.raises(ValueError, match="named after stories, textbooks, plays, .* got mails: or give --sources"):
        sources_table(["plays", "mails"])


def test_command_gives_sizes_changed_options_and_file_names_only():
    options = "--data /a/b/x.txt --valid /a/y.txt --out /a/run --ffn dense --no-compile --router-z 0.1"
    words = command(parse(options.split())).replace("\\\n", "").split()
    for pair in (["--data", "x.txt"], ["--out", "runs/run"], ["--steps", "2000"], ["--router-z", "0.1"]):
        assert words[words.index(pair[0]) + 1] == pair[1]
    assert "--no-compile" in words and "--no-bf16" not in words and "--weight-decay" not in words
    assert not any("/a" in word for word in words)


@pytest.mark.parametrize("name", ["versatile-4l-0.4m", "versatile-6l-4m"])
def test_commands_of_the_shipped_cards_are_those_of_the_options_that_they_name(name):
    card = (CHECKPOINTS / name / "README.md").read_text()
    commands = re.findall(r"python -m sample_models\.train (?:.*\\\n)+.*", card)
    assert len(commands) == 2
    for each in commands:
        words = shlex.split(each.replace("\\\n", ""))[3:]
        assert command(parse(words)) == each


def test_curves_are_thinned_by_averaging_the_loss(tmp_path):
    row = dict(tokens=1.0, held_out=math.nan, lr=0.1, tokens_per_s=5.0)
    rows = [row | {"step": float(step), "loss": float(step % 2)} for step in range(1, 201)]
    rows[2]["held_out"] = 7.0
    write_curves(tmp_path / "curves.csv", {"dense": rows})
    with (tmp_path / "curves.csv").open() as file:
        thin = list(csv.DictReader(file))
    assert len(thin) == 100
    assert {row["loss"] for row in thin} == {"0.5"}
    assert [thin[0]["step"], thin[1]["step"], thin[-1]["step"]] == ["2", "4", "200"]
    assert [thin[0]["held_out"], thin[1]["held_out"]] == ["", "7"]


def test_table_shows_floats_with_three_decimals():
    assert table(("a", "b"), [("x", 0.12345)]) == "| a | b |\n| --- | --- |\n| x | 0.123 |"
